//! How many wrong tokens and passwords a peer may send.
//!
//! A bucket for each: [`BURST`] wrong ones at once, then one more for every [`REFILL`]. Of tokens
//! only wrong ones are ever held up: many clients can share an address, behind a container
//! engine's proxy all of them do, and one that guesses must not keep out the one that knows.
//! What makes guessing hopeless is the number of tokens that there could be; the buckets keep
//! it from being quick or loud. A password is one of few, so there the bucket is looked at before
//! the password is: whoever shares an address with somebody who guesses waits, and has the token.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::address::Kin;

/// Wrong tokens that an origin may send at once.
pub const BURST: u32 = 10;

/// After this long one more wrong token is allowed.
pub const REFILL: Duration = Duration::from_secs(2);

/// Origins that are remembered at once. When there are more, those that have waited longest
/// are forgotten first, so the table cannot be made to grow.
pub const ORIGINS: usize = 1024;

/// Buckets of the origins that have sent wrong tokens lately.
#[derive(Debug, Default)]
pub struct Limiter {
    /// For each origin the moment at which its bucket is full again.
    full_at: HashMap<Kin, Instant>,
}

impl Limiter {
    /// Whether another wrong token of this origin is taken now.
    ///
    /// # Errors
    /// How long the origin has to wait until then.
    pub fn check(&self, origin: Kin, now: Instant) -> Result<(), Duration> {
        let Some(full_at) = self.full_at.get(&origin) else {
            return Ok(());
        };
        let missing = full_at.saturating_duration_since(now);
        let most = REFILL * (BURST - 1);
        match missing.checked_sub(most) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    /// Takes one from the origin's bucket.
    pub fn failed(&mut self, origin: Kin, now: Instant) {
        if self.full_at.len() >= ORIGINS && !self.full_at.contains_key(&origin) {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= ORIGINS
                && let Some(oldest) = self
                    .full_at
                    .iter()
                    .min_by_key(|(_, full_at)| **full_at)
                    .map(|(origin, _)| *origin)
            {
                self.full_at.remove(&oldest);
            }
        }
        let full_at = self.full_at.entry(origin).or_insert(now);
        *full_at = (*full_at).max(now) + REFILL;
    }

    /// Puts one back that was taken before it was known whether something was wrong.
    pub fn forgive(&mut self, origin: Kin, now: Instant) {
        if let Some(full_at) = self.full_at.get_mut(&origin) {
            *full_at = full_at.checked_sub(REFILL).unwrap_or(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn origin(n: u32) -> Kin {
        Kin::Peer(IpAddr::V4(Ipv4Addr::from_bits(n)).into())
    }

    #[test]
    fn a_burst_is_allowed_and_then_one_at_a_time() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        for _ in 0..BURST {
            assert_eq!(limiter.check(origin(1), start), Ok(()));
            limiter.failed(origin(1), start);
        }
        assert_eq!(limiter.check(origin(1), start), Err(REFILL));
        assert_eq!(limiter.check(origin(2), start), Ok(()));
        assert_eq!(limiter.check(origin(1), start + REFILL), Ok(()));
        limiter.failed(origin(1), start + REFILL);
        assert_eq!(limiter.check(origin(1), start + REFILL), Err(REFILL));
        assert_eq!(limiter.check(origin(1), start + REFILL * BURST * 2), Ok(()));
    }

    #[test]
    fn one_that_was_right_after_all_is_put_back() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        for _ in 0..BURST * 3 {
            assert_eq!(limiter.check(origin(1), now), Ok(()));
            limiter.failed(origin(1), now);
            limiter.forgive(origin(1), now);
        }
        limiter.forgive(origin(2), now);
        assert_eq!(limiter.full_at.len(), 1);
    }

    #[test]
    fn the_table_does_not_grow_beyond_its_size() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        for n in 0..u32::try_from(ORIGINS).unwrap() * 2 {
            limiter.failed(origin(n), now + Duration::from_millis(u64::from(n)));
        }
        assert_eq!(limiter.full_at.len(), ORIGINS);
    }
}
