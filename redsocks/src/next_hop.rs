//! Where the redirector connects to: the upstream, or the relay to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::redirector::Redirector;

/// Where the redirector should connect to, for an upstream pinned at `addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The upstream itself.
    Upstream(SocketAddr),
    /// The relay in the resolver, because the redirector cannot reach any of the addresses.
    Relay(SocketAddrV4),
}

impl NextHop {
    /// The address to connect to.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        match self {
            Self::Upstream(address) => address,
            Self::Relay(address) => address.into(),
        }
    }
}

/// The first pinned address that the redirector can reach, or else the relay on `relay_port`
/// of the box's loopback.
#[must_use]
pub fn next_hop(
    redirector: &dyn Redirector,
    addresses: &[IpAddr],
    port: u16,
    relay_port: u16,
) -> NextHop {
    addresses
        .iter()
        .find(|address| redirector.can_reach(**address))
        .map_or(
            NextHop::Relay(SocketAddrV4::new(Ipv4Addr::LOCALHOST, relay_port)),
            |address| NextHop::Upstream((*address, port).into()),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redsocks::Redsocks;

    #[test]
    fn an_upstream_with_ipv6_alone_is_reached_over_the_relay() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let hop = |addresses: &[IpAddr]| next_hop(&Redsocks::default(), addresses, 1080, 12347);
        assert_eq!(hop(&[v6, v4]), NextHop::Upstream((v4, 1080).into()));
        assert_eq!(hop(&[v6]).address(), "127.0.0.1:12347".parse().unwrap());
    }
}
