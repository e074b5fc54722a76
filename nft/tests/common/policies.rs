//! The policies of the golden rulesets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cib_nft::{DOCKER_DNS, EgressPolicy, PROOF_PORT, Reports, Ruleset, Upstreams, Wiring};

pub(crate) const UPSTREAM: &str = "203.0.113.7:1080";
pub(crate) const UPSTREAM6: &str = "[2001:db8:7::7]:1080";

pub(crate) fn open(lan: &str) -> Wiring {
    let upstreams = [UPSTREAM, UPSTREAM6].map(|address| address.parse().unwrap());
    let mut wiring = Wiring::through(Upstreams::new(upstreams).unwrap());
    wiring.lan = lan.parse().unwrap();
    wiring
}

fn closing(resolvers: [IpAddr; 2]) -> EgressPolicy {
    EgressPolicy::Closing {
        resolvers: resolvers.into(),
    }
}

/// A name for the file, and what is in it.
pub(crate) fn golden() -> Vec<(&'static str, Ruleset)> {
    let servers = ["192.0.2.53", "2001:db8::53"].map(|address| address.parse().unwrap());
    let wired = Wiring {
        docker_dns_uid: Some(971),
        candidates: ["203.0.113.9:1080".parse().unwrap()].into(),
        squatted: true,
        relay_port: std::num::NonZeroU16::new(12347),
        proof_port: Some(PROOF_PORT),
        ..open("10.77.0.0/24,192.168.1.1,fd77::/48")
    };
    let wired = EgressPolicy::Open { wiring: wired };
    let plain = EgressPolicy::Open { wiring: open("") };
    let inet = |policy: &EgressPolicy| Ruleset::inet(policy, Reports::On);
    vec![
        ("closing", inet(&closing(servers))),
        (
            "closing-docker",
            inet(&closing([servers[0], IpAddr::V4(DOCKER_DNS)])),
        ),
        ("closed", inet(&EgressPolicy::Closed)),
        ("open", inet(&plain)),
        ("open-lan", inet(&wired)),
        ("open-without-reports", Ruleset::inet(&plain, Reports::Off)),
        (
            "devices",
            Ruleset::netdev(&EgressPolicy::Closed, &devices()),
        ),
    ]
}

pub(crate) fn devices() -> BTreeSet<String> {
    ["eth0", "eth1"].map(str::to_owned).into()
}
