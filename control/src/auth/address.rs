//! Who is at the other end: the peer's address, or what a trusted proxy says of it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderValue};
use ipnet::{IpNet, Ipv6Net};

use super::digest::Verifier;
use super::own::is_own;

/// A network. IPv4 networks are kept as the IPv6 networks that they map to, because a dual-stack
/// listener shows addresses so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(Ipv6Net);

/// Text that is no network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network like 10.0.0.0/8")]
pub struct BadNetwork(String);

/// The leading bits that every IPv4 address has in common as an IPv6 one.
const MAPPED: u8 = 96;
/// The network that one client of IPv6 usually has to itself.
const SITE: u8 = 64;

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadNetwork(text.to_owned());
        let network = match text.parse() {
            Ok(network) => network,
            Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| bad())?),
        };
        let offset = if network.addr().is_ipv4() { MAPPED } else { 0 };
        Ipv6Net::new(wide(network.addr()), network.prefix_len() + offset)
            .map(Self)
            .map_err(|_| bad())
    }
}

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&wide(ip))
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// Whether that is one of the box's own, as it was when the connection was accepted.
    pub is_own: bool,
}

impl From<SocketAddr> for Peer {
    fn from(peer: SocketAddr) -> Self {
        Self {
            ip: peer.ip().to_canonical(),
            is_own: is_own(peer),
        }
    }
}

/// What peers are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kin {
    /// The programs in the box, by whatever address they come.
    Own,
    /// Everybody else, by where they come from.
    Peer(Origin),
}

impl From<Peer> for Kin {
    fn from(peer: Peer) -> Self {
        if peer.is_own {
            Self::Own
        } else {
            Self::Peer(peer.ip.into())
        }
    }
}

impl fmt::Display for Kin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("the box itself"),
            Self::Peer(origin) => origin.fmt(f),
        }
    }
}

/// The reverse proxies that are believed (`CIB_TRUSTED_PROXIES`).
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    /// Where they are.
    pub networks: Vec<Network>,
    /// What they have to send as well, if anything (`CIB_TRUSTED_PROXY_SECRET`).
    pub secret: Option<Verifier>,
}

/// The header in which a proxy sends what it shares with the box.
pub const PROXY_SECRET: &str = "x-cib-proxy-secret";

/// The header in which a proxy says who its user is.
pub const PROXY_USER: &str = "x-forwarded-user";

/// Characters that a proxy's user may have.
const MAX_USER: usize = 256;

impl TrustedProxies {
    /// Whether a network of proxies contains an address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// Whether a request comes from one of them. Programs in the box could send from an address
    /// that lies in such a network, so without a secret the box's own addresses are never one.
    #[must_use]
    pub fn vouches(&self, peer: Peer, headers: &HeaderMap) -> bool {
        self.contains(peer.ip)
            && match &self.secret {
                None => !peer.is_own,
                Some(secret) => {
                    only(headers, PROXY_SECRET).is_some_and(|sent| secret.matches(sent.as_bytes()))
                }
            }
    }

    /// Whether a request came over TLS: to a proxy that is believed, since there is none here.
    #[must_use]
    pub fn is_secure(&self, peer: Peer, headers: &HeaderMap) -> bool {
        self.vouches(peer, headers)
            && only(headers, "x-forwarded-proto")
                .is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
    }

    /// The user that a proxy has authenticated, if it says one.
    ///
    /// # Errors
    /// Why what it says cannot be used: a claim that can be read in two ways is none.
    pub fn user(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
        let is_odd = |name: &str| {
            let plain = name.replace('_', "-");
            name.contains('_') && (plain == PROXY_USER || plain == PROXY_SECRET)
        };
        if headers.keys().any(|name| is_odd(name.as_str())) {
            return Err("a header for the proxy alone is there in another spelling, with `_`");
        }
        if !headers.contains_key(PROXY_USER) {
            return Ok(None);
        }
        let user = only(headers, PROXY_USER).ok_or("`X-Forwarded-User` is there more than once")?;
        let user = std::str::from_utf8(user.as_bytes())
            .map_err(|_| "`X-Forwarded-User` is not UTF-8")?
            .trim_matches(' ');
        if user.is_empty() {
            return Err("`X-Forwarded-User` is empty");
        }
        if user.chars().count() > MAX_USER || user.chars().any(char::is_control) {
            return Err("`X-Forwarded-User` is too long or has control characters in it");
        }
        Ok(Some(user))
    }

    /// The client behind a request: the peer, or behind proxies that are believed the last
    /// address of `X-Forwarded-For` that is not itself one of them.
    #[must_use]
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> Kin {
        if self.vouches(peer, headers) {
            Kin::Peer(self.forwarded(peer.ip, headers).into())
        } else {
            peer.into()
        }
    }

    fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
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
            if !self.contains(ip) {
                break;
            }
        }
        client
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Where peers come from: an IPv4 address, or an IPv6 network of 64 bits, since
/// one client usually has all of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Ipv6Net);

impl From<IpAddr> for Origin {
    fn from(ip: IpAddr) -> Self {
        let bits = match ip.to_canonical() {
            IpAddr::V4(_) => 128,
            IpAddr::V6(_) => SITE,
        };
        Self(Ipv6Net::new_assert(wide(ip), bits).trunc())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match IpAddr::V6(self.0.addr()).to_canonical() {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(_) => self.0.fmt(f),
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

    fn stranger(text: &str) -> Peer {
        Peer {
            ip: ip(text),
            is_own: false,
        }
    }

    fn proxies(secret: Option<&str>) -> TrustedProxies {
        TrustedProxies {
            networks: vec!["172.16.0.0/12".parse().unwrap()],
            secret: secret.map(|secret| Verifier::plain(secret.as_bytes())),
        }
    }

    #[test]
    fn only_a_trusted_proxy_may_say_who_the_client_is() {
        let trusted = proxies(None);
        let headers = forwarded(&["203.0.113.9, 198.51.100.7"]);
        let client = |peer: &str, headers: &HeaderMap| trusted.client(stranger(peer), headers);
        let is = |text: &str| Kin::Peer(ip(text).into());
        assert_eq!(
            client("192.0.2.1", &headers),
            is("192.0.2.1"),
            "an untrusted peer is itself"
        );
        assert_eq!(
            client("172.17.0.1", &headers),
            is("198.51.100.7"),
            "the client's own claim in front of it is not believed"
        );
        assert_eq!(
            client("172.17.0.1", &forwarded(&["198.51.100.7", "172.18.0.2"])),
            is("198.51.100.7"),
            "a chain of trusted proxies is followed"
        );
        assert_eq!(
            client("172.17.0.1", &forwarded(&["nonsense"])),
            is("172.17.0.1")
        );
    }

    #[test]
    fn an_address_of_the_box_is_never_a_proxy_unless_it_knows_the_secret() {
        let own = Peer {
            ip: ip("172.17.0.2"),
            is_own: true,
        };
        let headers = forwarded(&["203.0.113.9"]);
        assert!(!proxies(None).vouches(own, &headers));
        assert_eq!(proxies(None).client(own, &headers), Kin::Own);
        let shared = proxies(Some("between the proxy and the box"));
        assert!(!shared.vouches(own, &headers));
        let mut knowing = headers;
        knowing.insert(
            PROXY_SECRET,
            "between the proxy and the box".parse().unwrap(),
        );
        assert!(shared.vouches(own, &knowing));
        assert!(!shared.vouches(stranger("192.0.2.1"), &knowing));
        knowing.append(
            PROXY_SECRET,
            "between the proxy and the box".parse().unwrap(),
        );
        assert!(!shared.vouches(own, &knowing), "twice is not once");
    }

    #[test]
    fn a_secret_that_is_shared_is_asked_of_every_proxy() {
        let shared = proxies(Some("between the proxy and the box"));
        let mut headers = HeaderMap::new();
        assert!(!shared.vouches(stranger("172.17.0.9"), &headers));
        headers.insert(PROXY_SECRET, "something else".parse().unwrap());
        assert!(!shared.vouches(stranger("172.17.0.9"), &headers));
    }

    #[test]
    fn a_user_that_can_be_read_in_two_ways_is_refused() {
        let user = |pairs: &[(&'static str, &[u8])]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_bytes(value).unwrap());
            }
            TrustedProxies::user(&headers).map(|user| user.map(str::to_owned))
        };
        assert_eq!(user(&[]), Ok(None));
        assert_eq!(user(&[(PROXY_USER, b" ann ")]), Ok(Some("ann".to_owned())));
        let long = "x".repeat(MAX_USER + 1);
        let odd: &[&[(&'static str, &[u8])]] = &[
            &[(PROXY_USER, b"ann"), (PROXY_USER, b"bob")],
            &[(PROXY_USER, b"ann"), (PROXY_USER, b"ann")],
            &[(PROXY_USER, b"ann"), ("x_forwarded_user", b"root")],
            &[("x_forwarded-user", b"root")],
            &[("x_cib_proxy_secret", b"root")],
            &[(PROXY_USER, b"")],
            &[(PROXY_USER, b"  ")],
            &[(PROXY_USER, b"ann\tbob")],
            &[(PROXY_USER, b"ann\xff")],
            &[(PROXY_USER, long.as_bytes())],
        ];
        for headers in odd {
            assert!(user(headers).is_err(), "{headers:?}");
        }
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
