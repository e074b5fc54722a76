//! Where the proxy is, and which listeners of the box lead to it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU16;

use thiserror::Error;

use crate::lan::Lan;

/// Where redirected TCP arrives: redsocks (`docs/design/interfaces.md`).
pub const REDIRECT_PORT: NonZeroU16 = NonZeroU16::new(12345).unwrap();

/// Where queries to Docker's name server arrive: the resolver's first port.
pub const DNS_DOCKER_PORT: NonZeroU16 = NonZeroU16::new(5301).unwrap();

/// Where all other queries arrive: the resolver's second port.
pub const DNS_PORT: NonZeroU16 = NonZeroU16::new(5302).unwrap();

/// Where a connection to [`PROOF_TARGET`] arrives while the redirector's own port is taken.
pub const PROOF_PORT: NonZeroU16 = NonZeroU16::new(12348).unwrap();

/// The user of redsocks and of the resolver (`docs/design/interfaces.md`).
pub const PROXY_UID: u32 = 971;

/// Init's user, who looks whether the proxy answers.
pub const INIT_UID: u32 = 0;

/// The address of the proof that redirects work, in TEST-NET-1 (RFC 5737): routed nowhere.
pub const PROOF_TARGET: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 1404);

/// Docker's name server in every container of a user-defined network. It listens there on two
/// ports of its own choice and redirects port 53 to them with rules of its own.
pub const DOCKER_DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// How the open box is wired: the only way out, and what leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// The proxy: every address that its name had when it was resolved.
    pub upstreams: Upstreams,
    /// Who may open a connection to it: those that carry for the others, and init, which looks
    /// whether it answers. To the rest it is a way past every rule, if it asks for no password.
    pub carriers: BTreeSet<u32>,
    /// What may be a further address of the proxy, while init alone looks whether it is one.
    pub candidates: BTreeSet<SocketAddr>,
    /// What may be reached without the proxy.
    pub lan: Lan,
    /// The redirector's port on 127.0.0.1. IPv4 alone: redsocks has no IPv6.
    pub redirect_port: NonZeroU16,
    /// The redirector's user. A listener of anybody else at its port gets no connection.
    pub redirector: u32,
    /// Whether somebody else listens at the redirector's port. Nothing is redirected there then,
    /// so that it is refused at once instead of waiting for an answer that nobody may give.
    pub squatted: bool,
    /// The relay's port on 127.0.0.1, if there is one: it leads to the proxy, and is for its
    /// carriers alone.
    pub relay_port: Option<NonZeroU16>,
    /// The resolver's port on 127.0.0.1 for queries to [`DOCKER_DNS`].
    pub dns_docker_port: NonZeroU16,
    /// The resolver's port on 127.0.0.1 and ::1 for all other queries.
    pub dns_port: NonZeroU16,
    /// The user that alone may ask [`DOCKER_DNS`], or none if no name is to be asked there.
    /// Docker forwards what it does not know, possibly from outside the container, where no
    /// rule of ours can see it.
    pub docker_dns_uid: Option<u32>,
    /// Where a connection to [`PROOF_TARGET`] arrives; without it, at the redirector.
    pub proof_port: Option<NonZeroU16>,
}

impl Wiring {
    /// The usual ports, the LAN closed, Docker's name server closed.
    #[must_use]
    pub fn through(upstreams: Upstreams) -> Self {
        Self {
            upstreams,
            carriers: [INIT_UID, PROXY_UID].into(),
            candidates: BTreeSet::new(),
            lan: Lan::default(),
            redirect_port: REDIRECT_PORT,
            redirector: PROXY_UID,
            squatted: false,
            relay_port: None,
            dns_docker_port: DNS_DOCKER_PORT,
            dns_port: DNS_PORT,
            docker_dns_uid: None,
            proof_port: None,
        }
    }
}

/// The addresses of the proxy: at least one, all of them with a port and an address that can
/// be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstreams(BTreeSet<SocketAddr>);

/// Why addresses cannot be those of a proxy.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UpstreamsError {
    /// Nothing to go through.
    #[error("the proxy has no address")]
    None,
    /// An address to which nothing can be connected.
    #[error("{0} is no address of a proxy: it needs a host and a port")]
    Unusable(SocketAddr),
}

impl Upstreams {
    /// Pins `addresses`. An IPv4 address written as IPv6 counts as IPv4, for that is how its
    /// packets look.
    ///
    /// # Errors
    /// No address at all, a port of 0, an unspecified or a multicast address.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, UpstreamsError> {
        let mut pinned = BTreeSet::new();
        for address in addresses {
            let ip = address.ip().to_canonical();
            if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
                return Err(UpstreamsError::Unusable(address));
            }
            pinned.insert(SocketAddr::new(ip, address.port()));
        }
        if pinned.is_empty() {
            Err(UpstreamsError::None)
        } else {
            Ok(Self(pinned))
        }
    }

    /// The addresses, IPv4 first, in order.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams(addresses: &[&str]) -> Result<Upstreams, UpstreamsError> {
        Upstreams::new(addresses.iter().map(|a| a.parse().unwrap()))
    }

    #[test]
    fn a_proxy_has_an_address() {
        assert_eq!(upstreams(&[]), Err(UpstreamsError::None));
    }

    #[test]
    fn nobody_can_connect_to_port_0_or_to_everybody() {
        for address in [
            "203.0.113.7:0",
            "0.0.0.0:1080",
            "[::]:1080",
            "224.0.0.1:1080",
        ] {
            let fault = upstreams(&["203.0.113.7:1080", address]).unwrap_err();
            assert_eq!(fault, UpstreamsError::Unusable(address.parse().unwrap()));
        }
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_pinned_as_ipv4() {
        assert_eq!(
            upstreams(&["[::ffff:203.0.113.7]:1080"]),
            upstreams(&["203.0.113.7:1080"])
        );
    }
}
