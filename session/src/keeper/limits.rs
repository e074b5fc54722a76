//! Limits on turns, money and time. Those on what processes use are [`crate::resources`]'s.

use cib_protocol::session::SessionMeta;

/// Which limit is reached by a session that has run for `run_ms` milliseconds.
pub(super) fn reached(meta: &SessionMeta, run_ms: u64) -> Option<&'static str> {
    let limits = &meta.limits;
    let reached = [
        (
            "max_turns",
            limits.max_turns.is_some_and(|most| meta.turns >= most),
        ),
        (
            "max_cost_usd",
            limits
                .max_cost_usd
                .is_some_and(|most| meta.usage.cost_usd >= most),
        ),
        (
            "max_duration",
            deadline(meta).is_some_and(|most_ms| run_ms >= most_ms),
        ),
    ];
    reached
        .into_iter()
        .find_map(|(name, reached)| reached.then_some(name))
}

/// For how many milliseconds the session may run.
pub(super) fn deadline(meta: &SessionMeta) -> Option<u64> {
    meta.limits
        .max_duration
        .map(|seconds| seconds.saturating_mul(1000))
}
