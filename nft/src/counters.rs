//! What was refused, by kind.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::shape::{self, ListingError};

/// Why a packet was refused. Every refused packet is counted under exactly one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Conntrack does not know the connection: the late FIN of a dead redirect.
    Invalid,
    /// A new connection from an address that is not the box's own.
    Spoofed,
    /// Docker's name server was asked by somebody who may not.
    DockerDns,
    /// A listener in the redirector's place that is not the redirector's, or a connection to it
    /// or to the relay that nobody redirected.
    Listener,
    /// The proxy itself, asked by somebody who is not to.
    Upstream,
    /// DNS that was not, or could not be, handed to the resolver.
    Dns,
    /// A private, link-local, metadata or multicast address that `CIB_LAN` does not list.
    Private,
    /// IPv6.
    Ipv6,
    /// Any other TCP.
    Tcp,
    /// Any other UDP: QUIC, NTP, STUN.
    Udp,
    /// Any other ICMP: ping.
    Icmp,
    /// Any other protocol.
    Other,
    /// Accepted once, then stopped at the device: a socket bound to it.
    Gate,
    /// Forwarded for somebody else: a namespace or an engine within the box.
    Forward,
    /// A frame put on the device past the IP stack: a packet socket.
    Frame,
    /// The kernel's own multicast reports and router solicitations. Nobody tried anything.
    Housekeeping,
}

/// Packets and bytes since the ruleset was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, headers included.
    pub bytes: u64,
}

/// The counters of our tables. Every apply starts them at zero: add up what was read before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<Kind, Count>);

impl Kind {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [Self; 16] = [
        Self::Invalid,
        Self::Spoofed,
        Self::DockerDns,
        Self::Listener,
        Self::Upstream,
        Self::Dns,
        Self::Private,
        Self::Ipv6,
        Self::Tcp,
        Self::Udp,
        Self::Icmp,
        Self::Other,
        Self::Gate,
        Self::Forward,
        Self::Frame,
        Self::Housekeeping,
    ];

    /// The name of the counter in the kernel.
    #[must_use]
    pub fn counter(self) -> &'static str {
        match self {
            Self::Invalid => "blocked_invalid",
            Self::Spoofed => "blocked_spoofed",
            Self::DockerDns => "blocked_docker_dns",
            Self::Listener => "blocked_listener",
            Self::Upstream => "blocked_upstream",
            Self::Dns => "blocked_dns",
            Self::Private => "blocked_private",
            Self::Ipv6 => "blocked_ipv6",
            Self::Tcp => "blocked_tcp",
            Self::Udp => "blocked_udp",
            Self::Icmp => "blocked_icmp",
            Self::Other => "blocked_other",
            Self::Gate => "blocked_gate",
            Self::Forward => "blocked_forward",
            Self::Frame => "blocked_frame",
            Self::Housekeeping => "housekeeping",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "packets of no known connection",
            Self::Spoofed => "connections from a foreign address",
            Self::DockerDns => "queries to Docker's name server",
            Self::Listener => "somebody else's listener in the redirector's place",
            Self::Upstream => "the proxy, asked past the redirector",
            Self::Dns => "DNS past the resolver",
            Self::Private => "private and special addresses",
            Self::Ipv6 => "IPv6",
            Self::Tcp => "other TCP",
            Self::Udp => "UDP (QUIC, NTP)",
            Self::Icmp => "ICMP (ping)",
            Self::Other => "other protocols",
            Self::Gate => "sockets bound to a device",
            Self::Forward => "forwarded for others",
            Self::Frame => "raw frames",
            Self::Housekeeping => "the kernel's own reports",
        })
    }
}

impl Counters {
    /// Reads the counters from `nft -j list table`, or from the shorter
    /// [`Table::counters`](crate::Table::counters). Foreign counters are passed over.
    ///
    /// # Errors
    /// The text is no listing.
    pub fn read(listing: &str) -> Result<Self, ListingError> {
        let mut counters = Self::default();
        for object in shape::objects(listing)? {
            let Some(counter) = object.get("counter") else {
                continue;
            };
            let name = counter.get("name").and_then(Value::as_str);
            let Some(kind) = Kind::ALL
                .into_iter()
                .find(|kind| Some(kind.counter()) == name)
            else {
                continue;
            };
            let number = |key| counter.get(key).and_then(Value::as_u64).unwrap_or(0);
            counters.0.insert(
                kind,
                Count {
                    packets: number("packets"),
                    bytes: number("bytes"),
                },
            );
        }
        Ok(counters)
    }

    /// What was counted under `kind`.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Count {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// Everything that was refused: all kinds but [`Kind::Housekeeping`].
    #[must_use]
    pub fn refused(&self) -> Count {
        Kind::ALL
            .into_iter()
            .filter(|&kind| kind != Kind::Housekeeping)
            .fold(Count::default(), |sum, kind| {
                let count = self.of(kind);
                Count {
                    packets: sum.packets.saturating_add(count.packets),
                    bytes: sum.bytes.saturating_add(count.bytes),
                }
            })
    }

    /// Adds what was read from the other table, or before the last apply.
    pub fn add(&mut self, other: &Self) {
        for (&kind, more) in &other.0 {
            let count = self.0.entry(kind).or_default();
            count.packets = count.packets.saturating_add(more.packets);
            count.bytes = count.bytes.saturating_add(more.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_and_added_up_beyond_32_bits() {
        let listing = r#"{"nftables": [
            {"metainfo": {"version": "1.1.3"}},
            {"counter": {"family": "inet", "table": "cib", "name": "blocked_udp",
                         "packets": 7, "bytes": 5000000000}},
            {"counter": {"family": "inet", "table": "cib", "name": "housekeeping",
                         "packets": 3, "bytes": 300}},
            {"counter": {"family": "inet", "table": "cib", "name": "foreign", "packets": 9}}
        ]}"#;
        let once = Counters::read(listing).unwrap();
        let mut twice = once.clone();
        twice.add(&once);
        assert_eq!(
            twice.of(Kind::Udp),
            Count {
                packets: 14,
                bytes: 10_000_000_000
            }
        );
        assert_eq!(twice.of(Kind::Tcp), Count::default());
        assert_eq!(twice.refused(), twice.of(Kind::Udp));
    }

    #[test]
    fn no_two_kinds_share_a_counter() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.map(Kind::counter).into();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
