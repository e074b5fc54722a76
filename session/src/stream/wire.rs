//! What the CLI writes, as far as frames are made from it.
//!
//! Every type takes only the fields that are used and ignores the rest, because each version
//! of the CLI adds some. Parts whose shape depends on others stay text until it is known
//! what they are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A line. `type` is not always the first field, so everything that any kind needs is taken
/// in one pass.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) subtype: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) event: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) request: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) response: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) request_id: Option<String>,
    #[serde(default)]
    pub(super) parent_tool_use_id: Option<String>,
    #[serde(default)]
    pub(super) agent_id: Option<String>,
    #[serde(default)]
    pub(super) subagent_type: Option<String>,
    #[serde(default, rename = "isReplay")]
    pub(super) is_replay: Option<bool>,
    #[serde(default, rename = "isSynthetic")]
    pub(super) is_synthetic: Option<bool>,
    #[serde(default, borrow)]
    pub(super) tool_use_result: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) new_conversation_id: Option<String>,
}

/// The Messages API event inside a `stream_event`.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default)]
    pub(super) index: u32,
    #[serde(default)]
    pub(super) delta: Option<Delta>,
    #[serde(default)]
    pub(super) message: Option<MessageId>,
}

#[derive(Deserialize)]
pub(super) struct MessageId {
    pub(super) id: String,
}

#[derive(Deserialize)]
pub(super) struct Delta {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) text: String,
    #[serde(default)]
    pub(super) thinking: String,
}

/// `message` of an assistant or user line.
#[derive(Deserialize)]
pub(super) struct Said<'a> {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(borrow)]
    pub(super) content: &'a RawValue,
}

/// A content block. Fields of other kinds are absent.
#[derive(Deserialize)]
pub(crate) struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) thinking: String,
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default, borrow)]
    pub(crate) input: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) tool_use_id: String,
    #[serde(default, borrow)]
    pub(crate) content: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) is_error: Option<bool>,
}

/// `system` lines of every subtype that has a frame.
#[derive(Deserialize)]
pub(super) struct System {
    #[serde(default)]
    pub(super) session_id: Option<String>,
    #[serde(default)]
    pub(super) cwd: Option<String>,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default, rename = "permissionMode")]
    pub(super) permission_mode: Option<String>,
    #[serde(default)]
    pub(super) claude_code_version: Option<String>,
    #[serde(default)]
    pub(super) tools: Option<Vec<String>>,
    #[serde(default)]
    pub(super) state: Option<String>,
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) attempt: Option<u64>,
    #[serde(default)]
    pub(super) max_retries: Option<u64>,
    #[serde(default)]
    pub(super) error_status: Option<Value>,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) compact_metadata: Option<Compacted>,
    #[serde(default)]
    pub(super) tool_use_id: Option<String>,
    #[serde(default)]
    pub(super) task_id: Option<String>,
    #[serde(default)]
    pub(super) subagent_type: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Compacted {
    #[serde(default)]
    pub(super) trigger: String,
    #[serde(default)]
    pub(super) pre_tokens: u64,
    #[serde(default)]
    pub(super) post_tokens: Option<u64>,
}

/// A `hook_response` line.
#[derive(Deserialize)]
pub(super) struct HookResponse {
    pub(super) hook_name: String,
    pub(super) hook_event: String,
    #[serde(default)]
    pub(super) stdout: String,
    #[serde(default)]
    pub(super) stderr: String,
    #[serde(default)]
    pub(super) exit_code: Option<i64>,
    #[serde(default)]
    pub(super) outcome: String,
}

/// What a `control_request` of the CLI asks.
#[derive(Deserialize)]
pub(super) struct Request<'a> {
    pub(super) subtype: String,
    #[serde(default)]
    pub(super) tool_name: String,
    #[serde(default)]
    pub(super) tool_use_id: Option<String>,
    #[serde(default, borrow)]
    pub(super) input: Option<&'a RawValue>,
}

/// A `control_response` to one of our requests.
#[derive(Deserialize)]
pub(super) struct Response {
    pub(super) subtype: String,
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) response: Option<Answer>,
}

/// What of an answer is used, whichever request it is for.
#[derive(Default, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) claude_code_version: Option<String>,
    #[serde(default)]
    pub(super) current_permission_mode: Option<String>,
}

/// A `result` line.
#[derive(Deserialize)]
pub(super) struct Outcome {
    #[serde(default)]
    pub(super) subtype: String,
    #[serde(default)]
    pub(super) is_error: bool,
    #[serde(default)]
    pub(super) terminal_reason: Option<String>,
    #[serde(default)]
    pub(super) stop_reason: Option<String>,
    #[serde(default)]
    pub(super) result: Option<String>,
    #[serde(default)]
    pub(super) errors: Vec<String>,
    #[serde(default)]
    pub(super) total_cost_usd: f64,
    #[serde(default)]
    pub(super) usage: Option<Tokens>,
    #[serde(default)]
    pub(super) model_usage_since_last_result: Option<BTreeMap<String, ModelTokens>>,
}

/// Usage as the Messages API spells it.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Tokens {
    #[serde(default)]
    pub(crate) input_tokens: u64,
    #[serde(default)]
    pub(crate) output_tokens: u64,
    #[serde(default)]
    pub(crate) cache_read_input_tokens: u64,
    #[serde(default)]
    pub(crate) cache_creation_input_tokens: u64,
}

/// Usage as the CLI spells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelTokens {
    #[serde(default)]
    pub(super) input_tokens: u64,
    #[serde(default)]
    pub(super) output_tokens: u64,
    #[serde(default)]
    pub(super) cache_read_input_tokens: u64,
    #[serde(default)]
    pub(super) cache_creation_input_tokens: u64,
    #[serde(default, rename = "costUSD")]
    pub(super) cost_usd: f64,
}
