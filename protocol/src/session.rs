//! What a session is asked to be, and what it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
pub use uuid::Uuid;

use crate::limits::{Limits, Resources, Usage};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The variable by which init gives a keeper Google's credentials. The keeper makes a file of them,
/// and Claude gets that file's path instead.
pub const GOOGLE_CREDENTIALS: &str = "CIB_GOOGLE_CREDENTIALS";

/// A session's name: a UUID, lower case, hyphenated. It is also the name of its directory.
pub type SessionId = Uuid;

/// How a keeper speaks to Claude.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// Claude's stream-json, both ways.
    #[default]
    Stream,
    /// The terminal interface under a pseudo-terminal.
    Tty,
}

/// What a keeper keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// Claude: a session.
    #[default]
    Claude,
    /// The user's shell on a terminal.
    Shell,
}

impl Program {
    /// Whether it is Claude, which goes without saying.
    #[must_use]
    pub fn is_claude(&self) -> bool {
        *self == Self::Claude
    }
}

/// Whose account pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Whatever the box has: a key in its environment wins over a login.
    #[default]
    Auto,
    /// The login in `~/.claude`; a key in the box's environment is hidden from Claude.
    Subscription,
    /// An API key, given with the session or to the box.
    ApiKey,
    /// A provider of the box's; no other credential of the box reaches Claude.
    Provider,
}

/// What Claude may do without asking. The names are the CLI's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    /// Everything: the box is the sandbox.
    #[default]
    BypassPermissions,
    /// Ask for what the settings do not allow.
    Default,
    /// Edits are allowed, the rest asks.
    AcceptEdits,
    /// Read and plan only.
    Plan,
}

impl PermissionMode {
    /// The mode of a spelling, if this version knows it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::BypassPermissions,
            Self::Default,
            Self::AcceptEdits,
            Self::Plan,
        ]
        .into_iter()
        .find(|mode| mode.as_str() == name)
    }

    /// The spelling that `--permission-mode` and `set_permission_mode` take.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BypassPermissions => "bypassPermissions",
            Self::Default => "default",
            Self::AcceptEdits => "acceptEdits",
            Self::Plan => "plan",
        }
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The keeper is there, Claude has not yet answered.
    Starting,
    /// Claude waits for input.
    Idle,
    /// A turn is running.
    Working,
    /// A question or a permission is open.
    WaitingForInput,
    /// Ended as asked.
    Stopped,
    /// Claude could not start, or died.
    Failed,
    /// The keeper or the box died; resuming continues it.
    Interrupted,
}

impl State {
    /// Whether a keeper can be expected to be there.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Idle | Self::Working | Self::WaitingForInput
        )
    }

    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Working => "working",
            Self::WaitingForInput => "waiting_for_input",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A Claude conversation to continue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Claude's own session id, which names its transcript.
    pub claude_session: Uuid,
    /// Continue in a copy and leave the original untouched.
    #[serde(default)]
    pub fork: bool,
}

/// Which of Claude's tools need no asking, and which are refused, as rules of the CLI's own:
/// `Read`, `Bash(npm run test:*)`, `mcp__name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// What needs no asking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// What is refused, whatever else allows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// The only tools of a session: those of one server, which speaks MCP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolbox {
    /// Where the server is.
    pub url: String,
    /// What opens it.
    pub key: Secret,
    /// What the tools are called there.
    pub tools: Vec<String>,
}

/// Everything a keeper needs to run a session. Control makes it, init passes it on, the
/// keeper reads it from standard input; it is never written to disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// The session's id.
    pub id: SessionId,
    /// What is to be kept. A shell takes its directory, variables, limits, title and size
    /// from here and nothing else.
    #[serde(default, skip_serializing_if = "Program::is_claude")]
    pub program: Program,
    /// Absolute directory inside the box in which Claude works.
    pub workdir: PathBuf,
    /// How to speak to Claude.
    #[serde(default)]
    pub driver: Driver,
    /// Model alias or id; the CLI's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Reasoning effort: low, medium, high, xhigh or max.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// What needs no asking.
    #[serde(default)]
    pub permission_mode: PermissionMode,
    /// Whose account pays.
    #[serde(default)]
    pub auth_mode: AuthMode,
    /// The provider, if one pays. Its address and key are among the variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// First input, sent as soon as Claude listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Conversation to continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// Variables for Claude on top of the box's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Secret>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Hooks by event, as under `hooks` in Claude's settings. They run behind those of the
    /// image and of the user. Absent on resuming, the session has those that it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<serde_json::Map<String, serde_json::Value>>,
    /// Rules for tools. Absent on resuming, the session has those that it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    /// The only tools that it has, if it is to have no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolbox: Option<Box<Toolbox>>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Terminal size for the tty driver: columns, rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u16, u16)>,
}

/// What a session is, as it follows from the frames of its journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionMeta {
    /// The session's id.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
    /// What is kept; `claude` if absent.
    #[serde(default, skip_serializing_if = "Program::is_claude")]
    pub program: Program,
    /// Where Claude works.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub workdir: PathBuf,
    /// How the keeper speaks to Claude.
    pub driver: Driver,
    /// Model as last reported by Claude, else as asked for.
    #[serde(default)]
    pub model: Option<String>,
    /// Reasoning effort as asked for.
    #[serde(default)]
    pub effort: Option<String>,
    /// What needs no asking.
    pub permission_mode: PermissionMode,
    /// Whose account pays.
    pub auth_mode: AuthMode,
    /// The provider, if one pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Whether it has no tools but those of one server: then nobody resumes it but whoever gives it
    /// them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub toolbox: bool,
    /// A name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// Where the session stands.
    pub state: State,
    /// Why it stands there, if that is not obvious: `exit 1`, `limit max_turns`.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When Claude first answered.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
    /// Where it stood when its end began: a session that ended in `working` or
    /// `waiting_for_input` was in the middle of a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_in: Option<State>,
    /// Claude's exit code; 128+n if signal n ended it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Seq of the last frame that this takes up; the journal may be ahead, never behind.
    pub last_seq: u64,
    /// Claude's own session id, which `--resume` takes.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub claude_session: Option<Uuid>,
    /// Version that Claude reported.
    #[serde(default)]
    pub claude_version: Option<String>,
    /// Process id of Claude in the box while it lives.
    #[serde(default)]
    pub claude_pid: Option<u32>,
    /// What it used so far.
    #[serde(default)]
    pub usage: Usage,
    /// What the turn that ended last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_turn: Option<Usage>,
    /// Memory, time and processes: as they are in a keeper's answer, and as they were at the
    /// last turn's end in a list.
    #[serde(default)]
    pub resources: Resources,
    /// Turns that ended.
    #[serde(default)]
    pub turns: u64,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// When it last began or ended a turn, asked or was answered, or went on in its list of things
    /// to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_at: Option<Timestamp>,
    /// How far its list of things to do is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<Progress>,
    /// Questions and permissions that wait for an answer, the oldest first; at most
    /// [`MAX_OPEN_QUESTIONS`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_questions: Vec<OpenQuestion>,
    /// Hooks that fired.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hooks: u64,
    /// What is wrong with its journal, if not every line of it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "it is what serde hands over"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Open questions that a session tells of.
pub const MAX_OPEN_QUESTIONS: usize = 16;

/// Characters of a text of Claude's that a session tells of itself; the frame has all of them.
pub const MAX_TOLD: usize = 200;

/// Characters of an option that a session tells of.
pub const MAX_OPTION: usize = 60;

/// A list of things to do, in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Progress {
    /// What is being done, at most [`MAX_TOLD`] characters of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
    /// Items that are done.
    pub done: u64,
    /// All items.
    pub total: u64,
}

/// A question, or a permission, that nobody has answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenQuestion {
    /// What an answer names.
    pub id: String,
    /// What is asked, at most [`MAX_TOLD`] characters of it.
    pub prompt: String,
    /// The tool that wants a permission, when this is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What may be chosen, if one of two short options answers it and `prompt` is all of the question:
    /// then it can be answered by who knows no more of it than this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// When it was asked.
    pub asked_at: Timestamp,
}
