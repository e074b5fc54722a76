//! How long a task waits for Claude's API before it is tried again.

use std::time::Duration;

use cib_protocol::api::OnLimit;
use cib_protocol::frame::UsageLimit;
use cib_protocol::task::TaskFault;
use cib_protocol::time::Timestamp;

/// Seconds before Claude goes on again whose API failed, one after the other. Claude has tried for
/// minutes by itself then.
pub const PAUSES: [u64; 6] = [30, 120, 300, 900, 1800, 3600];

/// The longest reset of a limit that is waited for: limits are of a week at most.
const LONGEST: i64 = 8 * 24 * 3600 * 1000;

/// How often a limit is waited for of which nobody knows when it is reset.
const MOST_WAITS: u32 = 200;

/// After a reset it is tried when the API's clock is there as well.
const SLACK: i64 = 1000;

/// Until when a task waits that met this; `None` if it is given up. `waits` says how often it has
/// waited since there was last a commit.
#[must_use]
pub fn until(
    kind: TaskFault,
    limit: Option<&UsageLimit>,
    on_limit: OnLimit,
    waits: u32,
    pauses: &[Duration],
    now: Timestamp,
) -> Option<Timestamp> {
    let after = |nth: u32| {
        let pause = pauses.get(usize::try_from(nth).ok()?)?;
        let millis = i64::try_from(pause.as_millis()).ok()?;
        Some(Timestamp::from_millis(now.as_millis() + millis))
    };
    let limit = match (kind, limit) {
        (TaskFault::CapacityReached, Some(limit)) => limit,
        (TaskFault::CapacityReached | TaskFault::ApiDown, _) => return after(waits),
        _ => return None,
    };
    if on_limit == OnLimit::Fail || waits >= MOST_WAITS {
        return None;
    }
    let resets_at = limit.resets_at.map(Timestamp::as_millis);
    match resets_at.map(|at| at.saturating_sub(now.as_millis())) {
        Some(left) if left > LONGEST => None,
        Some(left) if left > 0 => Some(Timestamp::from_millis(now.as_millis() + left + SLACK)),
        // It was to be reset already, or nobody knows when.
        _ => {
            let last = u32::try_from(pauses.len().saturating_sub(1)).unwrap_or(0);
            after(waits.min(last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn waited(
        kind: TaskFault,
        resets_at: Option<Option<i64>>,
        on_limit: OnLimit,
        waits: u32,
    ) -> Option<i64> {
        let limit = resets_at.map(|at| UsageLimit {
            kind: None,
            resets_at: at.map(|seconds| Timestamp::from_millis(NOW + seconds * 1000)),
        });
        let pauses = PAUSES.map(Duration::from_secs);
        let now = Timestamp::from_millis(NOW);
        let until = until(kind, limit.as_ref(), on_limit, waits, &pauses, now);
        until.map(|at| (at.as_millis() - NOW) / 1000)
    }

    #[test]
    fn a_limit_is_waited_for_until_its_reset_unless_it_is_not_to_be() {
        let at =
            |resets_at, on_limit| waited(TaskFault::CapacityReached, Some(resets_at), on_limit, 3);
        assert_eq!(at(Some(7200), OnLimit::Wait), Some(7201));
        assert_eq!(at(Some(7200), OnLimit::Fail), None);
        assert_eq!(at(Some(30 * 24 * 3600), OnLimit::Wait), None);
        assert_eq!(at(Some(-5), OnLimit::Wait), Some(900));
        assert_eq!(at(None, OnLimit::Wait), Some(900));
        let late = |waits| waited(TaskFault::CapacityReached, Some(None), OnLimit::Wait, waits);
        assert_eq!((late(100), late(200)), (Some(3600), None));
    }

    #[test]
    fn what_may_pass_is_tried_again_at_growing_pauses_and_the_rest_is_not() {
        for kind in [TaskFault::CapacityReached, TaskFault::ApiDown] {
            let all = (0..8).map(|waits| waited(kind, None, OnLimit::Fail, waits));
            let wanted = [
                Some(30),
                Some(120),
                Some(300),
                Some(900),
                Some(1800),
                Some(3600),
                None,
                None,
            ];
            assert_eq!(all.collect::<Vec<_>>(), wanted, "{kind:?}");
        }
        for kind in TaskFault::ALL {
            let may_pass = matches!(kind, TaskFault::CapacityReached | TaskFault::ApiDown);
            let is_waited = waited(kind, Some(Some(60)), OnLimit::Wait, 0).is_some();
            assert_eq!(is_waited, may_pass, "{kind:?}");
        }
    }
}
