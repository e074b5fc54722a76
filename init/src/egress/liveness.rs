//! What the probes of the upstream add up to.
//!
//! redsocks accepts a connection before it dials and holds it for 135 s when the upstream is a
//! black hole. So while the upstream is silent redsocks is held down: what waits in it is
//! reset, and what comes is refused at once by the port that nobody listens on. The rules are
//! not touched.

use cib_upstream::probe::Reachability;
use cib_upstream::{Endpoint, Host};

/// What is known of the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Liveness {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It does not, or not to us.
    Down {
        /// What the last probe found.
        health: Reachability,
    },
}

/// What is to be done about a probe's finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing new.
    None,
    /// Say that the upstream answers, and let the redirector run.
    Recovered,
    /// Say that it does not; the redirector turns clients away by itself.
    Lost,
    /// Say that it is silent, and hold the redirector down.
    Silent,
}

impl Liveness {
    /// Takes a finding in.
    pub fn observe(&mut self, health: Reachability) -> Reaction {
        let (next, reaction) = match (&*self, health.is_up()) {
            (Self::Up, true) => (Self::Up, Reaction::None),
            (Self::Unknown | Self::Down { .. }, true) => (Self::Up, Reaction::Recovered),
            (Self::Down { health: before }, false) if waits(before) == waits(&health) => {
                (Self::Down { health }, Reaction::None)
            }
            (_, false) => {
                let reaction = if waits(&health) {
                    Reaction::Silent
                } else {
                    Reaction::Lost
                };
                (Self::Down { health }, reaction)
            }
        };
        *self = next;
        reaction
    }
}

/// Whether clients hang on such an upstream instead of being turned away.
fn waits(health: &Reachability) -> bool {
    matches!(health, Reachability::TimedOut { .. })
}

/// A finding in a sentence for a person, with a hint where the proxy has a name.
pub(super) fn sentence(health: &Reachability, endpoint: &Endpoint) -> String {
    let mut sentence = health.sentence(endpoint);
    let away = matches!(
        health,
        Reachability::Unreachable { .. } | Reachability::TimedOut { .. }
    );
    if away && matches!(endpoint.host, Host::Name(_)) {
        sentence.push_str(
            " The name may have another address now: it is looked up when the box starts, so \
             restart the box if the proxy was made anew.",
        );
    }
    sentence
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cib_upstream::client::Refusal;
    use cib_upstream::probe::DEADLINE;
    use proptest::prelude::*;

    use super::*;

    fn up() -> Reachability {
        Reachability::Reachable {
            rtt: Duration::from_millis(3),
        }
    }

    fn silent() -> Reachability {
        Reachability::TimedOut {
            after: Duration::from_secs(4),
        }
    }

    fn gone() -> Reachability {
        Reachability::Unreachable {
            reason: "connection refused".into(),
        }
    }

    #[test]
    fn the_redirector_is_held_down_once_for_each_silence() {
        let mut liveness = Liveness::default();
        let reactions =
            [up(), silent(), silent(), up(), up(), silent()].map(|health| liveness.observe(health));
        assert_eq!(
            reactions,
            [
                Reaction::Recovered,
                Reaction::Silent,
                Reaction::None,
                Reaction::Recovered,
                Reaction::None,
                Reaction::Silent,
            ]
        );
    }

    #[test]
    fn a_refusal_is_told_and_holds_nothing_down() {
        let mut liveness = Liveness::Up;
        assert_eq!(liveness.observe(gone()), Reaction::Lost);
        assert_eq!(liveness.observe(Reachability::AuthRefused), Reaction::None);
    }

    #[test]
    fn a_refusal_that_turns_into_silence_holds_the_redirector_down() {
        let mut liveness = Liveness::Up;
        assert_eq!(liveness.observe(gone()), Reaction::Lost);
        assert_eq!(liveness.observe(silent()), Reaction::Silent);
    }

    #[test]
    fn a_proxy_by_name_that_is_away_may_have_another_address_and_one_by_address_has_not() {
        let hint = "may have another address now";
        let away = Reachability::TimedOut { after: DEADLINE };
        let refused = Reachability::Refused(Refusal::Ruleset);
        let at = |host| Endpoint { host, port: 1080 };
        let name = at(Host::Name("proxy".to_owned()));
        assert!(sentence(&away, &name).contains(hint));
        assert!(!sentence(&away, &at(Host::V4([192, 0, 2, 7].into()))).contains(hint));
        assert!(!sentence(&refused, &name).contains(hint), "it is there");
    }

    proptest! {
        #[test]
        fn the_state_is_always_what_the_last_probe_said(
            findings in prop::collection::vec(prop_oneof![Just(up()), Just(silent()), Just(gone())], 1..40),
        ) {
            let mut liveness = Liveness::default();
            for health in findings {
                let up = health.is_up();
                liveness.observe(health);
                prop_assert_eq!(liveness == Liveness::Up, up);
            }
        }
    }
}
