//! The end of a turn: what it cost and why it ended.

use cib_foreign::json::{self, Object};
use cib_protocol::frame::{By, Stop};
use cib_protocol::limits::Usage;

/// Longest detail of a stop, in bytes; the whole text has been a frame of its own by then.
const MAX_DETAIL: usize = 4096;

/// Longest reason, in bytes.
const MAX_REASON: usize = 100;

/// What a conversation has cost by a `result`, in US dollars.
pub(super) fn total_cost(result: &Object<'_>) -> Option<f64> {
    result.number("total_cost_usd").filter(|cost| *cost >= 0.0)
}

/// What a turn used. `model_usage_since_last_result` counts subagents and aborted output as
/// well; 2.1.112 does not have it, and there the cost is the growth of the total.
pub(super) fn usage(result: &Object<'_>, total_before: f64) -> Usage {
    let growth = (total_cost(result).unwrap_or(total_before) - total_before).max(0.0);
    let Some(models) = result.object("model_usage_since_last_result") else {
        let tokens = result.object("usage").unwrap_or_default();
        return Usage {
            cost_usd: growth,
            ..tokens_of(&tokens)
        };
    };
    let mut usage = Usage::default();
    let mut is_priced = true;
    for (_, model) in models.fields() {
        let tokens = Object::read(model).unwrap_or_default();
        let cost = tokens.number("costUSD").filter(|cost| *cost >= 0.0);
        is_priced &= cost.is_some();
        usage.add(&Usage {
            input: tokens.count("inputTokens").unwrap_or(0),
            output: tokens.count("outputTokens").unwrap_or(0),
            cache_read: tokens.count("cacheReadInputTokens").unwrap_or(0),
            cache_write: tokens.count("cacheCreationInputTokens").unwrap_or(0),
            cost_usd: cost.unwrap_or(0.0),
        });
    }
    if !is_priced {
        usage.cost_usd = usage.cost_usd.max(growth);
    }
    usage
}

/// Tokens as the Messages API spells them.
pub(crate) fn tokens_of(usage: &Object<'_>) -> Usage {
    let count = |name| usage.count(name).unwrap_or(0);
    Usage {
        input: count("input_tokens"),
        output: count("output_tokens"),
        cache_read: count("cache_read_input_tokens"),
        cache_write: count("cache_creation_input_tokens"),
        cost_usd: 0.0,
    }
}

/// Why a turn ended.
pub(super) fn stop(result: &Object<'_>, by: By, messages: Vec<String>) -> Stop {
    let subtype = result.text("subtype").unwrap_or_default();
    let terminal = result.text("terminal_reason");
    let reason = match terminal.as_deref() {
        Some("aborted_streaming" | "aborted_tools") => "interrupted",
        Some("hook_stopped") => "hook_stopped",
        Some("api_error") => "api_error",
        _ if !result.flag("is_error").unwrap_or(false) => "turn_end",
        Some(other) if other != "completed" => other,
        _ if subtype.is_empty() || subtype == "success" => "error",
        _ => &subtype,
    };
    let reason = shorten(reason.to_owned(), MAX_REASON);
    let errors = result.items("errors").unwrap_or_default();
    let errors: Vec<_> = errors.into_iter().filter_map(json::string).collect();
    let detail = match reason.as_str() {
        "turn_end" => result
            .string("stop_reason")
            .filter(|stop| stop != "end_turn"),
        "interrupted" => None,
        _ if errors.is_empty() => result.string("result"),
        _ => Some(errors.join("\n")),
    };
    Stop {
        reason,
        last: false,
        detail: detail
            .filter(|text| !text.is_empty())
            .map(|text| shorten(text, MAX_DETAIL)),
        by: Some(by),
        messages,
        ..Stop::default()
    }
}

fn shorten(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}
