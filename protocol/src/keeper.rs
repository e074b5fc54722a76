//! The lines on a keeper's socket: requests from control, one reply each, in order.
//!
//! A request is at most [`crate::MAX_INPUT_LINE`] bytes. What a request causes shows in the
//! journal; a reply only says whether it was accepted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::image::Image;
use crate::offers::Offers;
use crate::session::{Driver, PermissionMode, SessionMeta};

/// Bytes of the name of who asks.
pub const MAX_BY: usize = 256;

/// What control may ask of a keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeeperRequest {
    /// A message for Claude. With the tty driver it is typed and submitted.
    Input {
        /// The message.
        text: String,
        /// What names it in its frame and in the `stop` of the turn that answers it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Uuid>,
        /// Whether it is a command of Claude's interface, as `/compact`. With the tty driver
        /// nothing else is ever taken for one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        command: bool,
        /// Images that it has; only with the stream driver.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        images: Vec<Image>,
    },
    /// Bytes for the terminal, base64 with padding; only with the tty driver.
    Raw {
        /// The bytes.
        data: String,
    },
    /// Answers to an open question.
    Answer {
        /// The question's id, from its `ask.question` frame.
        id: String,
        /// Answer by question text; several labels are joined by `, `. Empty refuses.
        answers: BTreeMap<String, String>,
    },
    /// End the running turn; the session lives on.
    Interrupt,
    /// Change the model from the next request on.
    SetModel {
        /// Alias or id.
        model: String,
    },
    /// Change the reasoning effort from the next request on.
    SetEffort {
        /// low, medium, high, xhigh or max.
        effort: String,
    },
    /// Change what needs no asking.
    SetPermissionMode {
        /// The mode.
        mode: PermissionMode,
    },
    /// Move the session to the other driver, keeping its conversation.
    SetDriver {
        /// The driver to use from now on.
        driver: Driver,
    },
    /// Change the terminal's size; only with the tty driver.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// What hooks the session was given itself.
    Hooks,
    /// Give it others, from its next start of Claude on: a resume, or a change of driver.
    SetHooks {
        /// Hooks by event, as under `hooks` in Claude's settings.
        hooks: serde_json::Map<String, serde_json::Value>,
    },
    /// Change the title.
    SetTitle {
        /// A name for people.
        title: String,
    },
    /// End the session in order: Claude is asked, then signalled, then killed.
    Stop {
        /// Skip the asking.
        #[serde(default)]
        kill: bool,
    },
    /// Any of the others, with a name of who asks: the frames that come of it have it.
    As {
        /// A name for people, at most [`MAX_BY`] bytes.
        by: String,
        /// What is asked; not another of these.
        request: Box<KeeperRequest>,
    },
    /// What the session is now, fresher than its journal's frames.
    Status,
    /// What its Claude has to choose from.
    Offers,
}

/// What a keeper answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeeperReply {
    /// Accepted.
    Done,
    /// To [`KeeperRequest::Status`].
    Status(Box<SessionMeta>),
    /// To [`KeeperRequest::Offers`]; empty if Claude has not said so, which with the tty driver it
    /// never does.
    Offers(Box<Offers>),
    /// To [`KeeperRequest::Hooks`].
    Hooks(serde_json::Map<String, serde_json::Value>),
    /// Refused, and nothing was changed.
    Refused {
        /// Stable code, see [`KeeperFault`].
        code: KeeperFault,
        /// A sentence for people.
        detail: String,
    },
}

/// Why a keeper refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeeperFault {
    /// The line was not a request.
    BadRequest,
    /// The driver in use cannot do that.
    WrongDriver,
    /// No such question is open.
    NoSuchQuestion,
    /// The session is ending.
    Ending,
    /// Claude answered with an error.
    Claude,
    /// Claude does not take its input as fast as it comes; try again later.
    Busy,
    /// The journal cannot be written, so nothing that would have to stand in it is accepted.
    Journal,
}
