//! The resolver's configuration file, which init writes and nobody edits.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use cib_base::log::LevelFilter;
use cib_upstream::relay::RelayConfig;
use cib_upstream::service::level;
use cib_upstream::{Upstream, as_url, is_host_name};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::server::{DnsServer, default_servers};

/// The port that takes what was sent to Docker's own DNS, 127.0.0.11.
pub const DOCKER_PORT: u16 = 5301;
/// The port that takes every other query.
pub const ANY_PORT: u16 = 5302;

/// Everything `cib-resolver` has to know, as JSON. It holds the upstream's credentials:
/// mode 0400 and cib-proxy's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverConfig {
    /// The upstream, as a URL with its credentials.
    #[serde(with = "as_url")]
    pub upstream: Upstream,
    /// The upstream's pinned addresses, in order of preference. The resolver never looks them
    /// up: it would have to ask itself.
    pub addresses: Vec<IpAddr>,
    /// The DNS servers, on the far side of the upstream.
    #[serde(default = "default_servers")]
    pub servers: Vec<DnsServer>,
    /// How to ask them.
    #[serde(default)]
    pub mode: Mode,
    /// The names that Docker is asked for, if the query came in at Docker's port.
    #[serde(default)]
    pub local_names: BTreeSet<LocalName>,
    /// How many answers are kept. One takes some 200 bytes.
    #[serde(default = "default_cache")]
    pub cache_entries: usize,
    /// How many queries may be on their way at once; the next one gets SERVFAIL.
    #[serde(default = "default_queries")]
    pub queries: usize,
    /// Where queries come in that were meant for Docker's DNS.
    #[serde(default = "default_listen_docker")]
    pub listen_docker: Vec<SocketAddr>,
    /// Where every other query comes in.
    #[serde(default = "default_listen_any")]
    pub listen_any: Vec<SocketAddr>,
    /// Docker's DNS.
    #[serde(default = "default_docker_dns")]
    pub docker_dns: SocketAddr,
    /// The certificates that DNS over HTTPS trusts, PEM.
    #[serde(default = "default_ca_bundle")]
    pub ca_bundle: PathBuf,
    /// A relay for a redirector that cannot reach the upstream itself.
    #[serde(default)]
    pub relay: Option<RelayConfig>,
    /// What is logged.
    #[serde(default = "level::default", with = "level")]
    pub log: LevelFilter,
}

impl ResolverConfig {
    /// The configuration with every default, for an upstream and its pinned addresses.
    #[must_use]
    pub fn new(upstream: Upstream, addresses: Vec<IpAddr>) -> Self {
        Self {
            upstream,
            addresses,
            servers: default_servers(),
            mode: Mode::default(),
            local_names: BTreeSet::new(),
            cache_entries: default_cache(),
            queries: default_queries(),
            listen_docker: default_listen_docker(),
            listen_any: default_listen_any(),
            docker_dns: default_docker_dns(),
            ca_bundle: default_ca_bundle(),
            relay: None,
            log: level::default(),
        }
    }
}

/// How the DNS servers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// TCP to port 53, and HTTPS where that does not go through.
    #[default]
    Auto,
    /// TCP to port 53 alone.
    Tcp53,
    /// HTTPS alone.
    Doh,
}

/// A name that Docker may be asked for: lower case, no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LocalName(String);

/// An entry of `CIB_LOCAL_NAMES` that is no host name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "CIB_LOCAL_NAMES has the entry `{0}`, which is not a host name; \
     list exact names of containers, separated by commas"
)]
pub struct LocalNameFault(String);

impl LocalName {
    /// Reads the value of `CIB_LOCAL_NAMES`: names separated by commas or white space.
    ///
    /// # Errors
    ///
    /// One fault for each entry that is no host name.
    pub fn parse_list(text: &str) -> Result<BTreeSet<Self>, Vec<LocalNameFault>> {
        let mut names = BTreeSet::new();
        let mut faults = Vec::new();
        for entry in text
            .split([',', ' ', '\t', '\n'])
            .filter(|entry| !entry.is_empty())
        {
            match entry.parse() {
                Ok(name) => drop(names.insert(name)),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() {
            Ok(names)
        } else {
            Err(faults)
        }
    }
}

impl FromStr for LocalName {
    type Err = LocalNameFault;

    fn from_str(text: &str) -> Result<Self, LocalNameFault> {
        if !is_host_name(text) {
            return Err(LocalNameFault(text.to_owned()));
        }
        Ok(Self(text.trim_end_matches('.').to_ascii_lowercase()))
    }
}

impl TryFrom<String> for LocalName {
    type Error = LocalNameFault;

    fn try_from(text: String) -> Result<Self, LocalNameFault> {
        text.parse()
    }
}

impl From<LocalName> for String {
    fn from(name: LocalName) -> Self {
        name.0
    }
}

impl fmt::Display for LocalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for LocalName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn default_cache() -> usize {
    1024
}

fn default_queries() -> usize {
    256
}

fn default_listen_docker() -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, DOCKER_PORT).into()]
}

/// Also on `::1`: a name server with an IPv6 address is redirected there.
fn default_listen_any() -> Vec<SocketAddr> {
    vec![
        (Ipv4Addr::LOCALHOST, ANY_PORT).into(),
        (Ipv6Addr::LOCALHOST, ANY_PORT).into(),
    ]
}

fn default_docker_dns() -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, 11), 53).into()
}

fn default_ca_bundle() -> PathBuf {
    "/etc/ssl/certs/ca-certificates.crt".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ResolverConfig {
        let upstream = Upstream::parse("socks5://hunter1:hunter%402@[2001:db8::1]:1080").unwrap();
        ResolverConfig::new(upstream, vec!["2001:db8::1".parse().unwrap()])
    }

    #[test]
    fn a_configuration_is_read_back_as_it_was_written() {
        let mut config = config();
        config.local_names = LocalName::parse_list("postgres, redis.lan").unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<ResolverConfig>(&text).unwrap(),
            config
        );
    }

    #[test]
    fn a_short_configuration_takes_the_defaults() {
        let text = r#"{"upstream":"http://proxy:3128","addresses":["192.0.2.1"]}"#;
        let config: ResolverConfig = serde_json::from_str(text).unwrap();
        let expected = ResolverConfig::new(
            Upstream::parse("http://proxy:3128").unwrap(),
            vec!["192.0.2.1".parse().unwrap()],
        );
        assert_eq!(config, expected);
        let unknown = text.replace("addresses", "adresses");
        assert!(serde_json::from_str::<ResolverConfig>(&unknown).is_err());
    }

    #[test]
    fn debug_output_holds_no_password() {
        let shown = format!("{:?}", config());
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn local_names_are_exact_and_every_bad_one_is_reported() {
        let names = LocalName::parse_list("Postgres., postgres\n redis").unwrap();
        assert_eq!(
            names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["postgres", "redis"]
        );
        let faults = LocalName::parse_list("*.lan, ok, a/b").unwrap_err();
        assert_eq!(faults.len(), 2);
        assert!(
            faults[0].to_string().contains("CIB_LOCAL_NAMES"),
            "{}",
            faults[0]
        );
    }
}
