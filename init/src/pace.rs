//! Limits how often somebody may ask for something.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// So many at once, and then one in each interval. Whoever comes too early is told how long to
/// wait, and is not turned away.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    /// How far ahead of the clock the next turn may lie.
    slack: Duration,
    /// When the turn after the last one given out is due.
    next: Cell<Option<Instant>>,
}

impl Pace {
    /// So many at once, and so many a second in the long run.
    #[must_use]
    pub const fn new(at_once: u32, a_second: u32) -> Self {
        let interval = match Duration::from_secs(1).checked_div(a_second) {
            Some(interval) => interval,
            None => Duration::from_secs(1),
        };
        Self {
            interval,
            slack: interval.saturating_mul(at_once.saturating_sub(1)),
            next: Cell::new(None),
        }
    }

    /// Takes a turn; how long it is until it comes.
    pub fn turn(&self, now: Instant) -> Duration {
        let due = self.next.get().map_or(now, |next| next.max(now));
        self.next.set(Some(due + self.interval));
        (due - now).saturating_sub(self.slack)
    }

    /// Takes a turn and waits until it comes.
    pub async fn wait(&self) {
        let pause = self.turn(Instant::now());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether nobody has asked lately, so that a new pace would be the same.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.next.get().is_none_or(|next| next <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_come_at_once_and_the_rest_one_by_one() {
        let (pace, now) = (Pace::new(3, 10), Instant::now());
        let waits: Vec<_> = (0..5).map(|_| pace.turn(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        assert!(!pace.is_fresh(now));
        let later = now + Duration::from_secs(1);
        assert!(pace.is_fresh(later));
        assert_eq!(pace.turn(later), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_second_sees_more_than_its_share(
            gaps in prop::collection::vec(0_u64..200, 1..200),
            at_once in 1_u32..20,
            a_second in 1_u32..100,
        ) {
            let pace = Pace::new(at_once, a_second);
            let begin = Instant::now();
            let mut now = begin;
            let mut served = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                served.push(now + pace.turn(now) - begin);
            }
            for (first, from) in served.iter().enumerate() {
                let until = *from + Duration::from_secs(1);
                let within = served[first..].iter().filter(|at| **at < until).count();
                prop_assert!(within <= (at_once + a_second + 1) as usize, "{within}");
            }
        }
    }
}
