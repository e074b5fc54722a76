//! Frames: the lines of a journal.
//!
//! A journal is `transcript.jsonl`, one [`Frame`] a line, `seq` counting from 1 without a gap.
//! The envelope is fixed for good; `data` depends on `kind`, and a reader passes on what it
//! does not know. [`Data`] is what this version writes.

mod ask;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::ask::{AskAnswer, AskOption, AskQuestion, Question};
use crate::image::Image;
use crate::limits::{Limits, Resources, Usage};
use crate::session::{AuthMode, Driver, Program, SessionId, State};
use crate::task;
use crate::time::Timestamp;

/// One line of a journal, its data still as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// The session that the frame belongs to.
    pub session: SessionId,
    /// Position in the journal, from 1, without a gap.
    pub seq: u64,
    /// When the keeper appended it.
    pub ts: Timestamp,
    /// What `data` is; see [`Data`] for the kinds that this version writes.
    pub kind: String,
    /// The payload, as JSON text.
    pub data: Box<RawValue>,
}

impl Frame {
    /// Puts a payload into an envelope.
    ///
    /// # Errors
    /// If the payload cannot be written as JSON, which for [`Data`] means a map with keys
    /// that are not strings inside one of its free-form values.
    pub fn new(
        session: SessionId,
        seq: u64,
        ts: Timestamp,
        data: &Data,
    ) -> Result<Self, serde_json::Error> {
        let Tagged { kind, data } = serde_json::from_str(&serde_json::to_string(data)?)?;
        Ok(Self {
            session,
            seq,
            ts,
            kind,
            data,
        })
    }

    /// Appends the line of a payload, its newline included, without making a [`Frame`] first.
    /// On an error `out` is as it was.
    ///
    /// # Errors
    /// As [`Frame::new`].
    pub fn write_line(
        out: &mut Vec<u8>,
        session: SessionId,
        seq: u64,
        ts: Timestamp,
        data: &Data,
    ) -> Result<(), serde_json::Error> {
        let start = out.len();
        let head = format!(r#"{{"session":"{session}","seq":{seq},"ts":"{ts}""#);
        out.extend_from_slice(head.as_bytes());
        let joint = out.len();
        if let Err(error) = serde_json::to_writer(&mut *out, data) {
            out.truncate(start);
            return Err(error);
        }
        // `Data` writes `{"kind":…,"data":…}`; with a comma for its brace it ends the envelope.
        out[joint] = b',';
        out.push(b'\n');
        Ok(())
    }

    /// The payload as a type, or `None` if this version does not know the kind.
    ///
    /// # Errors
    /// If the kind is known and its payload does not have the shape of that kind.
    pub fn decode(&self) -> Result<Option<Data>, serde_json::Error> {
        if !KINDS.contains(&self.kind.as_str()) {
            return Ok(None);
        }
        let tagged = serde_json::to_string(&serde_json::json!({
            "kind": self.kind, "data": self.data,
        }))?;
        serde_json::from_str(&tagged).map(Some)
    }
}

/// The two fields of [`Data`]'s JSON, the payload unparsed.
#[derive(Deserialize)]
struct Tagged {
    kind: String,
    data: Box<RawValue>,
}

/// Every kind that this version writes, in the order of [`Data`].
pub const KINDS: [&str; 27] = [
    "text.delta",
    "thinking",
    "tool.use.start",
    "tool.use.result",
    "todo.update",
    "ask.question",
    "usage",
    "status",
    "stop",
    "meta",
    "hook",
    "pty.raw",
    "raw",
    "ask.answer",
    "pty.size",
    "task.state",
    "task.step",
    "task.repository",
    "task.branch",
    "task.session",
    "task.commit",
    "task.push",
    "task.message",
    "task.result",
    "task.fired",
    "task.choice",
    "task.pr",
];

/// Which subagent a frame comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Agent {
    /// The tool use that started the subagent.
    pub parent_tool_use_id: String,
    /// The CLI's own id of the subagent, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Its type, as in the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subagent_type: Option<String>,
}

/// What a frame says. Serialises as `{"kind": …, "data": …}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", content = "data")]
pub enum Data {
    /// A piece of text, as it streams.
    #[serde(rename = "text.delta")]
    Text(Text),
    /// A piece of extended thinking.
    #[serde(rename = "thinking")]
    Thinking(Text),
    /// A tool call, its input complete.
    #[serde(rename = "tool.use.start")]
    ToolUseStart(ToolUseStart),
    /// What a tool call returned.
    #[serde(rename = "tool.use.result")]
    ToolUseResult(ToolUseResult),
    /// The whole todo list, after a change.
    #[serde(rename = "todo.update")]
    TodoUpdate(TodoUpdate),
    /// Claude asks the user.
    #[serde(rename = "ask.question")]
    AskQuestion(AskQuestion),
    /// Tokens and cost of the turn that just ended.
    #[serde(rename = "usage")]
    Usage(Usage),
    /// The session changed state.
    #[serde(rename = "status")]
    Status(Status),
    /// A turn or the session ended.
    #[serde(rename = "stop")]
    Stop(Stop),
    /// Model, directory, mode or version became known or changed.
    #[serde(rename = "meta")]
    Meta(Meta),
    /// A hook fired.
    #[serde(rename = "hook")]
    Hook(Hook),
    /// Bytes from the pseudo-terminal.
    #[serde(rename = "pty.raw")]
    PtyRaw(PtyRaw),
    /// A message of the CLI that has no kind of its own, as it came.
    #[serde(rename = "raw")]
    Raw(serde_json::Value),
    /// A question or a permission waits no longer.
    #[serde(rename = "ask.answer")]
    AskAnswer(AskAnswer),
    /// The terminal's size from here on.
    #[serde(rename = "pty.size")]
    PtySize(PtySize),
    /// A task stands elsewhere from here on.
    #[serde(rename = "task.state")]
    TaskState(task::TaskChange),
    /// Something is done for a task.
    #[serde(rename = "task.step")]
    TaskStep(task::TaskStep),
    /// Which repository a task is about.
    #[serde(rename = "task.repository")]
    TaskRepository(task::TaskRepository),
    /// A task's work tree stands, and its branch in it.
    #[serde(rename = "task.branch")]
    TaskBranch(task::TaskBranch),
    /// Which session works on a task.
    #[serde(rename = "task.session")]
    TaskSession(task::TaskSession),
    /// There is a new commit on a task's branch.
    #[serde(rename = "task.commit")]
    TaskCommit(task::TaskCommit),
    /// A task's branch was pushed, or was not taken.
    #[serde(rename = "task.push")]
    TaskPush(task::TaskPush),
    /// Somebody says something to a task.
    #[serde(rename = "task.message")]
    TaskMessage(task::TaskMessage),
    /// What Claude said last of a task.
    #[serde(rename = "task.result")]
    TaskResult(task::TaskResult),
    /// A schedule has come, and a task is made.
    #[serde(rename = "task.fired")]
    TaskFired(task::TaskFired),
    /// Somebody has to say which repository a task is about.
    #[serde(rename = "task.choice")]
    TaskChoice(task::TaskChoice),
    /// The pull request of a task is there, or has changed.
    #[serde(rename = "task.pr")]
    TaskPr(task::TaskPr),
}

impl Data {
    /// The `kind` that this is written with.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => KINDS[0],
            Self::Thinking(_) => KINDS[1],
            Self::ToolUseStart(_) => KINDS[2],
            Self::ToolUseResult(_) => KINDS[3],
            Self::TodoUpdate(_) => KINDS[4],
            Self::AskQuestion(_) => KINDS[5],
            Self::Usage(_) => KINDS[6],
            Self::Status(_) => KINDS[7],
            Self::Stop(_) => KINDS[8],
            Self::Meta(_) => KINDS[9],
            Self::Hook(_) => KINDS[10],
            Self::PtyRaw(_) => KINDS[11],
            Self::Raw(_) => KINDS[12],
            Self::AskAnswer(_) => KINDS[13],
            Self::PtySize(_) => KINDS[14],
            Self::TaskState(_) => KINDS[15],
            Self::TaskStep(_) => KINDS[16],
            Self::TaskRepository(_) => KINDS[17],
            Self::TaskBranch(_) => KINDS[18],
            Self::TaskSession(_) => KINDS[19],
            Self::TaskCommit(_) => KINDS[20],
            Self::TaskPush(_) => KINDS[21],
            Self::TaskMessage(_) => KINDS[22],
            Self::TaskResult(_) => KINDS[23],
            Self::TaskFired(_) => KINDS[24],
            Self::TaskChoice(_) => KINDS[25],
            Self::TaskPr(_) => KINDS[26],
        }
    }
}

/// Who said a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Claude.
    #[default]
    Assistant,
    /// The user, by whichever client.
    User,
}

/// Text or thinking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Text {
    /// The piece; pieces of one message are to be joined without a separator.
    pub text: String,
    /// Who said it.
    #[serde(default)]
    pub role: Role,
    /// The API message that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Images that it has, if it is a message of the user's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// Which client sent it, if it is a message of the user's and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whose it is, if not the main thread's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolUseStart {
    /// The call's id, which its result names.
    pub tool_use_id: String,
    /// The tool.
    pub tool: String,
    /// Its input.
    pub input: serde_json::Value,
    /// Size of the input's strings in bytes before they were cut, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_bytes: Option<u64>,
    /// Whose it is, if not the main thread's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
}

/// A tool's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolUseResult {
    /// The call that it answers.
    pub tool_use_id: String,
    /// The tool, where the call was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What the model was told: text, or content blocks.
    pub output: serde_json::Value,
    /// Whether the call failed or was refused.
    pub is_error: bool,
    /// Milliseconds from call to answer, where the call was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Size of the output in bytes before it was cut, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_bytes: Option<u64>,
    /// Whose it is, if not the main thread's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
}

/// The whole todo list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TodoUpdate {
    /// Its items, in order.
    pub items: Vec<Todo>,
}

/// One item of the todo list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Todo {
    /// The item's id; its place in the list where the tool gives none.
    pub id: String,
    /// What is to be done.
    pub subject: String,
    /// `pending`, `in_progress` or `completed`.
    pub status: String,
    /// How to call it while it is being done.
    #[serde(
        default,
        rename = "activeForm",
        skip_serializing_if = "Option::is_none"
    )]
    pub active_form: Option<String>,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    /// The state from here on.
    pub state: State,
    /// Milliseconds spent in the state before.
    pub elapsed_ms: u64,
}

/// Who began a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The user, with a message.
    User,
    /// Claude itself, because a command in the background ended for instance.
    Claude,
}

/// An end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stop {
    /// `turn_end`, `interrupted`, `api_error`, `hook_stopped`, `not_submitted`, `limit NAME`, `exit`,
    /// `exit N`.
    pub reason: String,
    /// Whether the session ended with it, or only a turn.
    pub last: bool,
    /// The CLI's own words, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the session's processes used up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// With `last`: Claude's exit code; 128+n if signal n ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// With `last`: where the session stood when its end began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_in: Option<State>,
    /// Which client ended the turn or the session, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Whose turn ended; absent when none did, and in journals of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The messages that the turn answered, by the `message_id` of their `text.delta` frames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
}

impl Stop {
    /// Whether it ends a turn that the user began, which is what limits count.
    #[must_use]
    pub fn is_users_turn(&self) -> bool {
        !self.last && self.by != Some(By::Claude)
    }
}

/// Facts about the session; an absent field has not changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Meta {
    /// The model in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The reasoning effort, since it was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Where Claude works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// What needs no asking.
    #[serde(
        default,
        rename = "permissionMode",
        skip_serializing_if = "Option::is_none"
    )]
    pub permission_mode: Option<String>,
    /// Claude's own session id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_session: Option<String>,
    /// Claude's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_version: Option<String>,
    /// How the keeper speaks to Claude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// The tools that Claude has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Anything else worth telling a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// A usage limit of Claude's that is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_limit: Option<UsageLimit>,
    /// Which client asked for this change, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Said once by every keeper, as soon as it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Box<Opening>>,
}

/// A usage limit of Claude's that is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageLimit {
    /// Which one, in Claude's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// When it is reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

/// What a session was asked to be, and what it brings from before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Opening {
    /// What is kept.
    #[serde(default)]
    pub program: Program,
    /// When the session was first asked for.
    pub created_at: Timestamp,
    /// Whose account pays.
    #[serde(default)]
    pub auth_mode: AuthMode,
    /// The provider, if one pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Whether it has no tools but those of one server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub toolbox: bool,
    /// Reasoning effort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// What its processes used before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Exit code of the run before, where nothing else in the journal tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Where the run before stood when its end began, where nothing else tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_in: Option<State>,
}

/// A hook that fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hook {
    /// The hook's name, as the CLI gives it: `PreToolUse:Bash`.
    pub name: String,
    /// The event.
    pub event: String,
    /// What the hook was told.
    #[serde(default)]
    pub payload: serde_json::Value,
    /// What it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
}

/// The size of a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PtySize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// Whose terminal has that size; absent for the one that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Terminal output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PtyRaw {
    /// The bytes, base64 with padding.
    pub data: String,
}

#[cfg(test)]
mod tests;
