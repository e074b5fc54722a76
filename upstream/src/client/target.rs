//! Where a connection through the upstream should end.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::Ipv4Net;
use thiserror::Error;

use crate::url::is_host_name;

/// The far end of a connection. A name is resolved by the upstream, never here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(Inner);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Inner {
    Address(SocketAddr),
    Name { host: String, port: u16 },
}

/// A text that names no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetFault {
    /// The host is neither a name nor an address.
    #[error("the host is neither a name nor an address")]
    Host,
    /// The port is missing or no number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Target {
    /// A target by host and port; the host may be an address, with or without brackets.
    ///
    /// # Errors
    ///
    /// [`TargetFault::Host`] for what is neither a name nor an address (and so for every
    /// character that could break out of a request), [`TargetFault::Port`] for port 0.
    pub fn new(host: &str, port: u16) -> Result<Self, TargetFault> {
        if port == 0 {
            return Err(TargetFault::Port);
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Some(bare) = bare {
            let address: Ipv6Addr = bare.parse().map_err(|_| TargetFault::Host)?;
            return Ok(SocketAddr::from((address, port)).into());
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(SocketAddr::from((address, port)).into());
        }
        if !is_host_name(host) {
            return Err(TargetFault::Host);
        }
        let host = host.trim_end_matches('.').to_owned();
        Ok(Self(Inner::Name { host, port }))
    }

    /// The address, unless the target is a name.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Inner::Address(address) => Some(*address),
            Inner::Name { .. } => None,
        }
    }

    /// The name, unless the target is an address.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Inner::Address(_) => None,
            Inner::Name { host, .. } => Some(host),
        }
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match &self.0 {
            Inner::Address(address) => address.port(),
            Inner::Name { port, .. } => *port,
        }
    }

    /// Whether the target would be the upstream's own machine or network: a loopback,
    /// private, link-local or otherwise special address, or `localhost`. What a name stands
    /// for on the far side cannot be known here.
    #[must_use]
    pub fn is_special(&self) -> bool {
        match &self.0 {
            Inner::Address(address) => match address.ip() {
                IpAddr::V4(address) => special_v4(address),
                IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(
                    || {
                        address.is_unspecified()
                            || address.is_loopback()
                            || address.is_multicast()
                            || address.is_unique_local()
                            || address.is_unicast_link_local()
                    },
                    special_v4,
                ),
            },
            Inner::Name { host, .. } => {
                let host = host.to_ascii_lowercase();
                host == "localhost" || host.ends_with(".localhost")
            }
        }
    }
}

/// The networks that the box's firewall rejects as well, and the loopback.
const SPECIAL_V4: [Ipv4Net; 10] = [
    network([0, 0, 0, 0], 8),
    network([10, 0, 0, 0], 8),
    network([100, 64, 0, 0], 10),
    network([127, 0, 0, 0], 8),
    network([169, 254, 0, 0], 16),
    network([172, 16, 0, 0], 12),
    network([192, 0, 0, 0], 24),
    network([192, 168, 0, 0], 16),
    network([198, 18, 0, 0], 15),
    // Multicast and everything above it.
    network([224, 0, 0, 0], 3),
];

const fn network([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

fn special_v4(address: Ipv4Addr) -> bool {
    SPECIAL_V4.iter().any(|special| special.contains(&address))
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self(Inner::Address(address))
    }
}

impl FromStr for Target {
    type Err = TargetFault;

    /// Reads `host:port`, as in the request line of `CONNECT`.
    fn from_str(text: &str) -> Result<Self, TargetFault> {
        let (host, port) = text.rsplit_once(':').ok_or(TargetFault::Port)?;
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TargetFault::Port);
        }
        if host.contains(':') && !host.starts_with('[') {
            return Err(TargetFault::Host);
        }
        Self::new(host, port.parse().map_err(|_| TargetFault::Port)?)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Address(address) => address.fmt(f),
            Inner::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_read_and_shown_again() {
        for text in [
            "example.org:443",
            "192.0.2.1:80",
            "[2001:db8::1]:22",
            "a_b.example:1",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_could_break_out_of_a_request_is_no_target() {
        for text in [
            "",
            "example.org",
            ":80",
            "a:0",
            "a:+1",
            "a b:80",
            "a\r\nb:80",
            "2001:db8::1:22",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_upstreams_own_network_is_special() {
        for text in [
            "127.0.0.1:1",
            "10.1.1.1:1",
            "169.254.169.254:80",
            "172.31.0.1:1",
            "192.168.1.1:1",
            "100.100.0.1:1",
            "[::1]:1",
            "[::ffff:10.0.0.1]:1",
            "[fd00::1]:1",
            "[fe80::1]:1",
            "LocalHost:1",
        ] {
            assert!(text.parse::<Target>().unwrap().is_special(), "{text}");
        }
        for text in [
            "192.0.2.1:1",
            "172.32.0.1:1",
            "[2001:db8::1]:1",
            "example.org:1",
        ] {
            assert!(!text.parse::<Target>().unwrap().is_special(), "{text}");
        }
    }
}
