//! A DNS server on the upstream's far side, and the value of `CIB_DNS_SERVERS`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use cib_upstream::client::Target;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The path of RFC 8484's own examples, and of every public server.
const DOH_PATH: &str = "/dns-query";

/// A DNS server.
///
/// Written as an address with an optional port (`1.1.1.1`, `[2606:4700:4700::1111]:53`),
/// which is asked over TCP there and over HTTPS at `https://ADDRESS/dns-query`, or as the URL
/// of a DNS-over-HTTPS service, which is asked no other way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DnsServer {
    /// An address that takes DNS over TCP.
    Address(SocketAddr),
    /// A DNS-over-HTTPS service.
    Https {
        /// The host and port; a name is resolved on the far side.
        target: Target,
        /// The path, which begins with `/`.
        path: String,
    },
}

/// An entry of `CIB_DNS_SERVERS` that names no server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DnsServerFault {
    /// Neither an address nor a URL.
    #[error(
        "CIB_DNS_SERVERS has the entry `{0}`; \
         write addresses (1.1.1.1, 9.9.9.9:53) or https://host/path, separated by commas"
    )]
    Entry(String),
    /// No entry at all.
    #[error("CIB_DNS_SERVERS is empty; name a server, or unset it for 1.1.1.1 and 9.9.9.9")]
    Empty,
}

impl DnsServer {
    /// Reads the value of `CIB_DNS_SERVERS`: servers separated by commas or white space.
    ///
    /// # Errors
    ///
    /// One fault for each entry that names no server.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Vec<DnsServerFault>> {
        let entries = || {
            text.split([',', ' ', '\t', '\n'])
                .filter(|entry| !entry.is_empty())
        };
        let faults: Vec<_> = entries()
            .filter_map(|entry| entry.parse::<Self>().err())
            .collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let servers: Vec<Self> = entries().filter_map(|entry| entry.parse().ok()).collect();
        if servers.is_empty() {
            Err(vec![DnsServerFault::Empty])
        } else {
            Ok(servers)
        }
    }

    /// Where it takes DNS over TCP, if it does.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Https { .. } => None,
        }
    }

    /// Where it takes DNS over HTTPS.
    #[must_use]
    pub fn https(&self) -> (Target, &str) {
        match self {
            Self::Address(address) => (SocketAddr::new(address.ip(), 443).into(), DOH_PATH),
            Self::Https { target, path } => (target.clone(), path),
        }
    }
}

/// Cloudflare's and Quad9's. Both take DNS over TCP and over HTTPS, and have certificates for
/// their addresses, so that no name needs to be known beforehand.
pub(crate) fn default_servers() -> Vec<DnsServer> {
    [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(9, 9, 9, 9)]
        .map(|address| DnsServer::Address((address, 53).into()))
        .to_vec()
}

impl FromStr for DnsServer {
    type Err = DnsServerFault;

    fn from_str(text: &str) -> Result<Self, DnsServerFault> {
        let fault = || DnsServerFault::Entry(text.to_owned());
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address((address, 53).into()));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(fault())
            } else {
                Ok(Self::Address(address))
            };
        }
        let rest = text.strip_prefix("https://").ok_or_else(fault)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let target = if authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']'))
        {
            authority.parse()
        } else {
            Target::new(authority, 443)
        };
        // What goes into the request line has to be visible ASCII.
        if !path
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'#' && b != b'{')
        {
            return Err(fault());
        }
        let path = if path.is_empty() { DOH_PATH } else { path }.to_owned();
        Ok(Self::Https {
            target: target.map_err(|_| fault())?,
            path,
        })
    }
}

impl fmt::Display for DnsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Https { target, path } => write!(f, "https://{target}{path}"),
        }
    }
}

impl TryFrom<String> for DnsServer {
    type Error = DnsServerFault;

    fn try_from(text: String) -> Result<Self, DnsServerFault> {
        text.parse()
    }
}

impl From<DnsServer> for String {
    fn from(server: DnsServer) -> Self {
        server.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_write_a_server_is_read() {
        for (text, shown) in [
            ("1.1.1.1", "1.1.1.1:53"),
            ("1.1.1.1:5353", "1.1.1.1:5353"),
            ("2606:4700:4700::1111", "[2606:4700:4700::1111]:53"),
            ("[2606:4700:4700::1111]:53", "[2606:4700:4700::1111]:53"),
            ("https://dns.example", "https://dns.example:443/dns-query"),
            (
                "https://dns.example:8443/q?x=1",
                "https://dns.example:8443/q?x=1",
            ),
            ("https://[2001:db8::1]/q", "https://[2001:db8::1]:443/q"),
        ] {
            let server: DnsServer = text.parse().expect(text);
            assert_eq!(server.to_string(), shown);
            assert_eq!(shown.parse::<DnsServer>().as_ref(), Ok(&server));
        }
    }

    #[test]
    fn every_bad_entry_is_reported_with_the_variable() {
        let faults =
            DnsServer::parse_list("1.1.1.1,dns.example udp://9.9.9.9, 1.1.1.1:0").unwrap_err();
        assert_eq!(faults.len(), 3);
        assert!(
            faults
                .iter()
                .all(|fault| fault.to_string().contains("CIB_DNS_SERVERS"))
        );
        assert_eq!(
            DnsServer::parse_list(" ,"),
            Err(vec![DnsServerFault::Empty])
        );
    }

    #[test]
    fn an_address_is_asked_over_https_at_the_same_host() {
        let server: DnsServer = "9.9.9.9".parse().unwrap();
        let (target, path) = server.https();
        assert_eq!(
            (target.to_string().as_str(), path),
            ("9.9.9.9:443", "/dns-query")
        );
    }
}
