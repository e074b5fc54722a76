//! Ways a packet could leave the box past its proxy, tried one by one.
//!
//! Each probe aims at an address that no other probe uses, so that a sniffer outside can tell
//! whose packet it sees. A probe's own outcome says how it felt to the program that tried;
//! whether something leaked is for the sniffer to say.

mod link;
mod names;
mod run;
mod table;
mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use run::{run_all, run_here, run_one};
pub use table::PROBES;

/// How long a probe waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Where the probes aim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// The n-th probe's IPv4 target is this address plus n.
    pub v4: Ipv4Addr,
    /// The n-th probe's IPv6 target is this address plus n.
    pub v6: Ipv6Addr,
    /// The proxy that the box may speak to.
    pub proxy: SocketAddr,
    /// Another machine on the box's own network.
    pub neighbour: Ipv4Addr,
    /// The interface that leads out.
    pub device: String,
    /// Whether the probes that delete every nftables rule may do so. Only where the rules are
    /// the box's own.
    pub may_flush: bool,
}

/// One way out.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Its name, also on the command line.
    pub name: &'static str,
    /// As whom it is tried.
    disguise: Disguise,
    /// Tries it.
    attempt: Attempt,
    /// Where its packets go, if that is not its target.
    elsewhere: Option<fn(&Aim, Target) -> String>,
}

/// Tries one way out, at a target.
type Attempt = fn(&Aim, Target) -> io::Result<Came>;

/// As whom a probe is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disguise {
    /// As whoever runs it.
    None,
    /// As another user, if that is allowed.
    User(u32),
    /// As the root of a new user namespace.
    UserNamespace,
}

/// The addresses of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its place in the table, from 1.
    pub n: u8,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

/// What a probe got back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Nothing, though the kernel took what was sent.
    Nothing,
    /// An answer.
    Answer,
}

/// What became of a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The probe's name.
    pub probe: String,
    /// Where a sniffer sees its packets go: addresses, or `ADDRESS.PORT` as tcpdump writes it.
    pub seen_at: Vec<String>,
    /// How it ended for the program.
    pub outcome: Outcome,
    /// Microseconds until it ended.
    pub micros: u64,
}

/// How a probe ended for the program that tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Something answered.
    Answered,
    /// The kernel took it, and nothing came back.
    Sent,
    /// Nothing happened in time.
    TimedOut,
    /// It was not tried: it needs leave to delete rules, or its disguise was refused.
    Untried,
    /// It failed with this error's name.
    Failed(String),
}

impl Aim {
    /// The addresses of the probe at place `n`, from 1.
    #[must_use]
    pub fn target(&self, n: u8) -> Target {
        Target {
            n,
            v4: Ipv4Addr::from_bits(self.v4.to_bits() + u32::from(n)),
            v6: Ipv6Addr::from_bits(self.v6.to_bits() + u128::from(n)),
        }
    }
}

impl Target {
    fn at4(self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.v4), port)
    }

    fn at6(self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.v6), port)
    }

    /// The IPv4 target as an IPv6 socket sees it.
    fn mapped(self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.v4.to_ipv6_mapped()), port)
    }
}

impl Outcome {
    fn of(came: io::Result<Came>) -> Self {
        match came {
            Ok(Came::Answer) => Self::Answered,
            Ok(Came::Nothing) => Self::Sent,
            Err(error) => match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
                _ => Self::Failed(name(&error)),
            },
        }
    }
}

/// The C name of an error, which is how people know it.
fn name(error: &io::Error) -> String {
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::EACCES, "EACCES"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENETUNREACH, "ENETUNREACH"),
        (libc::EHOSTUNREACH, "EHOSTUNREACH"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::ECONNRESET, "ECONNRESET"),
        (libc::ENOBUFS, "ENOBUFS"),
        (libc::ENODEV, "ENODEV"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
        (libc::ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
        (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
    ];
    let code = error.raw_os_error();
    let found = known.iter().find(|(known, _)| Some(*known) == code);
    found.map_or_else(|| error.to_string(), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_have_names_and_targets_of_their_own() {
        let mut names: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROBES.len(), "two probes share a name");
        assert!(PROBES.len() >= 45, "there are only {}", PROBES.len());
        assert!(PROBES.len() < 255, "the targets would leave their network");
    }

    #[test]
    fn a_report_survives_its_line() {
        let report = Report {
            probe: "udp".into(),
            seen_at: vec!["198.51.100.3".into()],
            outcome: Outcome::Failed("EPERM".into()),
            micros: 7,
        };
        let line = serde_json::to_string(&report).unwrap();
        assert!(line.contains(r#""outcome":{"failed":"EPERM"}"#), "{line}");
        assert_eq!(serde_json::from_str::<Report>(&line).unwrap(), report);
    }
}
