//! Bodies of the HTTP API.

mod accounts;
mod chat;
mod feed;
mod files;
mod forges;
mod hooks;
mod info;
mod login;
mod notices;
mod offers;
mod place;
mod providers;
mod publish;
mod search;
mod shells;
mod stream;
mod tasks;
mod tokens;
mod usage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::image::ImageType;
use crate::limits::{Limits, Resources, Usage};
use crate::purge::Purged;
use crate::secret::Secret;
use crate::session::{AuthMode, Driver, PermissionMode, SessionId, SessionMeta, Tools};

pub use accounts::{
    AccountInfo, AccountList, ChangeAccount, CreateAccount, SetUp, SignIn, SignInInfo, SignInList,
    SignedIn,
};
pub use chat::{Chat, ChatMessage, ChatRole, Send};
pub use feed::{BoxChange, BoxEvent, BoxSnapshot, BoxState, FeedEnd, GoneSession, SeenSession};
pub use files::{
    FileContent, FileEntry, FileKind, FileList, FileRoot, FileRoots, GitCommit, GitDiff, GitFile,
    GitLog, GitPatch, GitState, GitStatus, MakeFolder, RemoveFile, RenameFile, WriteFile,
};
pub use forges::{
    ForgeInfo, ForgeList, ForgeProblem, ForgeRate, ForgeRepositories, ForgeRepository,
};
pub use hooks::{
    EffectiveHook, HookFinding, HookLevel, HookMap, HookSeverity, Hooks, SetHooks, TriedHook,
    TryHook,
};
pub use info::{Disk, Health, Info, InfoCaller, InfoSessions};
pub use login::{ClaudeLogin, LoginCode, LoginFlow, LoginMethod, LoginState, StartLogin};
pub use notices::{
    ChangeChannel, Channel, ChannelList, ChannelMade, ChannelTarget, CreateChannel, Delivery,
    DeliveryAttempt, DeliveryList, DeliveryState, LinkAnswer, Notice, NoticeEvent, PushKey,
    PushKeys, PushSubscription, PushSubscriptionList, Subscribe, TaskWebhook,
};
pub use offers::{CommandList, ModelList};
pub use place::{Port, PortList, PortOpened, Prefs, ProxyStatus};
pub use providers::{
    ProbeOutcome, ProbeProvider, Provider, ProviderAuth, ProviderList, ProviderProbe, SetProvider,
};
pub use publish::{BranchPushed, GitRemote, OpenPullRequest, PullRequestOpened, PushBranch};
pub use search::{SearchHit, SearchPlace, SearchResult, Snippet};
pub use shells::{CreateShell, EndedShell, Shell, ShellList};
pub use stream::{StreamCommand, StreamEnd, StreamReply, StreamRequest, Transcript};
pub use tasks::{
    ChooseRepository, CreateTask, MessageTask, OnLimit, RunnerDone, RunnerHealth, RunnerMinted,
    RunnerPrompt, RunnerTask, RunnerTasks, RunnerToken, Task, TaskLimits, TaskList, TaskQueue,
    TaskQueueState,
};
pub use tokens::{CreateToken, TokenCreated, TokenInfo, TokenKind, TokenList};
pub use usage::{UsageBy, UsageReport, UsageRow};

/// Body of `POST /api/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// Absolute directory in the box; `/workspace` if absent.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    pub workdir: Option<String>,
    /// Model alias or id.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 200), regex(pattern = "^[!-,.-~][!-~]*$"))
    )]
    pub model: Option<String>,
    /// First message.
    #[serde(default)]
    pub prompt: Option<String>,
    /// How the keeper speaks to Claude; `stream`, or on resuming as before, if absent.
    #[serde(default)]
    pub driver: Option<Driver>,
    /// Reasoning effort.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(regex(pattern = "^(low|medium|high|xhigh|max)$"))
    )]
    pub effort: Option<String>,
    /// What needs no asking.
    #[serde(default)]
    pub permission_mode: Option<PermissionMode>,
    /// An older spelling of `permission_mode`: false means `default`.
    #[serde(default)]
    pub bypass_permissions: Option<bool>,
    /// Whose account pays; if absent, `api_key`, `subscription` or `provider` when what belongs to
    /// it is given with the request, on resuming as before, else `auto`.
    #[serde(default)]
    pub auth_mode: Option<AuthMode>,
    /// Key for `auth_mode: api_key`.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Token for `auth_mode: subscription`, as `claude setup-token` prints it.
    #[serde(default)]
    pub oauth_token: Option<Secret>,
    /// For `auth_mode: provider`, which one; whoever names one has the scope `providers:read`.
    #[serde(default)]
    pub provider_id: Option<String>,
    /// Session of the box to continue, under its own id.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub resume: Option<Uuid>,
    /// Session of the box, or Claude's own id, to continue in a new session.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub resume_from: Option<Uuid>,
    /// Variables for Claude.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Hooks on top of the image's and the user's, as `hooks` in Claude's settings: an event,
    /// and what is run for it. On resuming as before, if absent.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<BTreeMap<String, Vec<serde_json::Value>>>")
    )]
    pub hooks: Option<serde_json::Map<String, serde_json::Value>>,
    /// Rules for Claude's tools, on top of those of the user's settings. With something in `allow`
    /// what is not allowed is asked about, unless `permission_mode` says otherwise. On resuming as
    /// before, if absent.
    #[serde(default, deserialize_with = "crate::object::option")]
    pub tools: Option<Tools>,
    /// What the session may use; on resuming as before, if absent.
    #[serde(default, deserialize_with = "crate::object::option")]
    pub limits: Option<Limits>,
    /// A name for people.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 200),
            regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")
        )
    )]
    pub title: Option<String>,
    /// The client's own name for this request: sent again with the same one within ten minutes, it
    /// is answered as the first time and not done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 64), regex(pattern = "^[!-~]*$"))
    )]
    pub client_id: Option<String>,
}

/// `GET /api/sessions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionList {
    /// The sessions of the box, the newest first. One whose journal cannot be used is in it
    /// with `damage`.
    pub sessions: Vec<SessionMeta>,
    /// What `after` takes for the next part of the list; absent behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether more are being looked at and not in it yet; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// Answer to `DELETE /api/sessions/{id}`: what the session is then, or was until it was purged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndedSession {
    /// The session.
    #[serde(flatten)]
    pub session: SessionMeta,
    /// What was removed, with `purge`; the session is gone then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged: Option<Purged>,
}

/// Answer to a command that a session has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Accepted {
    /// The session.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
}

/// Body of `POST /api/sessions/{id}/input`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The message or the bytes; without `content` it has to be there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// A message in parts, in the place of `data`: its texts, and its images. Images have 5 MiB
    /// together, and only a session with the `stream` driver takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<Content>,
    /// How `data` is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// The client's own name for this request: sent again with the same one within ten minutes, it
    /// is answered as the first time and not done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 64), regex(pattern = "^[!-~]*$"))
    )]
    pub client_id: Option<String>,
}

/// A part of a message, as the Messages API writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image {
        /// Its bytes.
        source: ImageSource,
    },
}

/// Where an image's bytes are: with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ImageSource {
    /// As base64.
    Base64 {
        /// What it is written in.
        media_type: ImageType,
        /// The bytes, with padding.
        data: String,
    },
}

/// Answer to `POST /api/sessions/{id}/input`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InputTaken {
    /// How many bytes the session took.
    pub bytes: u64,
}

/// How bytes are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As text: a message, which is submitted. Line ends behind it do not belong to it.
    #[default]
    Utf8,
    /// As text: a command of Claude's interface, as `/compact` or `!ls`. On a terminal a message
    /// is never taken for one.
    Command,
    /// As text: bytes for the terminal, typed as they are.
    Raw,
    /// Base64 with padding: bytes for the terminal.
    Base64,
}

/// How the content of a file is written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileEncoding {
    /// As text.
    #[default]
    Utf8,
    /// Base64 with padding.
    Base64,
}

/// Body of `POST /api/sessions/{id}/answer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The question's id, from its `ask.question` frame.
    pub id: String,
    /// Answer by question text; several labels are joined by `, `. Empty refuses.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// The client's own name for this request: sent again with the same one within ten minutes, it
    /// is answered as the first time and not done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 64), regex(pattern = "^[!-~]*$"))
    )]
    pub client_id: Option<String>,
}

/// Body of `POST /api/sessions/{id}/model`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetModel {
    /// Model alias or id, used from the next request on.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 200), regex(pattern = "^[!-,.-~][!-~]*$"))
    )]
    pub model: String,
}

/// Answer to `POST /api/sessions/{id}/model`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelSet {
    /// The session.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
    /// The model as asked for.
    pub model: String,
}

/// Body of `POST /api/sessions/{id}/effort`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetEffort {
    /// Reasoning effort, used from the next request on.
    #[cfg_attr(
        feature = "schema",
        schemars(regex(pattern = "^(low|medium|high|xhigh|max)$"))
    )]
    pub effort: String,
}

/// Body of `POST /api/sessions/{id}/driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetDriver {
    /// The driver to use from now on.
    pub driver: Driver,
}

/// Body of `POST /api/sessions/{id}/permission`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetPermission {
    /// What needs no asking from now on.
    pub mode: PermissionMode,
}

/// Body of `POST /api/sessions/{id}/resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Columns of the terminal, at least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cols: u16,
    /// Rows of the terminal, at least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub rows: u16,
}

/// Body of `PATCH /api/sessions/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeSession {
    /// A name for people.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 200),
            regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")
        )
    )]
    pub title: String,
}

/// `GET /api/sessions/{id}/usage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionUsage {
    /// The session.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
    /// Tokens and cost so far.
    pub usage: Usage,
    /// Tokens and cost of the turn that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_turn: Option<Usage>,
    /// Memory, time and processes.
    pub resources: Resources,
    /// Turns that ended.
    pub turns: u64,
    /// What it may use.
    pub limits: Limits,
}

/// Every error's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// Stable code.
    pub error: String,
    /// A sentence for people.
    pub detail: String,
}
