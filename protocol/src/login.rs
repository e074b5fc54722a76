//! The lines on the socket of the keeper of logins: requests from control, one reply each.
//!
//! It runs as the user whose login it is, drives the CLI, and goes when nobody has asked it
//! anything for a while. A line is at most [`crate::MAX_LINE`] bytes.

use serde::{Deserialize, Serialize};

use crate::api::{ClaudeLogin, LoginCode, StartLogin};

/// What control may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum LoginRequest {
    /// How things stand.
    Status {},
    /// Begin a login; answered when it is known where to go.
    Start(StartLogin),
    /// Finish it; answered when the code was looked at.
    Code(LoginCode),
    /// Give it up.
    Cancel {},
    /// Forget the stored login.
    Logout {},
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginReply {
    /// How things stand now.
    Login(Box<ClaudeLogin>),
    /// Refused, and nothing was changed.
    Refused {
        /// Stable code.
        code: LoginFault,
        /// A sentence for people.
        detail: String,
    },
}

/// Why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFault {
    /// The line was not a request, or a value in it cannot be used.
    BadRequest,
    /// A login is on its way.
    Running,
    /// No login waits for a code, or for anything.
    NotWaiting,
    /// The CLI could not be run, or failed.
    Claude,
}
