//! What is retained at the broker: the box and its sessions as they are.

use std::collections::BTreeMap;

use cib_protocol::api::BoxState;
use cib_protocol::session::SessionMeta;
use serde_json::{Value, json};

/// A session as it is.
pub(super) fn session(meta: &SessionMeta) -> Value {
    let question = meta.open_questions.first();
    json!({
        "id": meta.id,
        "title": meta.title,
        "workdir": meta.workdir,
        "model": meta.model,
        "state": meta.state.as_str(),
        "reason": meta.reason,
        "last_seq": meta.last_seq,
        "turns": meta.turns,
        "usage": meta.usage,
        "cost_usd": meta.usage.cost_usd,
        "todo": meta.todo,
        "question": question,
        "questions": meta.open_questions.len(),
    })
}

/// The box as it is. `boot` is another at each start: sealed sessions end with it.
pub(super) fn info<'a>(
    boot: &str,
    state: &BoxState,
    sessions: impl Iterator<Item = &'a SessionMeta>,
) -> Value {
    let mut count: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut cost, mut tokens) = (0.0, 0_u64);
    for meta in sessions {
        *count.entry(meta.state.as_str()).or_default() += 1;
        cost += meta.usage.cost_usd;
        tokens = tokens
            .saturating_add(meta.usage.input)
            .saturating_add(meta.usage.output);
    }
    let egress = &state.egress;
    let health = egress.upstream_health.as_deref();
    let is_unwell = health.is_some_and(|health| health != "reachable");
    json!({
        "version": crate::VERSION,
        "boot": boot,
        "phase": state.phase,
        "egress": {"mode": egress.mode, "summary": egress.summary, "problem": is_unwell},
        "sessions": count,
        "working": count.get("working").copied().unwrap_or(0),
        "waiting": count.get("waiting_for_input").copied().unwrap_or(0),
        "cost_usd": cost,
        "tokens": tokens,
        "warnings": state.warnings,
    })
}
