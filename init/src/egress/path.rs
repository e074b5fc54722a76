//! The whole path: a connection to an address through the upstream, as every redirected
//! connection is.

use std::net::IpAddr;

use cib_protocol::init::Check;
use cib_resolver::DnsServer;
use cib_upstream::client::{Refusal, Target};
use cib_upstream::probe::{self, Depth, Reachability};

use super::inner::Inner;
use super::liveness::sentence;
use super::pins;
use crate::environment::ProbeTarget;

/// How a connection along the path ended.
pub(super) enum PathOutcome {
    /// It got through, to this target.
    Through(Target),
    /// The upstream answered, and connected to none of the targets; this is the last word.
    Refused(Target, Refusal),
    /// The upstream itself does not answer or does not accept us.
    Down(Reachability),
    /// `CIB_PROXY_PROBE` switches it off.
    Off,
}

impl Inner {
    /// A target on the far side that the box connects to anyway.
    pub(super) fn first_target(&self) -> Target {
        let first = self.targets().into_iter().next();
        first.unwrap_or_else(|| std::net::SocketAddr::from(([1, 1, 1, 1], 443)).into())
    }

    /// What is connected to: what was asked for, or the box's name servers, to which the
    /// resolver connects in any case, in both ways in which it does.
    fn targets(&self) -> Vec<Target> {
        match &self.settings.probe {
            ProbeTarget::Off => Vec::new(),
            ProbeTarget::At(target) => vec![target.clone()],
            ProbeTarget::NameServers => {
                let both = |server: &DnsServer| {
                    let tcp = server.tcp().map(Target::from);
                    tcp.into_iter().chain([server.https().0])
                };
                self.settings.dns_servers.iter().flat_map(both).collect()
            }
        }
    }

    /// Connects to one target after the other until one lets us through.
    pub(super) async fn take_path(&self) -> PathOutcome {
        let addresses = self.machine.borrow().pinned().to_vec();
        let used: Vec<IpAddr> = match pins::others(&addresses) {
            (Some(used), _) => vec![used],
            (None, _) => addresses,
        };
        let mut last = PathOutcome::Off;
        for target in self.targets() {
            let depth = Depth::Through(&target);
            let found = probe::probe(&self.upstream, &used, depth, probe::DEADLINE).await;
            last = match found {
                Reachability::Reachable { .. } => return PathOutcome::Through(target),
                Reachability::Refused(refusal) => PathOutcome::Refused(target, refusal),
                down => return PathOutcome::Down(down),
            };
        }
        last
    }

    /// What is wrong with the way as far as the upstream's rules are to blame. A target that is
    /// not there is the target's affair, and a dead upstream is told of elsewhere.
    pub(super) fn trouble(&self, outcome: &PathOutcome) -> Option<String> {
        match outcome {
            PathOutcome::Refused(target, refusal) if is_forbidden(refusal) => {
                Some(self.refused(target, refusal))
            }
            _ => None,
        }
    }

    fn refused(&self, target: &Target, refusal: &Refusal) -> String {
        let endpoint = self.upstream.endpoint();
        if !is_forbidden(refusal) {
            return format!(
                "the proxy {endpoint} answers, and did not connect to {target}: {refusal}; name \
                 another target in CIB_PROXY_PROBE if that one is not meant to be reached"
            );
        }
        format!(
            "the proxy {endpoint} refuses addresses: it did not connect to {target} ({refusal}), \
             and every redirected connection asks it for an address; allow addresses there, name \
             one that it allows in CIB_PROXY_PROBE, or use CIB_PROXY_MODE=env, where programs ask \
             by name"
        )
    }

    /// The path as a check; none if it is switched off.
    pub(super) async fn path_check(&self) -> Option<Check> {
        let (passed, detail) = match self.take_path().await {
            PathOutcome::Off => return None,
            PathOutcome::Through(target) => (true, format!("the proxy connected to {target}")),
            PathOutcome::Refused(target, refusal) => (false, self.refused(&target, &refusal)),
            PathOutcome::Down(health) => (false, self.sentence(&health)),
        };
        Some(Check {
            claim: "a connection by address gets through the upstream".to_owned(),
            passed,
            detail,
        })
    }

    /// A finding in a sentence, with what a name may have to do with it.
    pub(super) fn sentence(&self, health: &Reachability) -> String {
        sentence(health, self.upstream.endpoint())
    }
}

/// Whether the proxy's own rules are why it did not connect.
fn is_forbidden(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Ruleset | Refusal::AddressUnsupported | Refusal::Http(403 | 405)
    )
}
