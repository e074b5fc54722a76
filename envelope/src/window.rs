//! Which numbers of a session were seen: the newest, and those up to 64 behind it.

/// How far behind the newest a number may come.
const WIDTH: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    newest: u32,
    /// Bit `i` is the number `newest - i`.
    seen: u64,
}

impl Window {
    /// One that has seen number 0.
    pub(crate) const fn new() -> Self {
        Self { newest: 0, seen: 1 }
    }

    /// Takes a number, unless it was seen or is too old.
    pub(crate) fn take(&mut self, number: u32) -> bool {
        if let Some(ahead) = number.checked_sub(self.newest).filter(|ahead| *ahead > 0) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.newest = number;
            return true;
        }
        let behind = self.newest - number;
        if behind >= WIDTH {
            return false;
        }
        let bit = 1 << behind;
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_number_is_taken_twice_and_none_within_the_width_is_refused(
            numbers in prop::collection::vec(prop_oneof![0_u32..300, u32::MAX - 100..=u32::MAX], 0..200),
        ) {
            let mut window = Window::new();
            let mut taken = HashSet::from([0]);
            let mut newest = 0;
            for number in numbers {
                let is_near = u64::from(number) + u64::from(WIDTH) > u64::from(newest);
                let expected = is_near && !taken.contains(&number);
                prop_assert_eq!(window.take(number), expected, "{}", number);
                if expected {
                    taken.insert(number);
                    newest = newest.max(number);
                }
            }
        }
    }
}
