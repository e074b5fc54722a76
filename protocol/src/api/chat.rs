//! A session as a conversation: for clients too small for frames.

use serde::{Deserialize, Serialize};

use crate::session::SessionId;

/// Body of `POST /api/sessions/{id}/send`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// The message.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub prompt: String,
    /// Milliseconds to wait for the end of the turn; 60000 if absent, at most 300000.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(max = 300_000)))]
    pub timeout_ms: Option<u64>,
}

/// `GET /api/sessions/{id}/chat`, and the answer to `POST /api/sessions/{id}/send`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Chat {
    /// The session.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub session: SessionId,
    /// Seq of the last frame that this was made from; what `since` takes next.
    pub last_seq: u64,
    /// What was said, in order.
    pub messages: Vec<ChatMessage>,
    /// Why the turn ended, as in its `stop` frame; only in the answer to `send`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    /// Id of the question that the turn waits for; only in the answer to `send`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Whether there is more: the time was up before the turn had ended, or the conversation is
    /// longer than one answer. Go on with `since`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// Something that was said or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChatMessage {
    /// Seq of its first frame.
    pub seq: u64,
    /// Who it is from.
    pub role: ChatRole,
    /// What was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The tool that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// How that went: `running`, `ok · 17ms`, `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// Who a message is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChatRole {
    /// The user, by whichever client.
    User,
    /// Claude.
    Assistant,
    /// A tool that Claude used.
    Tool,
}
