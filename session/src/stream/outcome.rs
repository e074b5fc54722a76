//! The end of a turn: what it cost and why it ended.

use cib_protocol::frame::Stop;
use cib_protocol::limits::Usage;

use super::wire::{Outcome, Tokens};

/// Longest detail of a stop, in bytes; the whole text has been a frame of its own by then.
const MAX_DETAIL: usize = 4096;

/// What a turn used. `model_usage_since_last_result` counts subagents and aborted output as
/// well; 2.1.112 does not have it, and there the cost is the growth of the total.
pub(super) fn usage(outcome: &Outcome, total_before: f64) -> Usage {
    if let Some(models) = &outcome.model_usage_since_last_result {
        let mut usage = Usage::default();
        for tokens in models.values() {
            usage.add(&Usage {
                input: tokens.input_tokens,
                output: tokens.output_tokens,
                cache_read: tokens.cache_read_input_tokens,
                cache_write: tokens.cache_creation_input_tokens,
                cost_usd: tokens.cost_usd,
            });
        }
        return usage;
    }
    Usage {
        cost_usd: (outcome.total_cost_usd - total_before).max(0.0),
        ..outcome.usage.unwrap_or_default().into()
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input: tokens.input_tokens,
            output: tokens.output_tokens,
            cache_read: tokens.cache_read_input_tokens,
            cache_write: tokens.cache_creation_input_tokens,
            cost_usd: 0.0,
        }
    }
}

/// Why a turn ended.
pub(super) fn stop(outcome: Outcome) -> Stop {
    let terminal = outcome.terminal_reason.as_deref();
    let reason = match terminal {
        Some("aborted_streaming" | "aborted_tools") => "interrupted",
        Some("hook_stopped") => "hook_stopped",
        Some("api_error") => "api_error",
        _ if !outcome.is_error => "turn_end",
        Some(other) if other != "completed" => other,
        _ if outcome.subtype == "success" => "error",
        _ => &outcome.subtype,
    }
    .to_owned();
    let stopped = outcome.stop_reason.filter(|stop| stop != "end_turn");
    let detail = match reason.as_str() {
        "turn_end" => stopped,
        "interrupted" => None,
        _ if outcome.errors.is_empty() => outcome.result,
        _ => Some(outcome.errors.join("\n")),
    };
    Stop {
        reason,
        last: false,
        detail: detail.filter(|text| !text.is_empty()).map(shorten),
        ..Stop::default()
    }
}

fn shorten(mut text: String) -> String {
    if text.len() > MAX_DETAIL {
        text.truncate(text.floor_char_boundary(MAX_DETAIL));
        text.push('…');
    }
    text
}
