//! Bodies of the routes of hooks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Hooks by event: for each a list of matchers, each with its hooks, as in Claude's settings.
pub type HookMap = BTreeMap<String, Vec<Value>>;

/// `GET /api/hooks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hooks {
    /// Those that the image brings.
    pub image: HookLevel,
    /// The user's own.
    pub user: HookLevel,
    /// All that a new session runs, in their order, but those that it is given itself.
    pub effective: Vec<EffectiveHook>,
    /// The events that hooks may have.
    pub events: Vec<String>,
    /// The version of Claude Code whose events these are; absent if none has run yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The hooks of one level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HookLevel {
    /// Hooks by event.
    pub hooks: HookMap,
    /// What `If-Match` takes, without its quotation marks; absent if there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What is wrong with them, or odd.
    pub findings: Vec<HookFinding>,
}

/// One hook that a session runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectiveHook {
    /// Where it comes from: `image` or `user`.
    pub level: String,
    /// The event.
    pub event: String,
    /// What it is matched with; absent if it runs for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matcher: Option<String>,
    /// The hook itself.
    pub hook: Value,
}

/// Something about hooks that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HookFinding {
    /// Whether the hooks cannot be used as they are.
    pub severity: HookSeverity,
    /// Where: `PreToolUse[0].hooks[1]`.
    pub place: String,
    /// A sentence for people.
    pub detail: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HookSeverity {
    /// They are not saved so.
    Error,
    /// They are saved, and may not do what is meant.
    Warning,
}

/// Body of `PUT /api/hooks/user`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetHooks {
    /// Hooks by event.
    pub hooks: HookMap,
}

/// Body of `POST /api/hooks/try`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TryHook {
    /// The event that the hook is told of.
    pub event: String,
    /// The command, as in a hook of type `command`.
    pub command: String,
    /// What it finds on its standard input besides the event's name; a sample if absent.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<BTreeMap<String, Value>>"))]
    pub input: Option<serde_json::Map<String, Value>>,
}

/// How a hook went that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TriedHook {
    /// Its exit code; absent if a signal ended it, or the time was up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the time was up.
    pub timed_out: bool,
    /// The first of what it wrote to its standard output.
    pub stdout: String,
    /// The first of what it wrote to its standard error.
    pub stderr: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}
