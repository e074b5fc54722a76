//! Who is at the other end: the peer's address, or what a trusted proxy says of it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    bits: u8,
}

/// Text that is no network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network like 10.0.0.0/8")]
pub struct BadNetwork(String);

/// IPv4 addresses are compared as the IPv6 addresses that they map to, because a dual-stack
/// listener shows them so.
fn wide(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(bits))
        .unwrap_or_default()
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| bad())?;
        let (width, offset) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(bad());
        }
        let bits = bits + offset;
        Ok(Self {
            address: wide(ip) & mask(bits),
            bits,
        })
    }
}

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        wide(ip) & mask(self.bits) == self.address
    }
}

/// The networks whose reverse proxies are believed (`CIB_TRUSTED_PROXIES`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<Network>);

impl TrustedProxies {
    /// Whether the peer is one of them.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(peer))
    }

    /// The client's address: the peer, or behind trusted proxies the last address of
    /// `X-Forwarded-For` that is not itself a trusted proxy.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let values: Vec<_> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let mut client = peer;
        for hop in values.into_iter().rev() {
            let Ok(ip) = hop.parse::<IpAddr>() else { break };
            client = ip;
            if !self.trusts(ip) {
                break;
            }
        }
        client
    }
}

/// What failed attempts are counted by: an IPv4 address, or an IPv6 network of 64 bits, since
/// one client usually has all of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(u128);

impl From<IpAddr> for Origin {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() & mask(64)),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = IpAddr::V6(self.0.into()).to_canonical();
        match ip {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_its_own_addresses_also_as_mapped_ones() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        assert!(network.contains(ip("10.1.2.3")));
        assert!(network.contains(ip("::ffff:10.1.2.3")));
        assert!(!network.contains(ip("10.2.0.1")));
        assert!(
            "0.0.0.0/0"
                .parse::<Network>()
                .unwrap()
                .contains(ip("8.8.8.8"))
        );
        assert!(
            !"0.0.0.0/0"
                .parse::<Network>()
                .unwrap()
                .contains(ip("2001:db8::1"))
        );
        assert!("::/0".parse::<Network>().unwrap().contains(ip("8.8.8.8")));
    }

    #[test]
    fn a_network_with_too_many_bits_or_without_an_address_is_refused() {
        for bad in ["10.0.0.0/33", "::/129", "proxy", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    fn forwarded(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_a_trusted_proxy_may_say_who_the_client_is() {
        let trusted = TrustedProxies(vec!["172.16.0.0/12".parse().unwrap()]);
        let headers = forwarded(&["203.0.113.9, 198.51.100.7"]);
        assert_eq!(
            trusted.client(ip("192.0.2.1"), &headers),
            ip("192.0.2.1"),
            "an untrusted peer is itself"
        );
        assert_eq!(
            trusted.client(ip("172.17.0.1"), &headers),
            ip("198.51.100.7"),
            "the client's own claim in front of it is not believed"
        );
        assert_eq!(
            trusted.client(
                ip("172.17.0.1"),
                &forwarded(&["198.51.100.7", "172.18.0.2"])
            ),
            ip("198.51.100.7"),
            "a chain of trusted proxies is followed"
        );
        assert_eq!(
            trusted.client(ip("172.17.0.1"), &forwarded(&["nonsense"])),
            ip("172.17.0.1")
        );
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_origin() {
        assert_eq!(
            Origin::from(ip("2001:db8::1")),
            Origin::from(ip("2001:db8::ffff"))
        );
        assert_ne!(Origin::from(ip("192.0.2.1")), Origin::from(ip("192.0.2.2")));
        assert_eq!(
            Origin::from(ip("192.0.2.1")),
            Origin::from(ip("::ffff:192.0.2.1"))
        );
        assert_eq!(Origin::from(ip("192.0.2.1")).to_string(), "192.0.2.1");
    }
}
