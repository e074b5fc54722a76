//! The relay in front of redsocks.

use std::net::Ipv6Addr;

use cib_redsocks::{NextHop, Redsocks, next_hop};
use cib_resolver::ResolverConfig;
use cib_testkit::socks::{Kind, Socks};
use cib_upstream::Upstream;
use cib_upstream::relay::{RELAY_PORT, RelayConfig};

use crate::lab::{FROM, Lab, PROXY_PORT, listens};
use crate::program::resolver;
use crate::world::web;

#[test]
fn tcp_goes_through_an_upstream_with_an_ipv6_literal() {
    let lab = Lab::new();
    let visitors = web(&lab);
    let address: Ipv6Addr = "2001:db8:1::1".parse().unwrap();
    let socks = Socks {
        kind: Kind::Microsocks,
        listen: (address, PROXY_PORT).into(),
        from: FROM.into(),
        login: None,
    };
    let _microsocks = socks.start(&lab.far).unwrap();
    let upstream = Upstream::parse(&format!("socks5://[{address}]:{PROXY_PORT}")).unwrap();
    let hop = next_hop(
        &Redsocks::default(),
        &[address.into()],
        PROXY_PORT,
        RELAY_PORT,
    );
    assert!(matches!(hop, NextHop::Relay(_)), "redsocks knows no IPv6");
    let mut config = ResolverConfig::new(upstream.clone(), vec![address.into()]);
    config.relay = Some(RelayConfig {
        listen: hop.address(),
        connections: 64,
    });
    let _resolver = resolver(&lab, &config);
    assert!(listens(&lab.inside, RELAY_PORT));
    let _redsocks = lab.redsocks(&upstream, hop.address());
    assert_eq!(lab.fetch().as_deref(), Ok("page"));
    assert_eq!(visitors.all(), [FROM]);
}
