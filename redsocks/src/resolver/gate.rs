//! Whether it is worth asking through the upstream: a state machine without I/O.
//!
//! Once the upstream was found dead, every query is turned away at once, while a single
//! attempt at a time finds out whether it lives again.

use std::time::{Duration, Instant};

/// Open while the upstream works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Queries go out.
    Open,
    /// They do not, and nobody looks either until the time has come.
    Closed {
        /// When to look again.
        until: Instant,
    },
    /// They do not, and somebody is looking.
    Trying,
}

/// What a query is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Go out.
    Pass,
    /// Go home.
    Turned,
    /// Look whether the upstream lives again, and tell the gate what was found.
    Try,
}

impl Gate {
    /// Whether a query that came now would be turned away.
    #[must_use]
    pub(super) fn turns_away(&self, now: Instant) -> bool {
        match self {
            Self::Open => false,
            Self::Closed { until } => now < *until,
            Self::Trying => true,
        }
    }

    /// A query comes. Whoever is told to try has to call [`open`](Self::open) or
    /// [`close`](Self::close) afterwards.
    pub(super) fn enter(&mut self, now: Instant) -> Entry {
        match self {
            Self::Open => Entry::Pass,
            _ if self.turns_away(now) => Entry::Turned,
            _ => {
                *self = Self::Trying;
                Entry::Try
            }
        }
    }

    /// The upstream works.
    pub(super) fn open(&mut self) {
        *self = Self::Open;
    }

    /// The upstream is dead, and should be left alone for `pause`. While somebody is looking,
    /// only what that one finds counts: `verdict` says that it is theirs.
    pub(super) fn close(&mut self, now: Instant, pause: Duration, verdict: bool) {
        if *self != Self::Trying || verdict {
            *self = Self::Closed { until: now + pause };
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
        let mut gate = Gate::Open;
        assert_eq!(gate.enter(now), Entry::Pass);
        gate.close(now, PAUSE, false);
        assert_eq!(gate.enter(now), Entry::Turned);
        assert_eq!(gate.enter(now + PAUSE), Entry::Try);
        assert_eq!(gate.enter(now + PAUSE), Entry::Turned, "one at a time");
        gate.open();
        assert_eq!(gate.enter(now + PAUSE), Entry::Pass);
    }

    proptest! {
        #[test]
        fn never_do_two_look_at_once_and_a_verdict_ends_the_looking(
            events in proptest::collection::vec((0..4_u8, 0..3_u64), 0..60),
        ) {
            let mut now = Instant::now();
            let mut gate = Gate::Open;
            let mut looking = false;
            for (event, seconds) in events {
                now += Duration::from_secs(seconds);
                match event {
                    0 if gate.enter(now) == Entry::Try => {
                        prop_assert!(!looking);
                        looking = true;
                    }
                    1 => gate.close(now, PAUSE, false),
                    2 if looking => {
                        looking = false;
                        gate.close(now, PAUSE, true);
                    }
                    3 if looking => {
                        looking = false;
                        gate.open();
                    }
                    _ => {}
                }
                prop_assert_eq!(looking, gate == Gate::Trying);
            }
        }
    }
}
