//! Children: started, fed, read, and run to completion.
//!
//! ```text
//! let output = processes
//!     .run(Command::new("git").args(["config", "--list"]), Run::within(Duration::from_secs(5)))
//!     .await?;
//! ```

use std::time::Duration;

use crate::exit::Exit;
use crate::spawn::Command;

/// The way to start children. Cheap to clone; all clones share the one reaper.
#[derive(Clone, Debug)]
pub struct Processes {
    _private: (),
}

/// How [`Processes::run`] treats a command.
#[derive(Clone, Debug)]
pub struct Run {
    /// Written to the command's standard input, which is then closed.
    pub stdin: Vec<u8>,
    /// The command and its whole process group are killed after this long.
    pub deadline: Duration,
    /// Bytes kept of each captured stream; what comes later is read and thrown away.
    pub capture: usize,
}

impl Run {
    /// No input, at most 64 KiB of output, and this much time.
    #[must_use]
    pub fn within(deadline: Duration) -> Self {
        Self { stdin: Vec::new(), deadline, capture: 64 * 1024 }
    }

    /// Writes these bytes to the command.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to its standard output, if that was not sent elsewhere.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, if that was not sent elsewhere.
    pub stderr: Vec<u8>,
    /// Whether one of them was longer than [`Run::capture`].
    pub truncated: bool,
    /// How long it ran.
    pub elapsed: Duration,
}

/// Why a command could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was still running.
    #[error("{program} was still running after {} s and was killed", .deadline.as_secs_f32())]
    Deadline {
        /// The program.
        program: String,
        /// The time that it had.
        deadline: Duration,
    },
}

impl Processes {
    /// Runs a command to its end. A stream whose [`crate::spawn::Sink`] is `Null` is captured.
    ///
    /// # Errors
    /// The command could not be started, or did not end in time. A command that ended with a
    /// code other than 0 is no error here.
    pub async fn run(&self, command: Command, run: Run) -> Result<Output, RunError> {
        std::future::pending::<()>().await;
        Err(RunError::Deadline { program: command.program.display().to_string(), deadline: run.deadline })
    }
}
