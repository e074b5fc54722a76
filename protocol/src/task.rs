//! Tasks: a prompt in, a branch or a pull request out. Their names, their states, why they fail, and
//! what the frames of their journals say.

mod fault;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::fault::{TaskError, TaskFault, plain};
use crate::session::SessionId;
use crate::time::Timestamp;

/// A task's name: eight lower-case hexadecimal digits. It is also the name of its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

impl TaskId {
    /// The id that the frames of its journal carry, where those of a session carry the session's.
    #[must_use]
    pub fn journal(self) -> SessionId {
        SessionId::from_u128(u128::from(self.0) << 96)
    }

    /// The task of a journal.
    #[must_use]
    pub fn of_journal(journal: SessionId) -> Self {
        Self(u32::try_from(journal.as_u128() >> 96).unwrap_or(0))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A text that names no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task is named by eight lower-case hexadecimal digits")]
pub struct NoTaskId;

impl FromStr for TaskId {
    type Err = NoTaskId;

    fn from_str(text: &str) -> Result<Self, NoTaskId> {
        let is_id = text.len() == 8
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !is_id {
            return Err(NoTaskId);
        }
        u32::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NoTaskId)
    }
}

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for TaskId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TaskId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{8}$"})
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits for its turn.
    #[default]
    Queued,
    /// It makes other tasks, each time that its schedule says.
    Scheduled,
    /// It is looked for the repository.
    Finding,
    /// Somebody has to say which repository is meant.
    NeedsInput,
    /// The repository is cloned, and the branch made.
    Cloning,
    /// The branch is pushed, with a commit that changes nothing.
    Opening,
    /// Setup commands run.
    Preparing,
    /// Claude works.
    Working,
    /// Claude would work, but something has to come first: an answer, or room in the box.
    Waiting,
    /// What was made is pushed.
    Finishing,
    /// It was cancelled, and what was made is saved.
    Cancelling,
    /// It failed, and what was made is saved.
    Failing,
    /// It is done.
    Completed,
    /// It failed; `error` says why.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 15] = [
        Self::Queued,
        Self::Scheduled,
        Self::Finding,
        Self::NeedsInput,
        Self::Cloning,
        Self::Opening,
        Self::Preparing,
        Self::Working,
        Self::Waiting,
        Self::Finishing,
        Self::Cancelling,
        Self::Failing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether nothing of the task goes on any more.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether it has had its turn and goes on.
    #[must_use]
    pub fn is_running(self) -> bool {
        !matches!(self, Self::Queued | Self::Scheduled | Self::NeedsInput) && !self.is_ended()
    }

    /// Whether it is on its way to an end, which nothing changes any more: but for a task that is
    /// finishing and is cancelled.
    #[must_use]
    pub fn is_ending(self) -> bool {
        matches!(self, Self::Finishing | Self::Cancelling | Self::Failing)
    }

    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Scheduled => "scheduled",
            Self::Finding => "finding",
            Self::NeedsInput => "needs_input",
            Self::Cloning => "cloning",
            Self::Opening => "opening",
            Self::Preparing => "preparing",
            Self::Working => "working",
            Self::Waiting => "waiting",
            Self::Finishing => "finishing",
            Self::Cancelling => "cancelling",
            Self::Failing => "failing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a spelling.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// `task.state`: the task stands elsewhere from here on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskChange {
    /// Where.
    pub state: TaskState,
    /// Why, if that is not obvious: what is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What went wrong, on the way to `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// Until when it stands there, if that is known: then it goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who wanted it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It has begun.
    Begun,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

/// `task.step`: something is done for the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskStep {
    /// What.
    pub step: String,
    /// How far it is.
    pub outcome: StepOutcome,
    /// What it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `task.repository`: which repository the task is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskRepository {
    /// Its URL, or the absolute path of a folder in the box.
    pub source: String,
    /// How its work tree is called.
    pub name: String,
    /// Where it is published, if the box publishes it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<TaskForge>,
}

/// A repository that the box publishes with a token of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskForge {
    /// The forge's host, with its port if it has one of its own.
    pub host: String,
    /// The repository there: `owner/name`.
    pub repository: String,
    /// The branch that is its own, as the forge said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// The fork to which the branch is pushed, where the box may not push to the repository itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<String>,
}

/// `task.choice`: several repositories may be meant, and somebody has to say which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskChoice {
    /// The repositories, as `repo` takes them.
    pub candidates: Vec<String>,
}

/// `task.pr`: the pull request of the task, as it is from here on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskPr {
    /// Its number.
    pub number: u64,
    /// Where people see it.
    pub url: String,
    /// Its state.
    pub state: PrState,
    /// What was not done with it: the forge's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The state of a pull request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PrState {
    /// It is open, and not yet to be looked at.
    #[default]
    Draft,
    /// It is open.
    Open,
    /// It is closed and was not merged.
    Closed,
    /// It is merged.
    Merged,
}

/// `task.branch`: the work tree stands, and the branch in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskBranch {
    /// The work tree, absolute.
    pub workdir: String,
    /// The branch that the task's branch began on; absent in a repository without commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The commit that it began on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
    /// The task's branch.
    pub branch: String,
    /// What the branch begins with: a commit that changes nothing, or what it had already.
    pub commit: String,
    /// Large files (Git LFS) of which nothing but pointers is in the tree.
    #[serde(default, skip_serializing_if = "is_none")]
    pub pointers: u32,
}

/// `task.session`: the session that works on the task; written before it is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskSession {
    /// Its id.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub session: SessionId,
    /// Turns that it had ended before.
    #[serde(default)]
    pub turns: u64,
    /// Whether it looks for the task's repository, and does not work on it.
    #[serde(default, skip_serializing_if = "is_no")]
    pub finder: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_no(value: &bool) -> bool {
    !value
}

/// `task.commit`: there is a new commit on the task's branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskCommit {
    /// Its id.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
}

/// `task.push`: the branch was pushed to where the repository came from, or was not taken there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskPush {
    /// The commit.
    pub commit: String,
    /// Why it was not taken, in the other side's words; the branch stays in the work tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Of which kind that is, where the box publishes the branch itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TaskFault>,
}

/// `task.message`: somebody says something to the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskMessage {
    /// What.
    pub text: String,
    /// Who.
    pub by: String,
    /// Whether the session has been told; else it is told when it starts.
    #[serde(default)]
    pub told: bool,
}

/// `task.result`: what Claude said last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskResult {
    /// The text, at most 4,000 characters of it.
    pub text: String,
}

/// `task.fired`: a schedule has come, and a task is made; written before it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskFired {
    /// The time of the schedule.
    pub at: Timestamp,
}

/// What of a task is kept besides its journal, in `task.json`: what was asked, once and for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who asked.
    pub by: String,
    /// What was asked.
    pub request: crate::api::CreateTask,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_eight_small_digits_and_names_its_journal() {
        let id: TaskId = "00c0ffee".parse().unwrap();
        assert_eq!(id.to_string(), "00c0ffee");
        assert_eq!(
            id.journal().to_string(),
            "00c0ffee-0000-0000-0000-000000000000"
        );
        assert_eq!(TaskId::of_journal(id.journal()), id);
        for bad in [
            "",
            "c0ffee",
            "00C0FFEE",
            "+0c0ffee",
            "00c0ffee0",
            "00c0ff\u{e9}",
        ] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn states_and_faults_are_spelt_as_they_are_written() {
        for state in TaskState::ALL {
            assert_eq!(serde_json::json!(state), state.as_str());
            assert_eq!(TaskState::named(state.as_str()), Some(state));
        }
        for fault in TaskFault::ALL {
            assert_eq!(serde_json::json!(fault), fault.as_str());
            assert!(fault.remedy().ends_with('.'), "{fault:?}");
            let known = [
                "auth_expired",
                "capacity_reached",
                "timeout",
                "exit_code",
                "unknown",
            ];
            assert!(known.contains(&fault.compatible()), "{fault:?}");
        }
    }
}
