//! Which server to ask, and how: a state machine without I/O.

use std::fmt;
use std::time::{Duration, Instant};

use super::config::Mode;

/// How long HTTPS stays the first choice after port 53 was refused.
const AFTER_REFUSAL: Duration = Duration::from_secs(10 * 60);
/// And after it merely kept silent, which one lost packet can do.
const AFTER_SILENCE: Duration = Duration::from_secs(60);

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// DNS over TCP.
    Tcp53,
    /// DNS over HTTPS.
    Doh,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp53 => "TCP",
            Self::Doh => "HTTPS",
        })
    }
}

/// One attempt: a server, by its place in the list, and a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leg {
    /// The server's index.
    pub(super) server: usize,
    /// How.
    pub(super) way: Way,
}

/// What came of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A reply.
    Answered,
    /// The upstream would not or could not connect there.
    Refused,
    /// Nothing, or nothing usable.
    Silent,
}

/// What a server can be asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ways {
    /// DNS over TCP.
    pub(super) tcp53: bool,
    /// DNS over HTTPS.
    pub(super) doh: bool,
}

/// Where queries go, learnt from what came of the earlier ones.
#[derive(Clone, Debug)]
pub(super) struct Route {
    mode: Mode,
    servers: Vec<Ways>,
    /// The server that is asked first.
    first: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// TCP comes first.
    Tcp53First,
    /// TCP failed this way since it last worked; HTTPS has not yet been seen to work.
    Doubted(Outcome),
    /// HTTPS comes first for a while.
    DohFirst { until: Instant },
}

impl Route {
    /// A route over `servers`, in their order.
    #[must_use]
    pub(super) fn new(mode: Mode, servers: Vec<Ways>) -> Self {
        Self {
            mode,
            servers,
            first: 0,
            state: State::Tcp53First,
        }
    }

    /// Whether HTTPS is the first choice now.
    #[must_use]
    pub(super) fn prefers_doh(&self, now: Instant) -> bool {
        match self.mode {
            Mode::Doh => true,
            Mode::Tcp53 => false,
            Mode::Auto => matches!(self.state, State::DohFirst { until } if now < until),
        }
    }

    /// The legs of the next query, in order, each once.
    ///
    /// In `auto` the second leg differs from the first in server *and* way: one dead server
    /// and one closed port are both got around with it.
    #[must_use]
    pub(super) fn legs(&self, now: Instant) -> Vec<Leg> {
        let count = self.servers.len();
        let order: Vec<usize> = (0..count).map(|turn| (self.first + turn) % count).collect();
        let leg = |way| move |&server: &usize| Leg { server, way };
        let tcp: Vec<Leg> = order.iter().map(leg(Way::Tcp53)).collect();
        let doh: Vec<Leg> = order.iter().map(leg(Way::Doh)).collect();
        let wanted = match self.mode {
            Mode::Tcp53 => tcp,
            Mode::Doh => doh,
            Mode::Auto if self.prefers_doh(now) => crossed(&doh, &tcp),
            Mode::Auto => crossed(&tcp, &doh),
        };
        wanted
            .into_iter()
            .filter(|leg| match leg.way {
                Way::Tcp53 => self.servers[leg.server].tcp53,
                Way::Doh => self.servers[leg.server].doh,
            })
            .collect()
    }

    /// Learns from a leg.
    pub(super) fn report(&mut self, leg: Leg, outcome: Outcome, now: Instant) {
        self.state = match (leg.way, outcome, self.state) {
            (Way::Tcp53, Outcome::Answered, _) => State::Tcp53First,
            // While HTTPS is preferred, TCP is only tried after it failed.
            (Way::Tcp53, _, kept @ State::DohFirst { .. }) if self.prefers_doh(now) => kept,
            // A refusal says more than silence.
            (Way::Tcp53, Outcome::Silent, State::Doubted(before)) => State::Doubted(before),
            (Way::Tcp53, failed, _) => State::Doubted(failed),
            (Way::Doh, Outcome::Answered, State::Doubted(Outcome::Refused)) => State::DohFirst {
                until: now + AFTER_REFUSAL,
            },
            (Way::Doh, Outcome::Answered, State::Doubted(_)) => State::DohFirst {
                until: now + AFTER_SILENCE,
            },
            (Way::Doh, _, kept) => kept,
        };
        match outcome {
            Outcome::Answered => self.first = leg.server,
            Outcome::Refused | Outcome::Silent if leg.server == self.first => {
                self.first = (self.first + 1) % self.servers.len();
            }
            Outcome::Refused | Outcome::Silent => {}
        }
    }
}

/// The first of `one`, the second of `other`, and so on, then what was left out.
fn crossed(one: &[Leg], other: &[Leg]) -> Vec<Leg> {
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

    const BOTH: Ways = Ways {
        tcp53: true,
        doh: true,
    };

    fn leg(server: usize, way: Way) -> Leg {
        Leg { server, way }
    }

    #[test]
    fn the_second_leg_differs_in_server_and_way() {
        let route = Route::new(Mode::Auto, vec![BOTH, BOTH]);
        let legs = route.legs(Instant::now());
        assert_eq!(
            legs,
            [
                leg(0, Way::Tcp53),
                leg(1, Way::Doh),
                leg(0, Way::Doh),
                leg(1, Way::Tcp53)
            ]
        );
    }

    #[test]
    fn a_refused_port_53_makes_https_the_first_choice_for_ten_minutes() {
        let now = Instant::now();
        let mut route = Route::new(Mode::Auto, vec![BOTH, BOTH]);
        route.report(leg(0, Way::Tcp53), Outcome::Refused, now);
        assert!(
            !route.prefers_doh(now),
            "HTTPS has not been seen to work yet"
        );
        route.report(leg(1, Way::Doh), Outcome::Answered, now);
        assert_eq!(route.legs(now)[0], leg(1, Way::Doh));
        assert!(route.prefers_doh(now + AFTER_REFUSAL - Duration::from_secs(1)));
        assert!(!route.prefers_doh(now + AFTER_REFUSAL));
    }

    #[test]
    fn an_answer_over_tcp_brings_tcp_back() {
        let now = Instant::now();
        let mut route = Route::new(Mode::Auto, vec![BOTH]);
        route.report(leg(0, Way::Tcp53), Outcome::Silent, now);
        route.report(leg(0, Way::Doh), Outcome::Answered, now);
        assert!(route.prefers_doh(now) && !route.prefers_doh(now + AFTER_SILENCE));
        route.report(leg(0, Way::Tcp53), Outcome::Answered, now);
        assert!(!route.prefers_doh(now));
    }

    #[test]
    fn a_mode_of_one_way_has_no_leg_of_the_other() {
        for (mode, way) in [(Mode::Tcp53, Way::Tcp53), (Mode::Doh, Way::Doh)] {
            let legs = Route::new(mode, vec![BOTH, BOTH]).legs(Instant::now());
            assert!(
                legs.len() == 2 && legs.iter().all(|leg| leg.way == way),
                "{legs:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_every_possible_leg_is_there_once(
            servers in proptest::collection::vec(any::<(bool, bool)>(), 1..5),
            events in proptest::collection::vec((0..5_usize, any::<bool>(), 0..3_u8, 0..700_u64), 0..40),
        ) {
            let servers: Vec<Ways> =
                servers.into_iter().map(|(tcp53, doh)| Ways { tcp53, doh }).collect();
            let possible: usize = servers.iter().map(|w| usize::from(w.tcp53) + usize::from(w.doh)).sum();
            let count = servers.len();
            let mut now = Instant::now();
            let mut route = Route::new(Mode::Auto, servers);
            for (server, tcp, outcome, seconds) in events {
                now += Duration::from_secs(seconds);
                let way = if tcp { Way::Tcp53 } else { Way::Doh };
                let outcome = [Outcome::Answered, Outcome::Refused, Outcome::Silent][usize::from(outcome)];
                route.report(leg(server % count, way), outcome, now);
                let legs = route.legs(now);
                let once: std::collections::HashSet<Leg> = legs.iter().copied().collect();
                prop_assert_eq!(legs.len(), once.len());
                prop_assert_eq!(legs.len(), possible);
            }
        }
    }
}
