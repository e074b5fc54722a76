//! Tasks.

use serde::{Deserialize, Serialize};

use super::TaskWebhook;
use crate::limits::Usage;
use crate::secret::Secret;
use crate::session::SessionId;
use crate::task::{TaskBranch, TaskError, TaskId, TaskPr, TaskPush, TaskState};
use crate::time::Timestamp;

/// Body of `POST /api/tasks`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateTask {
    /// What is to be done.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub prompt: String,
    /// The repository: a URL (`https`, `http`, `ssh`, or as `git@host:path`), a folder in the
    /// workspace, or `owner/name` on the forge whose token the box has. Absent, it is the one that
    /// the prompt names, or the only one that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The branch to begin on; the repository's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The branch to work on; `claude/<id>` if absent. One that is there already is gone on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Commits of history that are fetched; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub depth: Option<u32>,
    /// Whether the branch is pushed to where the repository came from.
    #[serde(default = "yes")]
    pub push: bool,
    /// Whether its pull request stays a draft when the task is completed. It is one until then.
    #[serde(default = "yes")]
    pub draft: bool,
    /// Whether the pull request says nothing of the prompt.
    #[serde(default, skip_serializing_if = "is_no")]
    pub private_prompt: bool,
    /// Texts that look like secrets and may be published all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Model alias or id: one that Claude lists, one with `claude` in its name, or whatever the gateway,
    /// the cloud or the provider has that Claude speaks to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider that its sessions work at, instead of whom the box's Claude speaks to; whoever names
    /// one has the scope `providers:read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Reasoning effort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// What it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<TaskLimits>,
    /// Commands for a shell, run in the work tree before Claude begins, one after the other. They may
    /// be run again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
    /// Tasks with a higher one come first.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = -100, max = 100)))]
    pub priority: i32,
    /// When it is begun again and again: five fields as cron has them, in UTC. Each time a task of its
    /// own is made, unless the last one has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// While a task with the same one has not ended, it is the answer, and nothing new is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 200), regex(pattern = "^[!-~]*$"))
    )]
    pub dedupe_key: Option<String>,
    /// What becomes of it when a usage limit of Claude's is reached.
    #[serde(default, skip_serializing_if = "OnLimit::is_wait")]
    pub on_limit: OnLimit,
    /// Who is told how it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<TaskWebhook>,
}

/// What becomes of a task when a usage limit of Claude's is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// It waits until the limit is reset, and goes on.
    #[default]
    Wait,
    /// It fails with `capacity_reached`.
    Fail,
}

impl OnLimit {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_wait(&self) -> bool {
        *self == Self::Wait
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_no(value: &bool) -> bool {
    !value
}

/// What a task may use. An absent field is as said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskLimits {
    /// Turns; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub turns: Option<u64>,
    /// US dollars, by Claude's own accounting; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub cost_usd: Option<f64>,
    /// Seconds that Claude may work; an hour if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub duration_s: Option<u64>,
    /// Seconds that each setup command may take; twenty minutes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 14400)))]
    pub setup_s: Option<u64>,
    /// Seconds without output and without work after which the task is stuck, and fails; fifteen
    /// minutes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub quiet_s: Option<u64>,
    /// Bytes of memory for Claude and everything it starts; no limit of the task's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub memory: Option<u64>,
}

/// What a task is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// Why it stands there, if that is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when it waits, if that is known: then it goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What is to be done; in a list at most 500 characters of it.
    pub prompt: String,
    /// The repository as it was asked for, or as it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Its work tree and its branch, once they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<TaskBranch>,
    /// The session that looks for its repository, if one does or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub finder: Option<SessionId>,
    /// The session that works on it, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub session: Option<SessionId>,
    /// What the session has used, where the task is shown by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Commits on the branch since it began.
    pub commits: u64,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The last push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<TaskPush>,
    /// Its pull request, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pr: Option<TaskPr>,
    /// Which repositories may be meant, while somebody has to say which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// What Claude said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// Which run of it this is; 1 is the first, and each retry is one more.
    pub attempt: u32,
    /// Its place among those that wait.
    pub priority: i32,
    /// As it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe_key: Option<String>,
    /// When it is begun again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// When that is next, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Who asked for it.
    pub by: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Seq of the last frame of its journal.
    pub last_seq: u64,
}

/// `GET /api/tasks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskList {
    /// The newest first.
    pub tasks: Vec<Task>,
    /// What `after` takes for the next part of the list; absent behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Body of `POST /api/tasks/{id}/message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MessageTask {
    /// The message.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub text: String,
}

/// Body of `POST /api/tasks/{id}/repository`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChooseRepository {
    /// One of the task's `candidates`, or any address.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub repo: String,
}

/// The queue of tasks, as it is and as it is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskQueue {
    /// Tasks that run at once.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub max_running: u32,
    /// Whether no task is begun. Those that run go on.
    #[serde(default)]
    pub paused: bool,
}

/// `GET /api/tasks/queue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskQueueState {
    /// Tasks that run at once.
    pub max_running: u32,
    /// Whether no task is begun.
    pub paused: bool,
    /// Tasks that wait.
    pub queued: u64,
    /// Tasks that run.
    pub running: u64,
}

/// Body of `POST /task`, as clients of claude-code-runner send it. What they send besides is passed
/// over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunnerPrompt {
    /// What is to be done.
    #[serde(default)]
    pub prompt: Option<String>,
}

/// A task as clients of claude-code-runner know one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunnerTask {
    /// Its id.
    pub id: TaskId,
    /// `running`, `completed` or `failed`; to `POST /task` always `queued`.
    pub status: String,
    /// What is to be done.
    pub prompt: String,
    /// When it was asked for.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Where its log is, as a path of this API.
    #[serde(rename = "logFile")]
    pub log_file: String,
    /// What went wrong.
    pub error: Option<String>,
    /// One of `auth_expired`, `capacity_reached`, `timeout`, `exit_code`, `unknown`.
    #[serde(rename = "errorType")]
    pub error_type: Option<String>,
    /// Its pull request, once there is one.
    pub pr_url: Option<String>,
    /// As `started`.
    #[serde(rename = "startedAt")]
    pub started_at: Timestamp,
    /// As `finished`.
    #[serde(rename = "completedAt")]
    pub completed_at: Option<Timestamp>,
    /// Where it really stands.
    pub state: TaskState,
    /// What really went wrong.
    #[serde(rename = "errorKind")]
    pub error_kind: Option<String>,
    /// The branch, once there is one.
    pub branch: Option<String>,
}

/// `GET /tasks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct RunnerTasks(pub Vec<RunnerTask>);

/// `GET /health`, as clients of claude-code-runner know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunnerHealth {
    /// Whether requests are served.
    pub ok: bool,
    /// Tasks that there are.
    pub tasks: u64,
    /// Tasks that wait or run.
    pub running: u64,
}

/// Answer to `POST /token/generate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunnerMinted {
    /// The token. It is shown this once and nowhere kept.
    pub token: Secret,
}

/// `GET /token`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunnerToken {
    /// Whether there is one.
    pub exists: bool,
    /// How it begins.
    pub token: Option<String>,
    /// When it was minted.
    #[serde(rename = "createdAt")]
    pub created_at: Option<Timestamp>,
}

/// Answer to `DELETE /token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunnerDone {
    /// Always.
    pub success: bool,
}
