//! What control asks of a task's work tree, by way of `cib-files`.
//!
//! The tree is coder's, and git is run in it as coder: its configuration and its hooks are the
//! agent's. What is answered is the agent's word, as everything that `cib-files` answers.

use serde::{Deserialize, Serialize};

use crate::task::{TaskBranch, TaskCommit, TaskId, TaskPush};

/// Folder of the workspace in which tasks have their trees.
pub const FOLDER: &str = "tasks";

/// Bytes of a command's output that are told.
pub const MAX_OUTPUT: usize = 8 * 1024;

/// Commits that are told at once.
pub const MAX_COMMITS: u32 = 100;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeRequest {
    /// The repositories that stand in the workspace.
    Find {},
    /// Makes a task's work tree with its branch, unless it stands already.
    Clone(Box<CloneTree>),
    /// Runs a command in a task's work tree.
    Run {
        /// The task.
        task: TaskId,
        /// The tree's name.
        name: String,
        /// The command, for a shell.
        command: String,
        /// How long it may take.
        seconds: u64,
    },
    /// What a task's branch has behind a commit.
    Commits {
        /// The task.
        task: TaskId,
        /// The tree's name.
        name: String,
        /// The branch.
        branch: String,
        /// The commit.
        since: String,
    },
    /// Commits everything that is changed in a task's work tree, on the task's branch.
    Save {
        /// The task.
        task: TaskId,
        /// The tree's name.
        name: String,
        /// The branch.
        branch: String,
        /// The commit's message.
        message: String,
    },
    /// Pushes a task's branch.
    Push {
        /// The task.
        task: TaskId,
        /// The tree's name.
        name: String,
        /// The branch.
        branch: String,
        /// Where to.
        source: String,
        /// How it gets there, if control publishes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        through: Option<Box<Through>>,
    },
}

/// How git reaches a repository that control publishes: by `git-remote-cib`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Through {
    /// The forge, as its addresses begin: `https://github.com/`.
    pub url: String,
    /// What git speaks instead: `cib://github.com/`.
    pub instead: String,
    /// Where control listens.
    pub socket: String,
    /// The folder with `git-remote-cib`.
    pub programs: String,
    /// What shows that control has started this git.
    pub ticket: String,
}

impl TreeRequest {
    /// The task that it is about, if it is about one.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::Find {} => None,
            Self::Clone(tree) => Some(tree.task),
            Self::Run { task, .. }
            | Self::Commits { task, .. }
            | Self::Save { task, .. }
            | Self::Push { task, .. } => Some(*task),
        }
    }
}

/// A work tree that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneTree {
    /// The task.
    pub task: TaskId,
    /// The tree's name.
    pub name: String,
    /// Where the repository comes from: a URL, or an absolute path.
    pub source: String,
    /// The branch to begin on.
    #[serde(default)]
    pub base: Option<String>,
    /// The task's branch.
    pub branch: String,
    /// Commits of history that are fetched.
    #[serde(default)]
    pub depth: Option<u32>,
    /// Whether what files were earlier is fetched only when it is needed, where the other side lets
    /// that be.
    #[serde(default)]
    pub partial: bool,
    /// How it is reached, if control publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Box<Through>>,
    /// When the task was asked for, in seconds: the date of the first commit, so that it has one
    /// id however often it is made.
    pub date: i64,
}

/// A repository in the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundTree {
    /// The folder's name, escaped as in [`crate::files`].
    pub name: String,
    /// Its absolute path, escaped likewise.
    pub path: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeReply {
    /// The repositories.
    Found(Vec<FoundTree>),
    /// The tree stands.
    Tree(TaskBranch),
    /// The command ended.
    Ran {
        /// Its exit code; absent if it was ended because of its time, or by a signal.
        code: Option<i32>,
        /// Whether its time was over.
        late: bool,
        /// The last of what it said.
        output: String,
    },
    /// The commits, the oldest first.
    Commits(Vec<TaskCommit>),
    /// The commit that was made; absent if nothing was changed.
    Saved(Option<TaskCommit>),
    /// How the push went.
    Pushed(TaskPush),
}
