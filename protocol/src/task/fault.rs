//! Why a task failed, and what a person can do about it.

use serde::{Deserialize, Serialize};

/// Why a task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskFault {
    /// No repository was named, and none is meant for sure.
    NoRepo,
    /// Several repositories may be meant.
    AmbiguousRepo,
    /// The token of the box may not do that with the repository.
    NoRight,
    /// The forge does not answer, or not as it should.
    ForgeDown,
    /// The branch is not taken where it is published.
    PushRefused,
    /// A secret would have been published.
    SecretFound,
    /// The repository cannot be cloned, or the base is not in it.
    CloneFailed,
    /// A setup command failed.
    SetupFailed,
    /// The time of the task is over.
    Timeout,
    /// Nothing came of the session any more, and it did nothing.
    Stuck,
    /// Turns or money of the task are used up.
    BudgetExhausted,
    /// Claude's login does not hold any more.
    AuthExpired,
    /// Claude's API has no capacity for it, or the box has none.
    CapacityReached,
    /// Claude's API cannot be reached.
    ApiDown,
    /// Somebody cancelled it.
    Cancelled,
    /// Claude ended before it was done.
    ExitCode,
    /// Something else.
    Unknown,
}

impl TaskFault {
    /// Every one.
    pub const ALL: [Self; 17] = [
        Self::NoRepo,
        Self::AmbiguousRepo,
        Self::NoRight,
        Self::ForgeDown,
        Self::PushRefused,
        Self::SecretFound,
        Self::CloneFailed,
        Self::SetupFailed,
        Self::Timeout,
        Self::Stuck,
        Self::BudgetExhausted,
        Self::AuthExpired,
        Self::CapacityReached,
        Self::ApiDown,
        Self::Cancelled,
        Self::ExitCode,
        Self::Unknown,
    ];

    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRepo => "no_repo",
            Self::AmbiguousRepo => "ambiguous_repo",
            Self::NoRight => "no_right",
            Self::ForgeDown => "forge_down",
            Self::PushRefused => "push_refused",
            Self::SecretFound => "secret_found",
            Self::CloneFailed => "clone_failed",
            Self::SetupFailed => "setup_failed",
            Self::Timeout => "timeout",
            Self::Stuck => "stuck",
            Self::BudgetExhausted => "budget_exhausted",
            Self::AuthExpired => "auth_expired",
            Self::CapacityReached => "capacity_reached",
            Self::ApiDown => "api_down",
            Self::Cancelled => "cancelled",
            Self::ExitCode => "exit_code",
            Self::Unknown => "unknown",
        }
    }

    /// What a program exits with whose task failed so. `docs/guides/tasks-at-scale.md` says what the
    /// numbers mean; they are those of `sysexits.h` where it has one.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::ExitCode | Self::Stuck | Self::Unknown => 1,
            // EX_DATAERR
            Self::SetupFailed => 65,
            // EX_NOINPUT
            Self::NoRepo | Self::AmbiguousRepo => 66,
            // EX_UNAVAILABLE
            Self::CloneFailed | Self::ForgeDown | Self::ApiDown => 69,
            // EX_CANTCREAT
            Self::PushRefused | Self::SecretFound => 73,
            // EX_TEMPFAIL
            Self::CapacityReached => 75,
            // EX_NOPERM
            Self::NoRight | Self::AuthExpired => 77,
            // As timeout(1) has it.
            Self::Timeout | Self::BudgetExhausted => 124,
            // As the shell has it for whom SIGTERM ended.
            Self::Cancelled => 143,
        }
    }

    /// What a client of claude-code-runner calls it: it knows five.
    #[must_use]
    pub fn compatible(self) -> &'static str {
        match self {
            Self::Timeout | Self::AuthExpired | Self::CapacityReached | Self::ExitCode => {
                self.as_str()
            }
            Self::SetupFailed | Self::BudgetExhausted | Self::Stuck => "exit_code",
            _ => "unknown",
        }
    }

    /// What a person can do about it, in a sentence.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoRepo => {
                "Name the repository in `repo`: a URL, `owner/name` at a forge that the box has an \
                 account at, or a folder of the workspace."
            }
            Self::AmbiguousRepo => "Say in `repo` which of them is meant.",
            Self::NoRight => {
                "Give the box a token that may write to the repository, or may fork it, and retry."
            }
            Self::ForgeDown => "Wait until the forge answers again, and retry; retrying goes on.",
            Self::PushRefused => {
                "See why the forge does not take the branch, and retry; its commits are in the work \
                 tree."
            }
            Self::SecretFound => {
                "Take the secret out of the branch's commits and retry, or allow the text in \
                 `allow` if it is none; a secret that left the box has to be changed."
            }
            Self::CloneFailed => {
                "See whether the box reaches the repository and has the right to read it, and \
                 whether `base` is in it."
            }
            Self::SetupFailed => "Mend the command, and retry; the task's log has its output.",
            Self::Timeout => "Give `limits.duration_s` more, or ask for less; retrying goes on.",
            Self::Stuck => {
                "See in the session what it waited for, give `limits.quiet_s` more if that takes so \
                 long, and retry; retrying goes on."
            }
            Self::BudgetExhausted => "Give `limits` more, and retry; retrying goes on.",
            Self::AuthExpired => {
                "Log Claude in again, let the queue go on, which is paused for that, and retry."
            }
            Self::CapacityReached => {
                "Wait until there is room again, and retry; with `on_limit` of `wait` the task does."
            }
            Self::ApiDown => {
                "See whether the box reaches Claude's API through its proxy, and retry; retrying \
                 goes on."
            }
            Self::Cancelled => "Retry it if it is wanted after all; retrying goes on.",
            Self::ExitCode => "See in the session how it ended, and retry.",
            Self::Unknown => "See the task's log, and retry.",
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskError {
    /// Its kind.
    pub kind: TaskFault,
    /// What was seen, at most 2,000 characters of it.
    pub detail: String,
    /// What a person can do.
    pub remedy: String,
}

/// Characters of a detail that are kept.
const MAX_DETAIL: usize = 2000;

impl TaskError {
    /// One of a kind, with what was seen.
    #[must_use]
    pub fn new(kind: TaskFault, detail: &str) -> Self {
        Self {
            kind,
            detail: plain(detail, MAX_DETAIL),
            remedy: kind.remedy().to_owned(),
        }
    }
}

/// Text of somebody else's, so many characters of it, without what a terminal would obey.
#[must_use]
pub fn plain(text: &str, most: usize) -> String {
    text.trim()
        .chars()
        .filter(|letter| !letter.is_control() || *letter == '\n')
        .take(most)
        .collect()
}
