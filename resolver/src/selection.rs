//! Which server is asked, and by which protocol: a state machine without I/O.

use std::fmt;
use std::time::{Duration, Instant};

use crate::config::Mode;

/// How long HTTPS stays the first choice after port 53 was refused.
const AFTER_REFUSAL: Duration = Duration::from_secs(10 * 60);
/// And after it merely kept silent, which one lost packet can do.
const AFTER_SILENCE: Duration = Duration::from_secs(60);

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// DNS over TCP, to port 53 as a rule.
    Tcp,
    /// DNS over HTTPS.
    Https,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Https => "HTTPS",
        })
    }
}

/// One attempt: which server, by its place in the list, and by which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    /// The server's index.
    pub(crate) server: usize,
    /// The protocol.
    pub(crate) protocol: Protocol,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A reply.
    Answered,
    /// The upstream would not or could not connect there.
    Refused,
    /// Nothing, or nothing usable.
    Silent,
}

/// Which protocols a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocols {
    /// DNS over TCP.
    pub(crate) tcp: bool,
    /// DNS over HTTPS.
    pub(crate) https: bool,
}

/// Which attempts a query makes, and in which order. It learns from the attempts before.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    mode: Mode,
    servers: Vec<Protocols>,
    /// The server that is asked first.
    first: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// TCP comes first.
    TcpFirst,
    /// TCP failed this protocol since it last worked; HTTPS has not yet been seen to work.
    Doubted(Outcome),
    /// HTTPS comes first for a while.
    HttpsFirst { until: Instant },
}

impl Selection {
    /// One over `servers`, in their order.
    #[must_use]
    pub(crate) fn new(mode: Mode, servers: Vec<Protocols>) -> Self {
        Self {
            mode,
            servers,
            first: 0,
            state: State::TcpFirst,
        }
    }

    /// Whether HTTPS is the first choice now.
    #[must_use]
    pub(crate) fn prefers_https(&self, now: Instant) -> bool {
        match self.mode {
            Mode::Doh => true,
            Mode::Tcp53 => false,
            Mode::Auto => matches!(self.state, State::HttpsFirst { until } if now < until),
        }
    }

    /// The attempts of the next query, in order, each once.
    ///
    /// In `auto` the second attempt differs from the first in server *and* protocol, so it
    /// succeeds both where one server is dead and where one port is closed.
    #[must_use]
    pub(crate) fn attempts(&self, now: Instant) -> Vec<Attempt> {
        let count = self.servers.len();
        let order: Vec<usize> = (0..count).map(|turn| (self.first + turn) % count).collect();
        let attempt = |protocol| move |&server: &usize| Attempt { server, protocol };
        let tcp: Vec<Attempt> = order.iter().map(attempt(Protocol::Tcp)).collect();
        let https: Vec<Attempt> = order.iter().map(attempt(Protocol::Https)).collect();
        let wanted = match self.mode {
            Mode::Tcp53 => tcp,
            Mode::Doh => https,
            Mode::Auto if self.prefers_https(now) => interleave(&https, &tcp),
            Mode::Auto => interleave(&tcp, &https),
        };
        wanted
            .into_iter()
            .filter(|attempt| match attempt.protocol {
                Protocol::Tcp => self.servers[attempt.server].tcp,
                Protocol::Https => self.servers[attempt.server].https,
            })
            .collect()
    }

    /// Learns from an attempt.
    pub(crate) fn report(&mut self, attempt: Attempt, outcome: Outcome, now: Instant) {
        self.state = match (attempt.protocol, outcome, self.state) {
            (Protocol::Tcp, Outcome::Answered, _) => State::TcpFirst,
            // While HTTPS is preferred, TCP is only tried after it failed.
            (Protocol::Tcp, _, kept @ State::HttpsFirst { .. }) if self.prefers_https(now) => kept,
            // A refusal says more than silence.
            (Protocol::Tcp, Outcome::Silent, State::Doubted(before)) => State::Doubted(before),
            (Protocol::Tcp, failed, _) => State::Doubted(failed),
            (Protocol::Https, Outcome::Answered, State::Doubted(Outcome::Refused)) => {
                State::HttpsFirst {
                    until: now + AFTER_REFUSAL,
                }
            }
            (Protocol::Https, Outcome::Answered, State::Doubted(_)) => State::HttpsFirst {
                until: now + AFTER_SILENCE,
            },
            (Protocol::Https, _, kept) => kept,
        };
        match outcome {
            Outcome::Answered => self.first = attempt.server,
            Outcome::Refused | Outcome::Silent if attempt.server == self.first => {
                self.first = (self.first + 1) % self.servers.len();
            }
            Outcome::Refused | Outcome::Silent => {}
        }
    }
}

/// The first of `one`, the second of `other`, and so on, then what was left out.
fn interleave(one: &[Attempt], other: &[Attempt]) -> Vec<Attempt> {
    let pick = |odd: usize| {
        one.iter().zip(other).enumerate().map(
            move |(place, (one, other))| {
                if place % 2 == odd { *one } else { *other }
            },
        )
    };
    pick(0).chain(pick(1)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: Protocols = Protocols {
        tcp: true,
        https: true,
    };

    fn attempt(server: usize, protocol: Protocol) -> Attempt {
        Attempt { server, protocol }
    }

    #[test]
    fn the_second_leg_differs_in_server_and_way() {
        let selection = Selection::new(Mode::Auto, vec![BOTH, BOTH]);
        let attempts = selection.attempts(Instant::now());
        assert_eq!(
            attempts,
            [
                attempt(0, Protocol::Tcp),
                attempt(1, Protocol::Https),
                attempt(0, Protocol::Https),
                attempt(1, Protocol::Tcp)
            ]
        );
    }

    #[test]
    fn a_refused_port_53_makes_https_the_first_choice_for_ten_minutes() {
        let now = Instant::now();
        let mut selection = Selection::new(Mode::Auto, vec![BOTH, BOTH]);
        selection.report(attempt(0, Protocol::Tcp), Outcome::Refused, now);
        assert!(
            !selection.prefers_https(now),
            "HTTPS has not been seen to work yet"
        );
        selection.report(attempt(1, Protocol::Https), Outcome::Answered, now);
        assert_eq!(selection.attempts(now)[0], attempt(1, Protocol::Https));
        assert!(selection.prefers_https(now + AFTER_REFUSAL - Duration::from_secs(1)));
        assert!(!selection.prefers_https(now + AFTER_REFUSAL));
    }

    #[test]
    fn an_answer_over_tcp_brings_tcp_back() {
        let now = Instant::now();
        let mut selection = Selection::new(Mode::Auto, vec![BOTH]);
        selection.report(attempt(0, Protocol::Tcp), Outcome::Silent, now);
        selection.report(attempt(0, Protocol::Https), Outcome::Answered, now);
        assert!(selection.prefers_https(now) && !selection.prefers_https(now + AFTER_SILENCE));
        selection.report(attempt(0, Protocol::Tcp), Outcome::Answered, now);
        assert!(!selection.prefers_https(now));
    }

    #[test]
    fn a_mode_of_one_way_has_no_leg_of_the_other() {
        for (mode, protocol) in [(Mode::Tcp53, Protocol::Tcp), (Mode::Doh, Protocol::Https)] {
            let attempts = Selection::new(mode, vec![BOTH, BOTH]).attempts(Instant::now());
            assert!(
                attempts.len() == 2 && attempts.iter().all(|attempt| attempt.protocol == protocol),
                "{attempts:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_every_possible_leg_is_there_once(
            servers in proptest::collection::vec(any::<(bool, bool)>(), 1..5),
            events in proptest::collection::vec((0..5_usize, any::<bool>(), 0..3_u8, 0..700_u64), 0..40),
        ) {
            let servers: Vec<Protocols> =
                servers.into_iter().map(|(tcp, https)| Protocols { tcp, https }).collect();
            let possible: usize = servers.iter().map(|w| usize::from(w.tcp) + usize::from(w.https)).sum();
            let count = servers.len();
            let mut now = Instant::now();
            let mut selection = Selection::new(Mode::Auto, servers);
            for (server, tcp, outcome, seconds) in events {
                now += Duration::from_secs(seconds);
                let protocol = if tcp { Protocol::Tcp } else { Protocol::Https };
                let outcome = [Outcome::Answered, Outcome::Refused, Outcome::Silent][usize::from(outcome)];
                selection.report(attempt(server % count, protocol), outcome, now);
                let attempts = selection.attempts(now);
                let once: std::collections::HashSet<Attempt> = attempts.iter().copied().collect();
                prop_assert_eq!(attempts.len(), once.len());
                prop_assert_eq!(attempts.len(), possible);
            }
        }
    }
}
