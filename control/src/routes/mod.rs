//! Routes: what a client may ask, as one table.
//!
//! [`table::ROUTES`] has a row for each. The server is built from it, scopes are enforced by
//! it, and `docs/reference/openapi.json` is generated from it, so none of them can disagree.

pub mod accounts;
pub mod agentapi;
pub mod anthropic;
pub mod call;
pub mod chat;
pub mod commands;
pub mod envelope;
pub mod feed;
pub mod files;
pub mod forges;
pub mod git;
pub mod hooks;
pub mod links;
pub mod login;
pub mod manner;
pub mod mcp;
pub mod meta;
pub mod notices;
pub mod offers;
pub mod openai;
pub mod place;
pub mod providers;
pub mod runner;
pub mod search;
pub mod sessions;
pub mod shells;
pub mod sign_ins;
pub mod streams;
pub mod table;
pub mod tasks;
pub mod tokens;
pub mod usage;
pub(crate) mod within;

use std::future::Future;
use std::pin::Pin;

use crate::auth::scope::Scope;
use crate::fault::{Code, Fault};

use call::{Call, Reply};

/// HTTP methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Open,
    /// Every caller that the gate admits.
    Caller,
    /// Callers with a scope.
    Scope(Scope),
    /// Callers with every scope.
    Administrator,
}

/// JSON values that cross the API, by the name of their type in `cib_protocol`. `File` and
/// `Envelope` are bytes, which are passed on as they come, and `Foreign` is of another's protocol, as `Form` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named as its type is")]
pub enum Shape {
    Accepted,
    AccountInfo,
    AccountList,
    Answer,
    BranchPushed,
    ChangeAccount,
    ChangeChannel,
    ChangeSession,
    Channel,
    ChannelList,
    ChannelMade,
    Chat,
    ClaudeLogin,
    CommandList,
    CreateAccount,
    CreateChannel,
    CreateSession,
    CreateShell,
    CreateTask,
    CreateToken,
    Delivery,
    DeliveryList,
    EndedSession,
    EndedShell,
    Envelope,
    File,
    FileContent,
    FileEntry,
    FileList,
    FileRoots,
    Form,
    Foreign,
    ForgeList,
    ForgeRepositories,
    GitDiff,
    GitLog,
    GitRemote,
    GitStatus,
    Health,
    HookLevel,
    Hooks,
    Info,
    Input,
    InputTaken,
    JsonSchema,
    LinkAnswer,
    LoginCode,
    MakeFolder,
    MessageTask,
    ChooseRepository,
    ModelList,
    ModelSet,
    OpenPullRequest,
    PortList,
    PortOpened,
    Prefs,
    ProbeProvider,
    Provider,
    ProviderList,
    ProviderProbe,
    ProxyStatus,
    PullRequestOpened,
    PushBranch,
    PushKey,
    PushSubscription,
    PushSubscriptionList,
    RemoveFile,
    RenameFile,
    Resize,
    RunnerDone,
    RunnerHealth,
    RunnerMinted,
    RunnerPrompt,
    RunnerTask,
    RunnerTasks,
    RunnerToken,
    SearchResult,
    Send,
    SessionList,
    SessionMeta,
    SessionUsage,
    SetDriver,
    SetEffort,
    SetHooks,
    SetModel,
    SetPermission,
    SetProvider,
    SetUp,
    Shell,
    ShellList,
    SignIn,
    SignInList,
    SignedIn,
    StartLogin,
    Subscribe,
    Task,
    TaskList,
    TaskQueue,
    TaskQueueState,
    TokenCreated,
    TokenList,
    Transcript,
    TriedHook,
    TryHook,
    UsageReport,
    WriteFile,
}

/// A request's body.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// What it is.
    pub shape: Shape,
    /// Most bytes that are taken.
    pub limit: usize,
    /// Whether it has to be there; an empty one means `{}` otherwise.
    pub required: bool,
}

/// What a route answers when all is well.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// 200 with a JSON value.
    Ok(Shape),
    /// 200 with a JSON value, or 408 with as much of it as there was in time.
    OkOrPartial(Shape),
    /// 201 with a JSON value, and `Location`.
    Created(Shape),
    /// 204.
    Nothing,
    /// 200 with server-sent events: frames.
    Events,
    /// 101: a WebSocket.
    Socket,
    /// 200 with server-sent events: what changes in the box.
    Feed,
    /// 101: a WebSocket with the same.
    FeedSocket,
    /// 200 with metrics as text.
    Metrics,
    /// 200 with plain text, as it comes.
    Text,
    /// A page of its own, with the status that fits.
    Page,
    /// 200 with bytes, 206 with a part of them, or 304.
    File,
    /// 200 with a message of the sealed envelope.
    Sealed,
    /// 200 in the words of another's protocol, in one of these media types.
    Foreign(&'static [&'static str]),
    /// 101: a WebSocket with messages and records of the sealed envelope.
    SealedSocket,
}

/// How a parameter is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number between these two, both included.
    Number(u64, u64),
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A parameter in the query string.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// How it is written.
    pub kind: Kind,
}

/// What a route's handler returns.
pub type Served = Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send>>;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its name: the operation in the OpenAPI document, the label in the metrics.
    pub name: &'static str,
    /// The method.
    pub verb: Verb,
    /// The path, with `{id}` for a parameter. The first is ours, the others are spellings that
    /// existing clients use.
    pub paths: &'static [&'static str],
    /// Who may use it.
    pub access: Access,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Parameters in the query string. Others are refused.
    pub query: &'static [Param],
    /// The body, if it takes one.
    pub body: Option<Body>,
    /// What it answers.
    pub answer: Answer,
    /// Its own faults, besides those that every route has.
    pub faults: &'static [Code],
    /// What serves it.
    pub handler: fn(Call) -> Served,
}
