//! The probes, in the order of their targets.

use std::net::Ipv4Addr;

use socket2::{Protocol, Type};

use super::{Aim, Disguise, Probe, Target, link, names, tcp, udp};

/// `cib` and `cib-proxy`, whose ids are fixed in the image.
const CIB: u32 = 970;
const CIB_PROXY: u32 = 971;

impl Probe {
    const fn seen_at(mut self, elsewhere: fn(&Aim, Target) -> String) -> Self {
        self.elsewhere = Some(elsewhere);
        self
    }
}

const fn probe(name: &'static str, attempt: super::Attempt) -> Probe {
    Probe {
        name,
        disguise: Disguise::None,
        attempt,
        elsewhere: None,
    }
}

const fn disguised(name: &'static str, disguise: Disguise, attempt: super::Attempt) -> Probe {
    Probe {
        name,
        disguise,
        attempt,
        elsewhere: None,
    }
}

/// Every probe.
pub static PROBES: &[Probe] = &[
    // Streams.
    probe("tcp", |_, to| tcp::http(to.at4(80))),
    probe("tcp-high-port", |_, to| tcp::http(to.at4(4444))),
    probe("tcp-v4-mapped", |_, to| tcp::http(to.mapped(80))),
    probe("tcp6", |_, to| tcp::http(to.at6(80))),
    probe("tcp-fast-open", |_, to| tcp::fast_open(to.at4(80))),
    probe("tcp-fast-open6", |_, to| tcp::fast_open(to.at6(80))),
    probe("mptcp", |_, to| tcp::multipath(to.at4(80))),
    probe("tls-without-sni", |_, to| tcp::tls(to.at4(443))),
    probe("tls6-without-sni", |_, to| tcp::tls(to.at6(443))),
    probe("ssh", |_, to| tcp::banner(to.at4(22))),
    probe("smtp", |_, to| tcp::banner(to.at4(25))),
    probe("dns-over-tls", |_, to| tcp::tls(to.at4(853))),
    probe("tcp-bound-to-device", |aim, to| {
        tcp::bound(to.at4(80), &aim.device)
    }),
    probe("tcp-bound-to-loopback", |_, to| {
        tcp::bound(to.at4(80), "lo")
    }),
    probe("tcp6-bound-to-device", |aim, to| {
        tcp::bound(to.at6(80), &aim.device)
    }),
    probe("tcp-marked", |_, to| tcp::marked(to.at4(80))),
    probe("sctp", |_, to| tcp::other(to.at4(80), Protocol::SCTP)),
    probe("dccp", |_, to| tcp::dccp(to.at4(80))),
    // Names.
    probe("dns-system", |_, to| names::system(to)),
    probe("dns-udp", |_, to| names::udp(to.at4(53), to)),
    probe("dns-udp6", |_, to| names::udp(to.at6(53), to)),
    probe("dns-tcp", |_, to| names::tcp(to.at4(53), to)),
    probe("dns-tcp6", |_, to| names::tcp(to.at6(53), to)),
    probe("dns-docker", |_, to| names::udp(names::docker(53), to)),
    probe("dns-docker-tcp", |_, to| names::tcp(names::docker(53), to)),
    probe("dns-docker-own-port", |_, to| names::docker_own_port(to)),
    // Datagrams.
    probe("udp", |_, to| udp::send(to.at4(9999))),
    probe("udp6", |_, to| udp::send(to.at6(9999))),
    probe("udp-v4-mapped", |_, to| udp::send(to.mapped(9999))),
    probe("quic", |_, to| udp::send(to.at4(443))),
    probe("quic6", |_, to| udp::send(to.at6(443))),
    probe("ntp", |_, to| udp::send(to.at4(123))),
    probe("stun", |_, to| udp::send(to.at4(3478))),
    probe("udp-unconnected", |_, to| {
        udp::send_unconnected(to.at4(9999))
    }),
    probe("udp-bound-to-device", |aim, to| {
        udp::bound(to.at4(9999), &aim.device)
    }),
    probe("udp-bound-to-loopback", |_, to| {
        udp::bound(to.at4(9999), "lo")
    }),
    probe("udp-marked", |_, to| udp::marked(to.at4(9999))),
    probe("udp-lite", |_, to| udp::lite(to.at4(9999))),
    probe("udp-large", |_, to| udp::send_large(to.at4(9999))),
    probe("mdns", |_, _| {
        udp::multicast(Ipv4Addr::new(224, 0, 0, 251), 5353)
    })
    .seen_at(|_, _| "224.0.0.251".into()),
    probe("ssdp", |_, _| {
        udp::multicast(Ipv4Addr::new(239, 255, 255, 250), 1900)
    })
    .seen_at(|_, _| "239.255.255.250".into()),
    probe("mdns6", |aim, _| udp::multicast6(&aim.device)).seen_at(|_, _| "ff02::fb".into()),
    probe("igmp-join", |_, to| udp::join(to.n)).seen_at(|_, _| "224.0.0.22".into()),
    probe("broadcast", |_, _| udp::broadcast(Ipv4Addr::BROADCAST))
        .seen_at(|_, _| "255.255.255.255".into()),
    probe("broadcast-own-network", |aim, _| {
        udp::broadcast(udp::network_of(aim.neighbour))
    })
    .seen_at(|aim, _| udp::network_of(aim.neighbour).to_string()),
    // The neighbourhood.
    probe("metadata", |_, _| {
        tcp::http(([169, 254, 169, 254], 80).into())
    })
    .seen_at(|_, _| "169.254.169.254".into()),
    probe("lan-tcp", |_, to| {
        tcp::http(([192, 168, 77, to.n], 80).into())
    })
    .seen_at(|_, to| format!("192.168.77.{}", to.n)),
    probe("lan-udp", |_, to| {
        udp::send(([10, 77, 77, to.n], 9999).into())
    })
    .seen_at(|_, to| format!("10.77.77.{}", to.n)),
    probe("neighbour-tcp", |aim, _| {
        tcp::http((aim.neighbour, 80).into())
    })
    .seen_at(|aim, _| format!("{}.80", aim.neighbour)),
    probe("neighbour-udp", |aim, _| {
        udp::send((aim.neighbour, 9999).into())
    })
    .seen_at(|aim, _| format!("{}.9999", aim.neighbour)),
    probe("proxy-other-port", |aim, _| {
        tcp::banner((aim.proxy.ip(), 22).into())
    })
    .seen_at(|aim, _| format!("{}.22", aim.proxy.ip())),
    probe("proxy-udp", |aim, _| udp::send(aim.proxy))
        .seen_at(|aim, _| format!("{}.{} by UDP", aim.proxy.ip(), aim.proxy.port())),
    probe("unique-local6", |_, to| {
        tcp::http(
            (
                std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, to.n.into()),
                80,
            )
                .into(),
        )
    })
    .seen_at(|_, to| format!("fd77::{:x}", to.n)),
    // Below the transports.
    probe("ping", |_, to| link::ping(to.v4.into(), Type::DGRAM)),
    probe("ping6", |_, to| link::ping(to.v6.into(), Type::DGRAM)),
    probe("ping-raw", |_, to| link::ping(to.v4.into(), Type::RAW)),
    probe("ping6-raw", |_, to| link::ping(to.v6.into(), Type::RAW)),
    probe("raw-unknown-protocol", |_, to| link::raw(to.v4.into(), 253)),
    probe("raw-gre", |_, to| link::raw(to.v4.into(), 47)),
    probe("raw-ipip", |_, to| link::raw(to.v4.into(), 4)),
    probe("raw6-unknown-protocol", |_, to| {
        link::raw(to.v6.into(), 253)
    }),
    probe("raw-own-header", |_, to| link::own_header(to.v4)),
    probe("packet-socket", |aim, to| {
        link::packet(&aim.device, to.v4, false)
    }),
    probe("packet-socket-bypassing-queues", |aim, to| {
        link::packet(&aim.device, to.v4, true)
    }),
    // As somebody else.
    disguised("tcp-as-cib-proxy", Disguise::User(CIB_PROXY), |_, to| {
        tcp::http(to.at4(80))
    }),
    disguised("udp-as-cib-proxy", Disguise::User(CIB_PROXY), |_, to| {
        udp::send(to.at4(9999))
    }),
    disguised("dns-as-cib-proxy", Disguise::User(CIB_PROXY), |_, to| {
        names::docker_own_port(to)
    }),
    disguised("tcp-as-cib", Disguise::User(CIB), |_, to| {
        tcp::http(to.at4(80))
    }),
    disguised("udp-as-cib", Disguise::User(CIB), |_, to| {
        udp::send(to.at4(9999))
    }),
    disguised(
        "packet-socket-in-user-namespace",
        Disguise::UserNamespace,
        |aim, to| link::packet(&aim.device, to.v4, false),
    ),
    disguised(
        "udp-marked-in-user-namespace",
        Disguise::UserNamespace,
        |_, to| udp::marked(to.at4(9999)),
    ),
    disguised(
        "nft-flush-in-user-namespace",
        Disguise::UserNamespace,
        |_, to| link::flushed(to.at4(9999)),
    ),
    probe("nft-flush", |_, to| link::flushed(to.at4(9999))),
];
