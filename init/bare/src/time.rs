//! Time in seconds and nanoseconds, as the kernel has it: a [`Duration`] checks what it is made
//! of, and the check can fail.

use core::time::Duration;

const NANOS: u32 = 1_000_000_000;

/// A time that has passed since some other, less than 600 billion years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time {
    seconds: u64,
    nanos: u32,
}

impl Time {
    pub(crate) const ZERO: Self = Self::of(Duration::ZERO);

    pub(crate) const fn of(duration: Duration) -> Self {
        Self {
            seconds: duration.as_secs(),
            nanos: duration.subsec_nanos(),
        }
    }

    /// From what the kernel or a person says; nanoseconds beyond a second do not count.
    pub(crate) fn new(seconds: u64, nanos: u32) -> Self {
        let nanos = nanos.min(NANOS - 1);
        Self { seconds, nanos }
    }

    pub(crate) fn seconds(self) -> u64 {
        self.seconds
    }

    /// What is beyond the seconds, below a billion.
    pub(crate) fn nanos(self) -> u32 {
        self.nanos
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        let (mut seconds, mut nanos) = (self.seconds, self.nanos.wrapping_add(other.nanos));
        if nanos >= NANOS {
            nanos -= NANOS;
            seconds = seconds.saturating_add(1);
        }
        Self {
            seconds: seconds.saturating_add(other.seconds),
            nanos,
        }
    }

    /// How long it is from another time until this one; zero if that is later.
    pub(crate) fn since(self, other: Self) -> Self {
        if self <= other {
            return Self::ZERO;
        }
        let (mut seconds, mut nanos) = (self.seconds, self.nanos);
        if nanos < other.nanos {
            nanos = nanos.wrapping_add(NANOS);
            seconds = seconds.wrapping_sub(1);
        }
        Self {
            seconds: seconds.wrapping_sub(other.seconds),
            nanos: nanos.wrapping_sub(other.nanos),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_are_those_of_durations() {
        let some = [
            0,
            1,
            500_000_000,
            999_999_999,
            1_000_000_000,
            86_400_500_000_001,
        ];
        for one in some.map(Duration::from_nanos) {
            for other in some.map(Duration::from_nanos) {
                let (a, b) = (Time::of(one), Time::of(other));
                assert_eq!(a.plus(b), Time::of(one + other));
                assert_eq!(a.since(b), Time::of(one.saturating_sub(other)));
                assert_eq!(a < b, one < other);
            }
        }
        let end = Time::new(u64::MAX, u32::MAX);
        assert_eq!(end.plus(Time::new(1, 0)), end);
    }
}
