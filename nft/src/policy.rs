//! What may leave the box, in each of its states.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::wiring::{DOCKER_DNS, Wiring};

/// What may leave the box. `docs/spec/egress.md` says for each variant which packets may flow.
///
/// There is no variant for a proxy that was lost: then [`EgressPolicy::Open`] keeps standing,
/// untouched, and what is redirected finds nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressPolicy {
    /// No proxy was asked for, and no rule of ours stands.
    Direct,
    /// The proxy was given by name, and only init runs, which resolves it: nothing may leave
    /// but DNS.
    Closing {
        /// The name servers of the system. If Docker's, [`DOCKER_DNS`], is among them, DNS may
        /// go to any server, for Docker forwards the query from inside this namespace to
        /// servers that the box is not told.
        resolvers: BTreeSet<IpAddr>,
    },
    /// Nothing may leave: before the way through the proxy is wired, and after the last session.
    Closed,
    /// Everything leaves through the proxy, or not at all.
    Open {
        /// Where the proxy is, and who redirects to it.
        wiring: Wiring,
    },
}

impl EgressPolicy {
    /// Does Docker's name server have to be asked to resolve the proxy's name?
    pub(crate) fn resolves_through_docker(resolvers: &BTreeSet<IpAddr>) -> bool {
        resolvers.contains(&IpAddr::V4(DOCKER_DNS))
    }
}

impl fmt::Display for EgressPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => {
                f.write_str("egress is direct: no proxy was asked for and no rule of ours stands")
            }
            Self::Closing { resolvers } if Self::resolves_through_docker(resolvers) => f.write_str(
                "egress is closing: nothing may leave but DNS, \
                 until the proxy's name is resolved by Docker",
            ),
            Self::Closing { resolvers } => {
                f.write_str(
                    "egress is closing: nothing may leave but DNS, \
                     until the proxy's name is resolved by ",
                )?;
                enumerate(f, resolvers)
            }
            Self::Closed => f.write_str(
                "egress is closed: nothing may leave but answers to connections from outside",
            ),
            Self::Open { wiring } => {
                f.write_str("egress is open through the proxy alone, at ")?;
                enumerate(f, wiring.upstreams.iter())?;
                if wiring.lan.is_empty() {
                    f.write_str("; the LAN is closed")
                } else {
                    f.write_str("; directly reachable by CIB_LAN: ")?;
                    enumerate(f, wiring.lan.networks())
                }
            }
        }
    }
}

/// Writes `a, b and c`, or `nobody`.
fn enumerate<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    let mut items = items.into_iter().peekable();
    let Some(first) = items.next() else {
        return f.write_str("nobody");
    };
    write!(f, "{first}")?;
    while let Some(item) = items.next() {
        let joint = if items.peek().is_some() {
            ", "
        } else {
            " and "
        };
        write!(f, "{joint}{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wiring::Upstreams;

    fn open(lan: &str) -> EgressPolicy {
        let upstreams = ["203.0.113.7:1080", "203.0.113.8:1080", "[2001:db8::7]:1080"]
            .map(|a| a.parse().unwrap());
        let mut wiring = Wiring::through(Upstreams::new(upstreams).unwrap());
        wiring.lan = lan.parse().unwrap();
        EgressPolicy::Open { wiring }
    }

    #[test]
    fn a_policy_is_one_sentence() {
        let closing = EgressPolicy::Closing {
            resolvers: ["192.0.2.53".parse().unwrap()].into(),
        };
        let docker = EgressPolicy::Closing {
            resolvers: [IpAddr::V4(DOCKER_DNS)].into(),
        };
        assert_eq!(
            [
                EgressPolicy::Direct,
                closing,
                docker,
                EgressPolicy::Closed,
                open(""),
                open("10.0.0.0/8")
            ]
            .map(|policy| policy.to_string()),
            [
                "egress is direct: no proxy was asked for and no rule of ours stands",
                "egress is closing: nothing may leave but DNS, until the proxy's name is resolved \
                 by 192.0.2.53",
                "egress is closing: nothing may leave but DNS, until the proxy's name is resolved \
                 by Docker",
                "egress is closed: nothing may leave but answers to connections from outside",
                "egress is open through the proxy alone, at 203.0.113.7:1080, 203.0.113.8:1080 \
                 and [2001:db8::7]:1080; the LAN is closed",
                "egress is open through the proxy alone, at 203.0.113.7:1080, 203.0.113.8:1080 \
                 and [2001:db8::7]:1080; directly reachable by CIB_LAN: 10.0.0.0/8",
            ]
        );
    }
}
