//! A task as the container's main job: the box boots, does it, says what became of it, and ends.
//!
//! PID 1 does none of it. Once the box is up it starts this program once more, as the user of
//! control and with no rights, and that process asks control over its API as anybody would: so a
//! task of a container is a task like any other, and what speaks HTTP and reads what an agent has
//! made is not PID 1 (`docs/design/decisions/0077-job-is-a-client-of-control.md`).

mod api;
mod outcome;
mod place;
mod words;
mod work;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use place::{PlaceError, place};
pub use words::{Words, WordsError, help, read as words};
pub use work::main;

/// The word that asks for it, and the name under which its lines stand in the log.
pub const NAME: &str = "task";

/// What a container with a task exits with when the task was cancelled, or the container was
/// stopped: as the shell has it for whom SIGTERM ended.
pub const CANCELLED: u8 = 143;

/// What the process that does the job reads from its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Port of the API.
    pub port: u16,
    /// What lets in, if something has to.
    pub token: Option<String>,
    /// The body of `POST /api/tasks`, with its key.
    pub request: serde_json::Value,
    /// Whether a question is waited for.
    pub waits_for_answers: bool,
    /// How long all of it may take.
    pub timeout: Option<Duration>,
    /// How long it may take to cancel the task when the container is stopped.
    pub cancel: Duration,
}
