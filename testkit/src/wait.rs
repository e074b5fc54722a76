//! Waiting for a condition itself, with a deadline, instead of for some time to pass.

use std::time::{Duration, Instant};

/// How often a condition is looked at. Small against every deadline, large against a look.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `found` gives something, and returns it.
///
/// # Panics
/// `deadline` passes first; the message says `what` was waited for.
#[track_caller]
pub fn wait_for<T>(deadline: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(
            Instant::now() < end,
            "waited {deadline:?} in vain for {what}"
        );
        pause();
    }
}

/// Waits until `holds` is true.
///
/// # Panics
/// `deadline` passes first; the message says `what` was waited for.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(deadline, what, || holds().then_some(()));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that looks again after a while"
)]
fn pause() {
    std::thread::sleep(INTERVAL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_to_hold_ends_the_wait() {
        let mut looks = 0;
        wait_until(Duration::from_secs(5), "the third look", || {
            looks += 1;
            looks == 3
        });
    }

    #[test]
    #[should_panic(expected = "in vain for rain")]
    fn a_condition_that_never_holds_fails_with_its_name() {
        wait_until(Duration::from_millis(1), "rain", || false);
    }
}
