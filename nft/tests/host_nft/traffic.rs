//! What flows and what does not, under each policy, between a box and a world.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::common::lab::{
    BOX, BOX6, DEADLINE, LAN, Lab, METADATA, PRIVATE, WORLD, WORLD6, echoes, ip, timed,
};
use crate::common::policies::{UPSTREAM, UPSTREAM6, open};
use cib_nft::{EgressPolicy, INIT_UID, Kind, PROXY_UID, Wiring};
use socket2::{Domain, Protocol, Socket, Type};

/// Within this, an error counts as immediate.
const AT_ONCE: Duration = Duration::from_millis(10);

fn open_lab(lan: &str) -> Lab {
    Lab::under(EgressPolicy::Open { wiring: open(lan) })
}

fn closing(resolvers: &[&str]) -> EgressPolicy {
    EgressPolicy::Closing {
        resolvers: resolvers.iter().copied().map(ip).collect(),
    }
}

fn every_policy() -> Vec<EgressPolicy> {
    let resolvers = closing(&["198.51.100.1"]);
    vec![
        resolvers,
        EgressPolicy::Closed,
        EgressPolicy::Open { wiring: open("") },
    ]
}

fn send(lab: &Lab, address: &str) -> std::io::Result<usize> {
    let address: SocketAddr = address.parse().unwrap();
    let socket = lab.inside.udp(if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    });
    socket.set_broadcast(true).unwrap();
    socket.send_to(b"hello", address)
}

/// The error of `attempt`, which must come at once. The machine may be busy: the fastest of a
/// few attempts counts.
fn refused_at_once<T>(attempt: impl Fn() -> std::io::Result<T>) -> ErrorKind {
    let attempts: Vec<_> = (0..5).map(|_| timed(&attempt)).collect();
    let fastest = attempts.iter().map(|(_, took)| *took).min().unwrap();
    assert!(fastest < AT_ONCE, "the error took {fastest:?}");
    let errors = attempts.into_iter().map(|(result, _)| match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.kind(),
    });
    errors.last().unwrap()
}

/// Does a datagram to `address` arrive at `listener`, and the answer at the sender?
fn answered_by(lab: &Lab, address: &str, listener: &UdpSocket) -> bool {
    let target: SocketAddr = address.parse().unwrap();
    let client = lab.inside.udp(if target.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    });
    client.send_to(b"question", target).unwrap();
    let mut word = [0; 16];
    let (length, from) = listener.recv_from(&mut word).unwrap();
    assert_eq!(&word[..length], b"question");
    listener.send_to(b"answer", from).unwrap();
    let (length, from) = client.recv_from(&mut word).unwrap();
    &word[..length] == b"answer" && from == target
}

fn arrives_at(lab: &Lab, address: &str, listener: &TcpListener) -> bool {
    let client = lab.inside.connect(address).unwrap();
    let (server, _) = listener.accept().unwrap();
    echoes(client, server)
}

#[test]
fn the_proxy_is_reachable_by_ipv4_and_ipv6() {
    let lab = open_lab("");
    assert!(lab.reaches(UPSTREAM));
    assert!(lab.reaches(UPSTREAM6));
}

/// Does a connection by `uid` to the world's `address` carry data and an answer?
fn reaches_as(lab: &Lab, uid: u32, address: &str) -> bool {
    let listener = lab.world.listen(address);
    let Ok(client) = lab.inside.connect_as(uid, address) else {
        return false;
    };
    echoes(client, listener.accept().unwrap().0)
}

#[test]
fn the_proxy_is_for_the_boxs_own_programs_and_refused_to_everybody_else_at_once() {
    // Not even a LAN that holds the proxy opens it.
    for lan in ["", "203.0.113.0/24,2001:db8:7::/48"] {
        let lab = open_lab(lan);
        for upstream in [UPSTREAM, UPSTREAM6] {
            for uid in [INIT_UID, PROXY_UID] {
                assert!(reaches_as(&lab, uid, upstream), "uid {uid} at {upstream}");
            }
            let sniffer = lab.sniff();
            let _proxy = lab.world.listen(upstream);
            for uid in [1000, 970, 972, 65534] {
                let error = refused_at_once(|| lab.inside.connect_as(uid, upstream));
                assert_eq!(error, ErrorKind::ConnectionRefused, "uid {uid}");
            }
            assert_eq!(lab.leaked(sniffer), [""; 0], "{lan}");
        }
        assert_ne!(lab.counted(Kind::Upstream).packets, 0);
    }
}

#[test]
fn a_user_namespace_makes_nobody_a_carrier() {
    let lab = open_lab("");
    let _proxy = lab.world.listen(UPSTREAM);
    let script = "exec unshare --user --map-root-user bash -c ': </dev/tcp/203.0.113.7/1080'";
    let ended = lab.inside.as_user(1000, "bash", &["-c", script]);
    assert!(!ended.status.success());
    assert_ne!(lab.counted(Kind::Upstream).packets, 0);
}

#[test]
fn an_address_that_may_be_the_proxys_is_for_init_alone_until_it_is_known() {
    const CANDIDATE: &str = "198.51.100.1:1080";
    let wiring = Wiring {
        candidates: [CANDIDATE.parse().unwrap()].into(),
        ..open("")
    };
    let lab = Lab::under(EgressPolicy::Open { wiring });
    let _redirector = lab.inside.listen_as(PROXY_UID, "127.0.0.1:12345");
    assert!(reaches_as(&lab, INIT_UID, CANDIDATE));
    let sniffer = lab.sniff();
    let _candidate = lab.world.listen(CANDIDATE);
    for uid in [PROXY_UID, 1000] {
        let error = refused_at_once(|| lab.inside.connect_as(uid, CANDIDATE));
        assert_eq!(error, ErrorKind::ConnectionRefused, "uid {uid}");
    }
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

/// What a connection carried to its end must not be cut by: its socket is closed before the
/// last packets are sent, and those have no user.
#[test]
fn the_end_of_a_connection_reaches_the_proxy_after_its_socket_was_closed() {
    let lab = open_lab("");
    let listener = lab.world.listen(UPSTREAM);
    let mut client = lab.inside.connect_as(PROXY_UID, UPSTREAM).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let sent = vec![7; 200_000];
    client.write_all(&sent[..]).unwrap();
    drop(client);
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), sent.len());
    assert_eq!(lab.counted(Kind::Upstream).packets, 0);
}

#[test]
fn a_listener_in_the_redirectors_place_that_is_not_the_redirectors_hears_nothing() {
    let lab = open_lab("");
    for address in ["127.0.0.1:12345", "0.0.0.0:12345"] {
        let squatter = lab.inside.listen_as(1000, address);
        squatter.set_nonblocking(true).unwrap();
        // Many at once, for under a flood the kernel answers for no socket in particular.
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let target = "198.51.100.1:443".parse().unwrap();
                    let patience = Duration::from_millis(1500);
                    let attempt = || TcpStream::connect_timeout(&target, patience);
                    assert!(lab.inside.run_as(1001, attempt).is_err());
                });
            }
        });
        assert!(squatter.accept().is_err(), "somebody came to {address}");
        drop(squatter);
        assert_ne!(lab.counted(Kind::Listener).packets, 0);
    }
    let redirector = lab.inside.listen_as(PROXY_UID, "127.0.0.1:12345");
    assert!(arrives_at(&lab, "198.51.100.1:443", &redirector));
}

#[test]
fn tcp_is_refused_at_once_while_somebody_else_has_the_redirectors_port() {
    let wiring = Wiring {
        squatted: true,
        ..open("")
    };
    let lab = Lab::under(EgressPolicy::Open { wiring });
    let _squatter = lab.inside.listen_as(1000, "127.0.0.1:12345");
    let sniffer = lab.sniff();
    let error = refused_at_once(|| lab.inside.connect("198.51.100.1:443"));
    assert_eq!(error, ErrorKind::ConnectionRefused);
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn the_redirector_and_the_relay_are_reached_by_nobody_past_the_redirect() {
    let wiring = Wiring {
        relay_port: std::num::NonZeroU16::new(12347),
        ..open("")
    };
    let lab = Lab::under(EgressPolicy::Open { wiring });
    let _redirector = lab.inside.listen_as(PROXY_UID, "127.0.0.1:12345");
    let relay = lab.inside.listen_as(INIT_UID, "127.0.0.1:12347");
    for uid in [INIT_UID, PROXY_UID, 1000] {
        let error = refused_at_once(|| lab.inside.connect_as(uid, "127.0.0.1:12345"));
        assert_eq!(error, ErrorKind::ConnectionRefused, "uid {uid}");
    }
    let error = refused_at_once(|| lab.inside.connect_as(1000, "127.0.0.1:12347"));
    assert_eq!(error, ErrorKind::ConnectionRefused);
    let client = lab.inside.connect_as(PROXY_UID, "127.0.0.1:12347").unwrap();
    assert!(echoes(client, relay.accept().unwrap().0));
}

#[test]
fn tcp_to_anywhere_arrives_at_the_redirector_and_not_on_the_wire() {
    let lab = open_lab("");
    let redirector = lab.inside.listen_as(PROXY_UID, "127.0.0.1:12345");
    let sniffer = lab.sniff();
    for address in [
        "198.51.100.1:443",
        "198.51.100.1:22",
        "203.0.113.7:443",
        "192.0.2.2:1404",
    ] {
        assert!(arrives_at(&lab, address, &redirector), "{address}");
    }
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn the_proof_of_the_redirect_has_a_port_of_its_own_if_wanted() {
    let wiring = cib_nft::Wiring {
        proof_port: Some(cib_nft::PROOF_PORT),
        ..open("")
    };
    let lab = Lab::under(EgressPolicy::Open { wiring });
    let proof = lab.inside.listen("127.0.0.1:12348");
    assert!(arrives_at(&lab, "192.0.2.2:1404", &proof));
}

#[test]
fn tcp_is_refused_at_once_while_the_redirector_is_dead() {
    let lab = open_lab("");
    let sniffer = lab.sniff();
    let error = refused_at_once(|| lab.inside.connect("198.51.100.1:443"));
    assert_eq!(error, ErrorKind::ConnectionRefused);
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn udp_and_quic_are_refused_at_once() {
    let lab = open_lab("");
    let sniffer = lab.sniff();
    for to in [
        WORLD,
        PRIVATE,
        METADATA,
        "203.0.113.7",
        "224.0.0.251",
        "255.255.255.255",
    ] {
        for port in [123, 443, 1080, 5353] {
            let error = refused_at_once(|| send(&lab, &format!("{to}:{port}")));
            assert_eq!(error, ErrorKind::PermissionDenied, "{to}:{port}");
        }
    }
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn ping_is_refused_at_once() {
    let lab = open_lab("");
    let sniffer = lab.sniff();
    let echo = |domain, protocol, kind: u8, to: &str| {
        let socket = lab
            .inside
            .run(|| Socket::new(domain, Type::RAW, Some(protocol)).unwrap());
        let target = SocketAddr::new(ip(to), 0);
        refused_at_once(|| socket.send_to(&[kind, 0, 0, 0, 0, 1, 0, 1], &target.into()))
    };
    assert_eq!(
        echo(Domain::IPV4, Protocol::ICMPV4, 8, WORLD),
        ErrorKind::PermissionDenied
    );
    assert_eq!(
        echo(Domain::IPV6, Protocol::ICMPV6, 128, WORLD6),
        ErrorKind::PermissionDenied
    );
    assert_ne!(lab.counted(Kind::Icmp).packets, 0);
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn ipv6_is_refused_at_once() {
    let lab = open_lab("");
    let sniffer = lab.sniff();
    let error = refused_at_once(|| lab.inside.connect("[2001:db8::1]:443"));
    assert_eq!(error, ErrorKind::ConnectionRefused);
    let error = refused_at_once(|| send(&lab, "[2001:db8::1]:443"));
    assert_eq!(error, ErrorKind::PermissionDenied);
    assert_ne!(lab.counted(Kind::Ipv6).packets, 0);
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn private_and_metadata_addresses_are_refused_at_once_and_not_asked_of_the_proxy() {
    let lab = open_lab("");
    let _redirector = lab.inside.listen_as(PROXY_UID, "127.0.0.1:12345");
    let sniffer = lab.sniff();
    for address in [PRIVATE, METADATA, LAN, "10.99.0.1"] {
        let error = refused_at_once(|| lab.inside.connect(&format!("{address}:80")));
        assert_eq!(error, ErrorKind::ConnectionRefused, "{address}");
    }
    assert_ne!(lab.counted(Kind::Private).packets, 0);
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn the_lan_is_reachable_directly_if_it_is_listed_and_nothing_beside_it() {
    let lab = open_lab("10.77.0.0/24,fd77::/48");
    assert!(lab.reaches("10.77.0.1:80"));
    assert!(lab.reaches("[fd77::1]:80"));
    let service = lab.world.udp("10.77.0.1:5353");
    assert!(answered_by(&lab, "10.77.0.1:5353", &service));
    let error = refused_at_once(|| lab.inside.connect("10.88.0.1:80"));
    assert_eq!(error, ErrorKind::ConnectionRefused);
}

#[test]
fn dns_to_any_server_arrives_at_the_resolver_even_if_the_lan_lists_it() {
    let lab = open_lab("10.77.0.0/24,fd77::/48");
    let sniffer = lab.sniff();
    let resolver = lab.inside.udp("127.0.0.1:5302");
    let resolver6 = lab.inside.udp("[::1]:5302");
    for server in [WORLD, PRIVATE, LAN] {
        assert!(
            answered_by(&lab, &format!("{server}:53"), &resolver),
            "{server}"
        );
    }
    for server in [WORLD6, "fd77::1"] {
        assert!(
            answered_by(&lab, &format!("[{server}]:53"), &resolver6),
            "{server}"
        );
    }
    let resolver = lab.inside.listen("127.0.0.1:5302");
    for server in [WORLD, PRIVATE, LAN] {
        assert!(
            arrives_at(&lab, &format!("{server}:53"), &resolver),
            "{server}"
        );
    }
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

/// Docker's name server: a port of its own, and a redirect to it as Docker makes it.
fn docker(lab: &Lab) -> UdpSocket {
    lab.inside.nft(
        "table ip nat {
           chain DOCKER_OUTPUT {
             type nat hook output priority -100; policy accept;
             ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40001
           }
         }
        ",
    );
    lab.inside.udp("127.0.0.11:40001")
}

/// Bash alone can send a datagram as another user without a program of ours.
fn ask_as(lab: &Lab, uid: u32, port: u16) -> bool {
    let script = format!("echo question >/dev/udp/127.0.0.11/{port}");
    lab.inside
        .as_user(uid, "bash", &["-c", &script])
        .status
        .success()
}

fn heard(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let heard = socket.recv(&mut [0; 16]).is_ok();
    socket.set_nonblocking(false).unwrap();
    heard
}

#[test]
fn queries_to_dockers_name_server_arrive_at_the_resolver_before_docker_sees_them() {
    let lab = open_lab("");
    let docker = docker(&lab);
    let resolver = lab.inside.udp("127.0.0.1:5301");
    assert!(answered_by(&lab, "127.0.0.11:53", &resolver));
    assert!(!heard(&docker));
}

#[test]
fn dockers_own_port_is_closed_to_all_but_the_resolver() {
    let wiring = cib_nft::Wiring {
        docker_dns_uid: Some(971),
        ..open("")
    };
    let lab = Lab::under(EgressPolicy::Open { wiring });
    let docker = docker(&lab);
    for uid in [0, 1000] {
        assert!(
            !ask_as(&lab, uid, 40001),
            "uid {uid} may send to Docker's port"
        );
        assert!(!heard(&docker));
    }
    assert!(ask_as(&lab, 971, 53), "the resolver may ask Docker");
    assert!(heard(&docker));
    assert_ne!(lab.counted(Kind::DockerDns).packets, 0);
}

#[test]
fn dockers_own_port_is_closed_to_all_if_no_name_is_asked_there() {
    for policy in [
        EgressPolicy::Closed,
        EgressPolicy::Open { wiring: open("") },
    ] {
        let lab = Lab::under(policy);
        let docker = docker(&lab);
        assert!(!ask_as(&lab, 971, 40001));
        assert!(!heard(&docker));
    }
}

#[test]
fn published_ports_answer_under_every_policy() {
    for policy in every_policy() {
        let lab = Lab::under(policy.clone());
        for (listen, address) in [
            ("0.0.0.0:8080", format!("{BOX}:8080")),
            ("[::]:8081", format!("[{BOX6}]:8081")),
        ] {
            let published = lab.inside.listen(listen);
            let client = lab.world.connect(&address).unwrap();
            let (server, _) = published.accept().unwrap();
            assert!(echoes(client, server), "{address} {policy}");
        }
        let published = lab.inside.udp("0.0.0.0:8082");
        let client = lab.world.udp("0.0.0.0:0");
        client.send_to(b"question", (BOX, 8082)).unwrap();
        let (_, from) = published.recv_from(&mut [0; 16]).unwrap();
        published.send_to(b"answer", from).unwrap();
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 6, "{policy}");
    }
}

#[test]
fn the_box_reaches_itself_under_every_policy() {
    for policy in every_policy() {
        let lab = Lab::under(policy.clone());
        for address in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "10.99.0.2:8080",
            "[fd99::2]:8080",
        ] {
            let listener = lab.inside.listen(address);
            assert!(arrives_at(&lab, address, &listener), "{address} {policy}");
        }
    }
}

#[test]
fn a_box_that_is_closed_lets_nothing_out() {
    let lab = Lab::under(EgressPolicy::Closed);
    let sniffer = lab.sniff();
    for address in [
        UPSTREAM,
        UPSTREAM6,
        "198.51.100.1:53",
        "10.77.0.1:80",
        "[2001:db8::1]:443",
    ] {
        let error = refused_at_once(|| lab.inside.connect(address));
        assert_eq!(error, ErrorKind::ConnectionRefused, "{address}");
        let error = refused_at_once(|| send(&lab, address));
        assert_eq!(error, ErrorKind::PermissionDenied, "{address}");
    }
    assert_ne!(lab.counted(Kind::Dns).packets, 0);
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn a_box_that_is_closing_asks_its_name_servers_and_nobody_else() {
    let lab = Lab::under(closing(&["198.51.100.1", "2001:db8::1"]));
    let server = lab.world.udp("198.51.100.1:53");
    assert!(answered_by(&lab, "198.51.100.1:53", &server));
    let server = lab.world.udp("[2001:db8::1]:53");
    assert!(answered_by(&lab, "[2001:db8::1]:53", &server));
    assert!(lab.reaches("198.51.100.1:53"));
    let sniffer = lab.sniff();
    for address in ["10.88.0.1:53", "198.51.100.1:443", UPSTREAM] {
        refused_at_once(|| lab.inside.connect(address));
        refused_at_once(|| send(&lab, address));
    }
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn a_box_that_is_closing_through_docker_lets_docker_ask_any_server() {
    let lab = Lab::under(closing(&["127.0.0.11"]));
    let docker = docker(&lab);
    assert!(ask_as(&lab, 0, 53));
    assert!(heard(&docker));
    let server = lab.world.udp("198.51.100.1:53");
    assert!(answered_by(&lab, "198.51.100.1:53", &server));
    let sniffer = lab.sniff();
    refused_at_once(|| lab.inside.connect("198.51.100.1:443"));
    refused_at_once(|| send(&lab, "198.51.100.1:443"));
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn what_was_open_before_the_rules_is_cut() {
    for policy in every_policy() {
        let lab = Lab::new();
        // Conntrack is at work before the rules are, as with Docker's own tables.
        docker(&lab);
        let (tcp, udp) = (
            lab.world.listen("198.51.100.1:443"),
            lab.inside.udp("0.0.0.0:0"),
        );
        let mut client = lab.inside.connect("198.51.100.1:443").unwrap();
        let _server: TcpStream = tcp.accept().unwrap().0;
        udp.send_to(b"before", "198.51.100.1:443").unwrap();
        lab.enforce(policy);
        let sniffer = lab.sniff();
        assert!(udp.send_to(b"after", "198.51.100.1:443").is_err());
        // The first write is taken into the buffer; the reset that answers it ends the socket.
        let _ = client.write(b"after");
        assert!(client.read(&mut [0; 8]).is_err());
        assert_eq!(lab.leaked(sniffer), [""; 0]);
    }
}

/// Redirects and nothing else, as the README of redsocks has it.
const NAT_ONLY: &str = "table ip control {
   chain out {
     type nat hook output priority -100; policy accept;
     ip daddr 198.51.100.1 tcp dport 443 redirect to :12345
   }
 }
";

/// A redirected connection is forgotten by conntrack, and then closed by the application.
fn late_fin(lab: &Lab) {
    lab.inside
        .sh("echo 1 >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established");
    let redirector = lab.inside.listen_as(PROXY_UID, "127.0.0.1:12345");
    let client = lab.inside.connect("198.51.100.1:443").unwrap();
    let _server = redirector.accept().unwrap();
    // Reading the list also buries what has expired.
    lab.inside.sh(&format!(
        "timeout {} sh -c 'while grep -q dport=443 /proc/net/nf_conntrack; do sleep 0.1; done'",
        DEADLINE.as_secs()
    ));
    drop(client);
}

#[test]
fn a_late_fin_of_a_redirected_connection_stays_in_the_box() {
    let lab = Lab::new();
    lab.inside.nft(NAT_ONLY);
    let control = lab.sniff();
    late_fin(&lab);
    assert!(
        lab.leaked(control).contains(&"6 198.51.100.1".to_owned()),
        "the control leaks"
    );

    let lab = open_lab("");
    let sniffer = lab.sniff();
    late_fin(&lab);
    assert_ne!(lab.counted(Kind::Invalid).packets, 0);
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}
