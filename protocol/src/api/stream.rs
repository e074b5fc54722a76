//! What goes over a session's WebSocket besides frames, and how streams end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Content, Encoding};
use crate::frame::Frame;
use crate::session::{PermissionMode, SessionId};

/// `GET /api/sessions/{id}/transcript`: a page of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transcript {
    /// The session.
    pub id: SessionId,
    /// Seq of the last frame in the journal.
    pub last_seq: u64,
    /// The frames of the page, in order.
    pub frames: Vec<Frame>,
    /// What `from` takes for the next page.
    pub next: u64,
    /// What `before` takes for the page in front of this one, if this one was asked for with
    /// `before`; 0 if there is nothing in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
}

/// A text message from a client. Frames come the other way: with the subprotocol `json` one a
/// message, with `jsonl` as many as are ready, one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// Anything that the client recognises; with it the command is answered by a
    /// [`StreamReply`], without it only a refused command is.
    #[serde(default, rename = "ref")]
    pub reference: Option<u64>,
    /// What to do.
    pub command: StreamCommand,
}

/// What a client may ask of a session on its WebSocket. Each needs the scope that the route
/// of the same name needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StreamCommand {
    /// A message, or bytes for the terminal.
    Input {
        /// The message or the bytes; without `content` it has to be there.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        data: String,
        /// A message in parts, in the place of `data`, as in the route of the same name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
        /// How `data` is written.
        #[serde(default)]
        encoding: Encoding,
        /// The client's own name for this request: sent again with the same one within ten minutes, it
        /// is answered as the first time and not done again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(
            feature = "schema",
            schemars(length(min = 1, max = 64), regex(pattern = "^[!-~]*$"))
        )]
        client_id: Option<String>,
    },
    /// Answers to an open question.
    Answer {
        /// The question's id, from its `ask.question` frame.
        id: String,
        /// Answer by question text. Empty refuses.
        #[serde(default)]
        answers: BTreeMap<String, String>,
        /// The client's own name for this request: sent again with the same one within ten minutes, it
        /// is answered as the first time and not done again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(
            feature = "schema",
            schemars(length(min = 1, max = 64), regex(pattern = "^[!-~]*$"))
        )]
        client_id: Option<String>,
    },
    /// End the running turn.
    Interrupt {},
    /// The size of the client's terminal.
    Resize {
        /// Columns, at least 1.
        cols: u16,
        /// Rows, at least 1.
        rows: u16,
        /// Whether the terminal is to have that size though another client typed last.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        take: bool,
    },
    /// Change the model.
    Model {
        /// Alias or id.
        model: String,
    },
    /// Change what needs no asking.
    Permission {
        /// The mode.
        mode: PermissionMode,
    },
}

/// Answer to a [`StreamRequest`]. It has no `seq`, which tells it from a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StreamReply {
    /// The request's own reference.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<u64>,
    /// Whether the session took the command.
    pub done: bool,
    /// Stable code, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A sentence for people, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The last event of an event stream, `event: end`. A WebSocket's close frame has the same
/// reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StreamEnd {
    /// `stopped`, `failed` or `interrupted`: the session ended so, and every frame was sent.
    /// `shutting_down`, `token_revoked`, `token_expired`, `gone`, `journal_unreadable`: only
    /// the stream ended.
    pub reason: String,
    /// Seq of the last frame that was sent or passed over; what `from` takes to go on.
    pub last_seq: u64,
}
