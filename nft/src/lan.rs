//! The networks that may be reached without the proxy (`CIB_LAN`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

/// Where clouds answer with the credentials of the machine.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Networks that may be reached directly, and none by default. No network lies within another
/// and no two could be written as one: the kernel refuses intervals that overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lan(Vec<IpNet>);

/// Why a list of networks cannot be opened.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LanError {
    /// Neither an address nor a network.
    #[error("{0:?} is neither an address nor a network such as 192.168.0.0/16")]
    Malformed(String),
    /// A prefix of length 0.
    #[error("{0} is every address there is, which would leave the proxy without a purpose")]
    Everything(IpNet),
    /// The box itself.
    #[error("{0} is the box's own loopback, which is always open within the box")]
    Loopback(IpNet),
}

/// What a person should know about a network that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LanCaution {
    /// The cloud's metadata service can be asked for the machine's credentials.
    Metadata(IpNet),
    /// The network is not a private one.
    Public(IpNet),
}

impl Lan {
    /// Opens `networks`, joined where they touch or overlap. Bits behind a prefix are ignored.
    ///
    /// # Errors
    /// A network that is everything, or that is the loopback.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Result<Self, LanError> {
        let mut joined: Vec<IpNet> = Vec::new();
        for network in networks {
            let network = network.trunc();
            if network.addr().to_canonical().is_loopback() {
                return Err(LanError::Loopback(network));
            }
            joined.push(network);
        }
        let joined = IpNet::aggregate(&joined);
        // Asked of the joined networks: two halves are everything as well.
        match joined.iter().find(|network| network.prefix_len() == 0) {
            Some(&everything) => Err(LanError::Everything(everything)),
            None => Ok(Self(joined)),
        }
    }

    /// Is nothing open?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// May `address` be reached directly?
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// What is open, joined and in order.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().copied()
    }

    pub(crate) fn v4(&self) -> impl Iterator<Item = Ipv4Net> {
        self.0.iter().filter_map(|network| match network {
            IpNet::V4(network) => Some(*network),
            IpNet::V6(_) => None,
        })
    }

    pub(crate) fn v6(&self) -> impl Iterator<Item = Ipv6Net> {
        self.0.iter().filter_map(|network| match network {
            IpNet::V4(_) => None,
            IpNet::V6(network) => Some(*network),
        })
    }

    /// What to warn of at boot.
    #[must_use]
    pub fn cautions(&self) -> Vec<LanCaution> {
        let mut cautions = Vec::new();
        for &network in &self.0 {
            if network.contains(&METADATA) {
                cautions.push(LanCaution::Metadata(network));
            }
            if !is_private(network) {
                cautions.push(LanCaution::Public(network));
            }
        }
        cautions
    }
}

/// Private, shared, link-local, unique-local or multicast, by its first address; a network
/// that reaches beyond such a range counts as public.
fn is_private(network: IpNet) -> bool {
    const V4: [([u8; 4], u8); 6] = [
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([224, 0, 0, 0], 4),
    ];
    match network {
        IpNet::V4(network) => V4.iter().any(|&(address, length)| {
            Ipv4Net::new_assert(address.into(), length).contains(&network)
        }),
        IpNet::V6(network) => {
            let first = network.addr();
            (first.is_unique_local() && network.prefix_len() >= 7)
                || (first.is_unicast_link_local() && network.prefix_len() >= 10)
                || (first.is_multicast() && network.prefix_len() >= 8)
        }
    }
}

impl FromStr for Lan {
    type Err = LanError;

    /// Reads networks and addresses parted by commas; blanks and empty entries are ignored.
    fn from_str(list: &str) -> Result<Self, LanError> {
        let mut networks = Vec::new();
        for entry in list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let network = entry
                .parse::<IpNet>()
                .or_else(|_| entry.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| LanError::Malformed(entry.to_owned()))?;
            networks.push(network);
        }
        Self::new(networks)
    }
}

impl fmt::Display for LanCaution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(network) => write!(
                f,
                "CIB_LAN opens {network}: the cloud's metadata service at {METADATA} can be asked \
                 for this machine's credentials"
            ),
            Self::Public(network) => write!(
                f,
                "CIB_LAN opens {network}, which is no private network: \
                 what goes there does not go through the proxy"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(list: &str) -> String {
        let lan: Lan = list.parse().unwrap();
        lan.networks()
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn networks_that_touch_or_overlap_become_one() {
        assert_eq!(written("10.0.0.0/25,10.0.0.128/25"), "10.0.0.0/24");
        assert_eq!(written("10.1.2.3/32,10.0.0.0/8, 10.1.0.0/16"), "10.0.0.0/8");
        assert_eq!(written("fd00::/9,fd80::/9"), "fd00::/8");
    }

    #[test]
    fn an_address_is_a_network_of_one_and_stray_bits_are_ignored() {
        assert_eq!(
            written("192.168.1.7/24, 10.0.0.1,,fd00::1"),
            "10.0.0.1/32,192.168.1.0/24,fd00::1/128"
        );
    }

    #[test]
    fn everything_and_the_loopback_are_refused() {
        for everything in ["0.0.0.0/0", "10.0.0.0/8,::/0", "0.0.0.0/1,128.0.0.0/1"] {
            assert!(matches!(
                everything.parse::<Lan>(),
                Err(LanError::Everything(_))
            ));
        }
        for loopback in ["127.0.0.0/8", "::1", "127.0.0.11"] {
            assert!(
                matches!(loopback.parse::<Lan>(), Err(LanError::Loopback(_))),
                "{loopback}"
            );
        }
    }

    #[test]
    fn a_fault_names_the_entry() {
        let fault = "10.0.0.0/8,lan".parse::<Lan>().unwrap_err();
        assert_eq!(
            fault.to_string(),
            "\"lan\" is neither an address nor a network such as 192.168.0.0/16"
        );
    }

    #[test]
    fn the_metadata_service_and_public_networks_are_warned_of() {
        let cautions = |list: &str| list.parse::<Lan>().unwrap().cautions();
        assert_eq!(cautions("10.0.0.0/8,fd00::/8,224.0.0.251"), []);
        assert!(matches!(
            cautions("169.254.0.0/16")[..],
            [LanCaution::Metadata(_)]
        ));
        assert!(matches!(
            cautions("198.51.100.0/24")[..],
            [LanCaution::Public(_)]
        ));
        assert!(matches!(
            cautions("10.0.0.0/7")[..],
            [LanCaution::Public(_)]
        ));
        assert!(matches!(
            cautions("168.0.0.0/6")[..],
            [LanCaution::Metadata(_), LanCaution::Public(_)]
        ));
    }
}
