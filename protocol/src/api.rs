//! Bodies of the HTTP API.

mod chat;
mod info;
mod login;
mod shells;
mod stream;
mod tokens;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::{Limits, Resources, Usage};
use crate::purge::Purged;
use crate::secret::Secret;
use crate::session::{AuthMode, Driver, PermissionMode, SessionId, SessionMeta};

pub use chat::{Chat, ChatMessage, ChatRole, Send};
pub use info::{Health, Info, InfoCaller, InfoSessions};
pub use login::{ClaudeLogin, LoginCode, LoginFlow, LoginMethod, LoginState, StartLogin};
pub use shells::{CreateShell, EndedShell, Shell, ShellList};
pub use stream::{StreamCommand, StreamEnd, StreamReply, StreamRequest, Transcript};
pub use tokens::{CreateToken, TokenCreated, TokenInfo, TokenList};

/// Body of `POST /api/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// Absolute directory in the box; `/workspace` if absent.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    pub workdir: Option<String>,
    /// Model alias or id.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 200), regex(pattern = "^[!-,.-~][!-~]*$"))
    )]
    pub model: Option<String>,
    /// First message.
    #[serde(default)]
    pub prompt: Option<String>,
    /// How the keeper speaks to Claude; `stream`, or on resuming as before, if absent.
    #[serde(default)]
    pub driver: Option<Driver>,
    /// Reasoning effort.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(regex(pattern = "^(low|medium|high|xhigh|max)$"))
    )]
    pub effort: Option<String>,
    /// What needs no asking.
    #[serde(default)]
    pub permission_mode: Option<PermissionMode>,
    /// An older spelling of `permission_mode`: false means `default`.
    #[serde(default)]
    pub bypass_permissions: Option<bool>,
    /// Whose account pays; if absent, `api_key` or `subscription` when one of them is given
    /// with the request, on resuming as before, else `auto`.
    #[serde(default)]
    pub auth_mode: Option<AuthMode>,
    /// Key for `auth_mode: api_key`.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Token for `auth_mode: subscription`, as `claude setup-token` prints it.
    #[serde(default)]
    pub oauth_token: Option<Secret>,
    /// Session of the box to continue, under its own id.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub resume: Option<Uuid>,
    /// Session of the box, or Claude's own id, to continue in a new session.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub resume_from: Option<Uuid>,
    /// Variables for Claude.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Hooks on top of the image's and the user's, as `hooks` in Claude's settings: an event,
    /// and what is run for it. On resuming as before, if absent.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<BTreeMap<String, Vec<serde_json::Value>>>")
    )]
    pub hooks: Option<serde_json::Map<String, serde_json::Value>>,
    /// What the session may use; on resuming as before, if absent.
    #[serde(default, deserialize_with = "crate::object::option")]
    pub limits: Option<Limits>,
    /// A name for people.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 200),
            regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")
        )
    )]
    pub title: Option<String>,
}

/// `GET /api/sessions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionList {
    /// The sessions of the box, the newest first. One whose journal cannot be used is in it
    /// with `damage`.
    pub sessions: Vec<SessionMeta>,
    /// What `after` takes for the next part of the list; absent behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether more are being looked at and not in it yet; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// Answer to `DELETE /api/sessions/{id}`: what the session is then, or was until it was purged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndedSession {
    /// The session.
    #[serde(flatten)]
    pub session: SessionMeta,
    /// What was removed, with `purge`; the session is gone then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged: Option<Purged>,
}

/// Answer to a command that a session has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Accepted {
    /// The session.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
}

/// Body of `POST /api/sessions/{id}/input`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The message or the bytes.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub data: String,
    /// How `data` is written.
    #[serde(default)]
    pub encoding: Encoding,
}

/// Answer to `POST /api/sessions/{id}/input`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InputTaken {
    /// How many bytes the session took.
    pub bytes: u64,
}

/// How bytes are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As text: a message, which is submitted. Line ends behind it do not belong to it.
    #[default]
    Utf8,
    /// As text: a command of Claude's interface, as `/compact` or `!ls`. On a terminal a message
    /// is never taken for one.
    Command,
    /// As text: bytes for the terminal, typed as they are.
    Raw,
    /// Base64 with padding: bytes for the terminal.
    Base64,
}

/// Body of `POST /api/sessions/{id}/answer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The question's id, from its `ask.question` frame.
    pub id: String,
    /// Answer by question text; several labels are joined by `, `. Empty refuses.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
}

/// Body of `POST /api/sessions/{id}/model`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetModel {
    /// Model alias or id, used from the next request on.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 200), regex(pattern = "^[!-,.-~][!-~]*$"))
    )]
    pub model: String,
}

/// Answer to `POST /api/sessions/{id}/model`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelSet {
    /// The session.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
    /// The model as asked for.
    pub model: String,
}

/// Body of `POST /api/sessions/{id}/driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetDriver {
    /// The driver to use from now on.
    pub driver: Driver,
}

/// Body of `POST /api/sessions/{id}/permission`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetPermission {
    /// What needs no asking from now on.
    pub mode: PermissionMode,
}

/// Body of `POST /api/sessions/{id}/resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Columns of the terminal, at least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cols: u16,
    /// Rows of the terminal, at least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub rows: u16,
}

/// Body of `PATCH /api/sessions/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeSession {
    /// A name for people.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 200),
            regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")
        )
    )]
    pub title: String,
}

/// `GET /api/sessions/{id}/usage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionUsage {
    /// The session.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
    /// Tokens and cost so far.
    pub usage: Usage,
    /// Tokens and cost of the turn that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_turn: Option<Usage>,
    /// Memory, time and processes.
    pub resources: Resources,
    /// Turns that ended.
    pub turns: u64,
    /// What it may use.
    pub limits: Limits,
}

/// Every error's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// Stable code.
    pub error: String,
    /// A sentence for people.
    pub detail: String,
}
