//! The circuit breaker before the upstream: a state machine without I/O.
//!
//! Once the upstream was found dead, every query is rejected at once. One attempt at a time
//! finds out whether the upstream works again.

use std::time::{Duration, Instant};

/// Closed while the upstream works, as the breaker of an electric circuit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// Queries go out.
    Closed,
    /// Queries are rejected, and nobody tries the upstream until then.
    Open {
        /// When to try again.
        until: Instant,
    },
    /// Queries are rejected while one of them tries the upstream.
    HalfOpen,
}

/// What a query has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go out.
    Pass,
    /// Fail.
    Reject,
    /// Try the upstream, and tell the breaker the result.
    Trial,
}

/// Who reports that the upstream is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reporter {
    /// The query that got [`Admission::Trial`].
    Trial,
    /// Any other.
    Other,
}

impl Breaker {
    /// Whether a query that came now would be rejected.
    #[must_use]
    pub(crate) fn rejects(&self, now: Instant) -> bool {
        match self {
            Self::Closed => false,
            Self::Open { until } => now < *until,
            Self::HalfOpen => true,
        }
    }

    /// A query comes. Whoever gets [`Admission::Trial`] has to call [`close`](Self::close) or
    /// [`open`](Self::open) afterwards.
    pub(crate) fn admit(&mut self, now: Instant) -> Admission {
        match self {
            Self::Closed => Admission::Pass,
            _ if self.rejects(now) => Admission::Reject,
            _ => {
                *self = Self::HalfOpen;
                Admission::Trial
            }
        }
    }

    /// The upstream works.
    pub(crate) fn close(&mut self) {
        *self = Self::Closed;
    }

    /// The upstream is dead, and is left alone for `pause`. During a trial only the trial's own
    /// result counts.
    pub(crate) fn open(&mut self, now: Instant, pause: Duration, by: Reporter) {
        if *self != Self::HalfOpen || by == Reporter::Trial {
            *self = Self::Open { until: now + pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(2);

    #[test]
    fn a_dead_upstream_turns_queries_away_until_one_may_look() {
        let now = Instant::now();
        let mut breaker = Breaker::Closed;
        assert_eq!(breaker.admit(now), Admission::Pass);
        breaker.open(now, PAUSE, Reporter::Other);
        assert_eq!(breaker.admit(now), Admission::Reject);
        assert_eq!(breaker.admit(now + PAUSE), Admission::Trial);
        assert_eq!(
            breaker.admit(now + PAUSE),
            Admission::Reject,
            "one at a time"
        );
        breaker.close();
        assert_eq!(breaker.admit(now + PAUSE), Admission::Pass);
    }

    proptest! {
        #[test]
        fn never_do_two_look_at_once_and_a_verdict_ends_the_looking(
            events in proptest::collection::vec((0..4_u8, 0..3_u64), 0..60),
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::Closed;
            let mut looking = false;
            for (event, seconds) in events {
                now += Duration::from_secs(seconds);
                match event {
                    0 if breaker.admit(now) == Admission::Trial => {
                        prop_assert!(!looking);
                        looking = true;
                    }
                    1 => breaker.open(now, PAUSE, Reporter::Other),
                    2 if looking => {
                        looking = false;
                        breaker.open(now, PAUSE, Reporter::Trial);
                    }
                    3 if looking => {
                        looking = false;
                        breaker.close();
                    }
                    _ => {}
                }
                prop_assert_eq!(looking, breaker == Breaker::HalfOpen);
            }
        }
    }
}
