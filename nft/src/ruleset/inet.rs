//! `inet cib`: the promise.
//!
//! A packet of the box meets, in this order: `nat_out`, which turns its first packet towards
//! the redirector or the resolver; `out`, which lets it go or refuses it at once; `gate`, which
//! sees the device that it would really leave by. What is accepted in one can still be stopped
//! in the next, and nothing that is stopped can be accepted by anybody's other table.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use nftables::schema::NfListObject;
use nftables::types::{NfChainPolicy, NfChainType, NfHook};

use super::phrase::{
    Destination, ICMP, IGMP, RuleBuilder, TCP, UDP, base_chain, chain, counter, filled,
};
use super::{Reports, Table, sets};
use crate::counters::Kind;
use crate::policy::EgressPolicy;
use crate::wiring::{DOCKER_DNS, INIT_UID, PROOF_TARGET, Wiring};

/// Before Docker's own redirect of its name server, at -100: the first redirect wins.
const BEFORE_DOCKER: i32 = -110;
/// After conntrack, at -200, which must have looked for the connection.
const AFTER_CONNTRACK: i32 = -150;
/// After every source address has been translated, at 100 or 300.
const LAST: i32 = 400;

const REPORT: &str = "report";
const REFUSE: &str = "refuse";
const BLOCKED: &str = "blocked";
const ANSWER: &str = "redirector";
const UPSTREAM: &str = "upstream";
const CANDIDATE: &str = "candidate";

const TO_UPSTREAM: [Destination; 2] = [
    Destination::Service4(sets::UPSTREAM4),
    Destination::Service6(sets::UPSTREAM6),
];
const TO_CANDIDATE: [Destination; 2] = [
    Destination::Service4(sets::CANDIDATE4),
    Destination::Service6(sets::CANDIDATE6),
];
const TO_LAN: [Destination; 2] = [
    Destination::Address4(sets::LAN4),
    Destination::Address6(sets::LAN6),
];
const TO_RESOLVER: [Destination; 2] = [
    Destination::Address4(sets::RESOLVER4),
    Destination::Address6(sets::RESOLVER6),
];

pub(super) fn contents(
    policy: &EgressPolicy,
    reports: Reports,
) -> Option<Vec<NfListObject<'static>>> {
    if *policy == EgressPolicy::Direct {
        return None;
    }
    let kinds = Kind::ALL.into_iter().filter(|&kind| kind != Kind::Frame);
    let mut objects: Vec<_> = kinds.map(|kind| counter(Table::Inet, kind)).collect();
    objects.extend(addresses(policy));
    if reports == Reports::On {
        objects.extend(filled(
            chain(Table::Inet, REPORT),
            [RuleBuilder::always().report()],
        ));
    }
    objects.extend(filled(chain(Table::Inet, REFUSE), refuse()));
    objects.extend(filled(chain(Table::Inet, BLOCKED), blocked(reports)));
    if let EgressPolicy::Open { wiring } = policy {
        objects.extend(filled(chain(Table::Inet, ANSWER), redirector(wiring)));
        let by_carriers = for_these(&wiring.carriers, reports);
        objects.extend(filled(chain(Table::Inet, UPSTREAM), by_carriers));
        let by_init = for_these(&[INIT_UID].into(), reports);
        objects.extend(filled(chain(Table::Inet, CANDIDATE), by_init));
        let hook = (NfChainType::NAT, NfHook::Output, BEFORE_DOCKER);
        let chain = base_chain(Table::Inet, "nat_out", hook, NfChainPolicy::Accept);
        objects.extend(filled(chain, redirects(wiring)));
    }
    let filter = |name, hook, priority, policy, rules: Vec<RuleBuilder>| {
        let chain = base_chain(
            Table::Inet,
            name,
            (NfChainType::Filter, hook, priority),
            policy,
        );
        filled(chain, rules)
    };
    use NfChainPolicy::{Accept, Drop};
    objects.extend(filter(
        "loop",
        NfHook::Prerouting,
        AFTER_CONNTRACK,
        Accept,
        vec![spoofed(RuleBuilder::always().out_of("lo"))],
    ));
    objects.extend(filter("out", NfHook::Output, 0, Drop, out(policy)));
    objects.extend(filter(
        "gate",
        NfHook::Postrouting,
        LAST,
        Drop,
        gate(policy, reports),
    ));
    objects.extend(filter(
        "forward",
        NfHook::Forward,
        0,
        Drop,
        stopped(reports, Kind::Forward),
    ));
    Some(objects)
}

fn addresses(policy: &EgressPolicy) -> Vec<NfListObject<'static>> {
    let mut objects = Vec::new();
    match policy {
        EgressPolicy::Direct | EgressPolicy::Closed => {}
        EgressPolicy::Closing { resolvers } => {
            objects.extend(sets::resolvers(resolvers.iter().copied()));
        }
        EgressPolicy::Open { wiring } => {
            objects.extend(sets::upstreams(&wiring.upstreams));
            objects.extend(sets::candidates(&wiring.candidates));
            objects.extend(sets::lan(wiring));
        }
    }
    objects.push(sets::special());
    objects
}

/// An answer at once, so that nothing waits and QUIC falls back to TCP.
fn refuse() -> [RuleBuilder; 2] {
    [
        RuleBuilder::always().protocol(TCP).reset(),
        RuleBuilder::always().prohibit(),
    ]
}

/// Every refused packet under exactly one kind.
fn blocked(reports: Reports) -> Vec<RuleBuilder> {
    let mut rules = report(reports);
    rules.extend([
        RuleBuilder::always().dns().count(Kind::Dns).goto(REFUSE),
        RuleBuilder::always()
            .towards(Destination::Address4(sets::SPECIAL4))
            .count(Kind::Private)
            .goto(REFUSE),
        RuleBuilder::always().ipv6().count(Kind::Ipv6).goto(REFUSE),
        RuleBuilder::always()
            .protocol(TCP)
            .count(Kind::Tcp)
            .goto(REFUSE),
        RuleBuilder::always()
            .protocol(UDP)
            .count(Kind::Udp)
            .goto(REFUSE),
        RuleBuilder::always()
            .protocol(ICMP)
            .count(Kind::Icmp)
            .goto(REFUSE),
        RuleBuilder::always().count(Kind::Other).goto(REFUSE),
    ]);
    rules
}

/// Who is led to the redirector and the resolver. What is passed over here is judged by `out`.
fn redirects(wiring: &Wiring) -> Vec<RuleBuilder> {
    let docker = || RuleBuilder::always().towards_address(DOCKER_DNS);
    // The redirector's own way out: known by where it leads, not by who goes it, for a user id
    // and a mark can be taken on.
    let mut rules: Vec<_> = [TO_UPSTREAM, TO_CANDIDATE]
        .concat()
        .into_iter()
        .map(|to| RuleBuilder::always().towards(to).pass())
        .collect();
    if let Some(uid) = wiring.docker_dns_uid {
        rules.push(docker().by(uid).pass());
    }
    rules.push(docker().dns().redirect(wiring.dns_docker_port));
    rules.push(RuleBuilder::always().towards_the_box().pass());
    // Before the LAN, whose name server would forward the names.
    rules.push(RuleBuilder::always().dns().redirect(wiring.dns_port));
    if let Some(port) = wiring.proof_port {
        let target = RuleBuilder::always().towards_address(*PROOF_TARGET.ip());
        rules.push(target.tcp_port(PROOF_TARGET.port()).redirect(port));
    }
    rules.extend(TO_LAN.map(|to| RuleBuilder::always().towards(to).pass()));
    // Refused by `out`: through the proxy, they would lead into the proxy's own network.
    rules.push(
        RuleBuilder::always()
            .towards(Destination::Address4(sets::SPECIAL4))
            .pass(),
    );
    if !wiring.squatted {
        rules.push(
            RuleBuilder::always()
                .ipv4()
                .protocol(TCP)
                .redirect(wiring.redirect_port),
        );
    }
    rules
}

/// Who may answer a redirected connection. The answer that opens it is the first that a
/// listener says, and without it nothing is ever said to that listener. Under a flood the
/// kernel sends such answers for nobody, and they are stopped too.
fn redirector(wiring: &Wiring) -> [RuleBuilder; 2] {
    [
        RuleBuilder::always().by(wiring.redirector).pass(),
        RuleBuilder::always().count(Kind::Listener).drop(),
    ]
}

/// The ways into the box's own programs that lead to the upstream.
fn entrances(wiring: &Wiring) -> Vec<RuleBuilder> {
    let redirector = || {
        let near = RuleBuilder::always().towards_address(Ipv4Addr::LOCALHOST);
        near.tcp_port(wiring.redirect_port.get())
    };
    let relay = |port: NonZeroU16| {
        let near = RuleBuilder::always().towards_address(Ipv4Addr::LOCALHOST);
        let others = near.tcp_port(port.get()).unless_by_any(&wiring.carriers);
        others.count(Kind::Listener).goto(REFUSE)
    };
    let mut rules = vec![
        RuleBuilder::always()
            .backwards()
            .tcp_source_port(wiring.redirect_port)
            .opens()
            .jump(ANSWER),
        redirector().redirected().accept(),
        // It would ask the proxy for an address of the proxy's own.
        redirector().count(Kind::Listener).goto(REFUSE),
    ];
    rules.extend(wiring.relay_port.map(relay));
    rules
}

/// Connections to where the rule leads are for these users alone. What the kernel sends to the
/// end of a connection whose socket is closed has no user any more.
fn for_these(uids: &BTreeSet<u32>, reports: Reports) -> Vec<RuleBuilder> {
    let others = || RuleBuilder::always().unless_by_any(uids);
    let mut rules = Vec::new();
    if reports == Reports::On {
        rules.push(others().jump(REPORT));
    }
    rules.extend([
        others().count(Kind::Upstream).goto(REFUSE),
        RuleBuilder::always().state("established").accept(),
        RuleBuilder::always().by_any(uids).accept(),
        RuleBuilder::always().count(Kind::Upstream).goto(REFUSE),
    ]);
    rules
}

fn out(policy: &EgressPolicy) -> Vec<RuleBuilder> {
    let mut rules = vec![
        // A late FIN of a connection that conntrack forgot passes the redirect by, and would
        // carry what the application had left to say to the real destination.
        RuleBuilder::always()
            .state("invalid")
            .count(Kind::Invalid)
            .drop(),
        RuleBuilder::always().neighbour_discovery().accept(),
        spoofed(RuleBuilder::always()),
    ];
    // Before the box's own addresses, of which this is one: Docker answers here on ports of its
    // own choice too.
    rules.extend(docker_dns(policy));
    if let EgressPolicy::Open { wiring } = policy {
        rules.extend(entrances(wiring));
    }
    rules.push(RuleBuilder::always().towards_the_box().accept());
    match policy {
        EgressPolicy::Direct | EgressPolicy::Closed => {}
        EgressPolicy::Closing { resolvers } => rules.extend(name_servers(resolvers)),
        EgressPolicy::Open { .. } => {
            rules.extend(TO_UPSTREAM.map(|to| RuleBuilder::always().towards(to).jump(UPSTREAM)));
            rules.extend(TO_CANDIDATE.map(|to| RuleBuilder::always().towards(to).jump(CANDIDATE)));
            rules.push(RuleBuilder::always().dns().goto(BLOCKED));
            rules.extend(TO_LAN.map(|to| RuleBuilder::always().towards(to).accept()));
        }
    }
    // Not plain `established`, which would keep alive what was opened before the rules stood.
    rules.push(RuleBuilder::always().answer().accept());
    rules.push(
        RuleBuilder::always()
            .ipv6_housekeeping()
            .count(Kind::Housekeeping)
            .drop(),
    );
    rules.push(
        RuleBuilder::always()
            .protocol(IGMP)
            .count(Kind::Housekeeping)
            .drop(),
    );
    rules.push(RuleBuilder::always().goto(BLOCKED));
    rules
}

/// A connection from a foreign address, forged on the loopback: what answers it would pass for
/// an answer to the outside. Sockets may bind to any IPv6 address without a privilege.
fn spoofed(line: RuleBuilder) -> RuleBuilder {
    line.state("new")
        .foreign_source()
        .count(Kind::Spoofed)
        .drop()
}

fn docker_dns(policy: &EgressPolicy) -> Option<RuleBuilder> {
    let docker = RuleBuilder::always().towards_address(DOCKER_DNS);
    let refused = |line: RuleBuilder| Some(line.count(Kind::DockerDns).goto(REFUSE));
    match policy {
        EgressPolicy::Closing { resolvers } if EgressPolicy::resolves_through_docker(resolvers) => {
            None
        }
        EgressPolicy::Open { wiring } => match wiring.docker_dns_uid {
            Some(uid) => refused(docker.unless_by(uid)),
            None => refused(docker),
        },
        EgressPolicy::Direct | EgressPolicy::Closing { .. } | EgressPolicy::Closed => {
            refused(docker)
        }
    }
}

fn name_servers(resolvers: &BTreeSet<IpAddr>) -> Vec<RuleBuilder> {
    if EgressPolicy::resolves_through_docker(resolvers) {
        vec![RuleBuilder::always().dns().accept()]
    } else {
        TO_RESOLVER
            .map(|to| RuleBuilder::always().towards(to).dns().accept())
            .into()
    }
}

/// The device is known only here: a socket that was bound to one sends there even what was
/// redirected to the loopback.
fn gate(policy: &EgressPolicy, reports: Reports) -> Vec<RuleBuilder> {
    let mut rules = vec![
        RuleBuilder::always().through("lo").accept(),
        RuleBuilder::always()
            .towards_loopback()
            .count(Kind::Gate)
            .drop(),
        RuleBuilder::always().neighbour_discovery().accept(),
    ];
    match policy {
        EgressPolicy::Direct | EgressPolicy::Closed => {}
        EgressPolicy::Closing { resolvers } => rules.extend(name_servers(resolvers)),
        EgressPolicy::Open { .. } => {
            // `out` has seen who it is.
            rules.extend(TO_UPSTREAM.map(|to| RuleBuilder::always().towards(to).accept()));
            rules.extend(TO_CANDIDATE.map(|to| RuleBuilder::always().towards(to).accept()));
            rules.push(RuleBuilder::always().dns().count(Kind::Gate).drop());
            rules.extend(TO_LAN.map(|to| RuleBuilder::always().towards(to).accept()));
        }
    }
    rules.push(RuleBuilder::always().answer().accept());
    rules.extend(stopped(reports, Kind::Gate));
    rules
}

fn stopped(reports: Reports, kind: Kind) -> Vec<RuleBuilder> {
    let mut rules = report(reports);
    rules.push(RuleBuilder::always().count(kind).drop());
    rules
}

fn report(reports: Reports) -> Vec<RuleBuilder> {
    match reports {
        Reports::Off => Vec::new(),
        Reports::On => vec![RuleBuilder::always().jump(REPORT)],
    }
}
