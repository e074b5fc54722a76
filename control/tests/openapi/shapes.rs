//! The JSON values of the API as schemas.

use cib_control::auth::scope::{Scope, WILDCARD};
use cib_control::routes::Shape;
use cib_protocol::api::{
    Accepted, AccountInfo, AccountList, Answer, BoxEvent, BranchPushed, ChangeAccount,
    ChangeChannel, ChangeSession, Channel, ChannelList, ChannelMade, Chat, ChooseRepository,
    ClaudeLogin, CommandList, CreateAccount, CreateChannel, CreateSession, CreateShell, CreateTask,
    CreateToken, Delivery, DeliveryList, EndedSession, EndedShell, ErrorBody, FeedEnd, FileContent,
    FileEntry, FileList, FileRoots, ForgeList, ForgeRepositories, GitDiff, GitLog, GitRemote,
    GitStatus, Health, HookLevel, Hooks, Info, Input, InputTaken, LinkAnswer, LoginCode,
    MakeFolder, MessageTask, ModelList, ModelSet, OpenPullRequest, PortList, PortOpened, Prefs,
    ProbeProvider, Provider, ProviderList, ProviderProbe, ProxyStatus, PullRequestOpened,
    PushBranch, PushKey, PushSubscription, PushSubscriptionList, RemoveFile, RenameFile, Resize,
    RunnerDone, RunnerHealth, RunnerMinted, RunnerPrompt, RunnerTask, RunnerTasks, RunnerToken,
    SearchResult, Send, SessionList, SessionUsage, SetDriver, SetEffort, SetHooks, SetModel,
    SetPermission, SetProvider, SetUp, Shell, ShellList, SignIn, SignInList, SignedIn, StartLogin,
    StreamEnd, StreamReply, StreamRequest, Subscribe, Task, TaskList, TaskQueue, TaskQueueState,
    TokenCreated, TokenList, TriedHook, TryHook, UsageReport, WriteFile,
};
use cib_protocol::frame::Data;
use cib_protocol::session::SessionMeta;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Collects schemas as they are referred to.
pub(crate) struct Shapes {
    generator: SchemaGenerator,
}

impl Shapes {
    pub(crate) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Self {
            generator: settings.into_generator(),
        }
    }

    /// A reference to the schema of a value.
    pub(crate) fn refer(&mut self, shape: Shape) -> Value {
        let generator = &mut self.generator;
        let schema = match shape {
            Shape::Accepted => generator.subschema_for::<Accepted>(),
            Shape::AccountInfo => generator.subschema_for::<AccountInfo>(),
            Shape::AccountList => generator.subschema_for::<AccountList>(),
            Shape::ChangeChannel => generator.subschema_for::<ChangeChannel>(),
            Shape::Channel => generator.subschema_for::<Channel>(),
            Shape::ChannelList => generator.subschema_for::<ChannelList>(),
            Shape::ChannelMade => generator.subschema_for::<ChannelMade>(),
            Shape::CreateChannel => generator.subschema_for::<CreateChannel>(),
            Shape::Delivery => generator.subschema_for::<Delivery>(),
            Shape::DeliveryList => generator.subschema_for::<DeliveryList>(),
            Shape::LinkAnswer => generator.subschema_for::<LinkAnswer>(),
            Shape::PushKey => generator.subschema_for::<PushKey>(),
            Shape::PushSubscription => generator.subschema_for::<PushSubscription>(),
            Shape::PushSubscriptionList => generator.subschema_for::<PushSubscriptionList>(),
            Shape::Subscribe => generator.subschema_for::<Subscribe>(),
            Shape::Answer => generator.subschema_for::<Answer>(),
            Shape::ChangeAccount => generator.subschema_for::<ChangeAccount>(),
            Shape::ChangeSession => generator.subschema_for::<ChangeSession>(),
            Shape::Chat => generator.subschema_for::<Chat>(),
            Shape::ClaudeLogin => generator.subschema_for::<ClaudeLogin>(),
            Shape::CommandList => generator.subschema_for::<CommandList>(),
            Shape::CreateAccount => generator.subschema_for::<CreateAccount>(),
            Shape::CreateSession => generator.subschema_for::<CreateSession>(),
            Shape::CreateShell => generator.subschema_for::<CreateShell>(),
            Shape::CreateTask => generator.subschema_for::<CreateTask>(),
            Shape::CreateToken => generator.subschema_for::<CreateToken>(),
            Shape::EndedSession => generator.subschema_for::<EndedSession>(),
            Shape::EndedShell => generator.subschema_for::<EndedShell>(),
            Shape::Envelope | Shape::File => return json!({"type": "string", "format": "binary"}),
            Shape::FileContent => generator.subschema_for::<FileContent>(),
            Shape::FileEntry => generator.subschema_for::<FileEntry>(),
            Shape::FileList => generator.subschema_for::<FileList>(),
            Shape::FileRoots => generator.subschema_for::<FileRoots>(),
            Shape::ForgeList => generator.subschema_for::<ForgeList>(),
            Shape::ForgeRepositories => generator.subschema_for::<ForgeRepositories>(),
            Shape::GitDiff => generator.subschema_for::<GitDiff>(),
            Shape::GitLog => generator.subschema_for::<GitLog>(),
            Shape::BranchPushed => generator.subschema_for::<BranchPushed>(),
            Shape::GitRemote => generator.subschema_for::<GitRemote>(),
            Shape::OpenPullRequest => generator.subschema_for::<OpenPullRequest>(),
            Shape::PullRequestOpened => generator.subschema_for::<PullRequestOpened>(),
            Shape::PushBranch => generator.subschema_for::<PushBranch>(),
            Shape::GitStatus => generator.subschema_for::<GitStatus>(),
            Shape::Health => generator.subschema_for::<Health>(),
            Shape::HookLevel => generator.subschema_for::<HookLevel>(),
            Shape::Hooks => generator.subschema_for::<Hooks>(),
            Shape::Info => generator.subschema_for::<Info>(),
            Shape::Input => generator.subschema_for::<Input>(),
            Shape::Foreign | Shape::Form | Shape::JsonSchema => return json!({"type": "object"}),
            Shape::InputTaken => generator.subschema_for::<InputTaken>(),
            Shape::LoginCode => generator.subschema_for::<LoginCode>(),
            Shape::MakeFolder => generator.subschema_for::<MakeFolder>(),
            Shape::ModelList => generator.subschema_for::<ModelList>(),
            Shape::ChooseRepository => generator.subschema_for::<ChooseRepository>(),
            Shape::MessageTask => generator.subschema_for::<MessageTask>(),
            Shape::ModelSet => generator.subschema_for::<ModelSet>(),
            Shape::PortList => generator.subschema_for::<PortList>(),
            Shape::PortOpened => generator.subschema_for::<PortOpened>(),
            Shape::Prefs => generator.subschema_for::<Prefs>(),
            Shape::ProbeProvider => generator.subschema_for::<ProbeProvider>(),
            Shape::Provider => generator.subschema_for::<Provider>(),
            Shape::ProviderList => generator.subschema_for::<ProviderList>(),
            Shape::ProviderProbe => generator.subschema_for::<ProviderProbe>(),
            Shape::ProxyStatus => generator.subschema_for::<ProxyStatus>(),
            Shape::RemoveFile => generator.subschema_for::<RemoveFile>(),
            Shape::RenameFile => generator.subschema_for::<RenameFile>(),
            Shape::Resize => generator.subschema_for::<Resize>(),
            Shape::SearchResult => generator.subschema_for::<SearchResult>(),
            Shape::RunnerHealth => generator.subschema_for::<RunnerHealth>(),
            Shape::RunnerPrompt => generator.subschema_for::<RunnerPrompt>(),
            Shape::RunnerTask => generator.subschema_for::<RunnerTask>(),
            Shape::RunnerDone => generator.subschema_for::<RunnerDone>(),
            Shape::RunnerMinted => generator.subschema_for::<RunnerMinted>(),
            Shape::RunnerToken => generator.subschema_for::<RunnerToken>(),
            Shape::RunnerTasks => generator.subschema_for::<RunnerTasks>(),
            Shape::Send => generator.subschema_for::<Send>(),
            Shape::SessionList => generator.subschema_for::<SessionList>(),
            Shape::SessionMeta => generator.subschema_for::<SessionMeta>(),
            Shape::SessionUsage => generator.subschema_for::<SessionUsage>(),
            Shape::SetDriver => generator.subschema_for::<SetDriver>(),
            Shape::SetEffort => generator.subschema_for::<SetEffort>(),
            Shape::SetHooks => generator.subschema_for::<SetHooks>(),
            Shape::SetModel => generator.subschema_for::<SetModel>(),
            Shape::SetPermission => generator.subschema_for::<SetPermission>(),
            Shape::SetProvider => generator.subschema_for::<SetProvider>(),
            Shape::SetUp => generator.subschema_for::<SetUp>(),
            Shape::Shell => generator.subschema_for::<Shell>(),
            Shape::ShellList => generator.subschema_for::<ShellList>(),
            Shape::SignIn => generator.subschema_for::<SignIn>(),
            Shape::SignInList => generator.subschema_for::<SignInList>(),
            Shape::SignedIn => generator.subschema_for::<SignedIn>(),
            Shape::StartLogin => generator.subschema_for::<StartLogin>(),
            Shape::Task => generator.subschema_for::<Task>(),
            Shape::TaskList => generator.subschema_for::<TaskList>(),
            Shape::TaskQueue => generator.subschema_for::<TaskQueue>(),
            Shape::TaskQueueState => generator.subschema_for::<TaskQueueState>(),
            Shape::TokenCreated => generator.subschema_for::<TokenCreated>(),
            Shape::TokenList => generator.subschema_for::<TokenList>(),
            Shape::Transcript => return reference("Transcript"),
            Shape::TriedHook => generator.subschema_for::<TriedHook>(),
            Shape::TryHook => generator.subschema_for::<TryHook>(),
            Shape::UsageReport => generator.subschema_for::<UsageReport>(),
            Shape::WriteFile => generator.subschema_for::<WriteFile>(),
        };
        schema.to_value()
    }

    /// Every schema that was referred to, and those that streams are made of.
    pub(crate) fn finish(mut self) -> Map<String, Value> {
        let generator = &mut self.generator;
        let _ = generator.subschema_for::<ErrorBody>();
        let _ = generator.subschema_for::<StreamRequest>();
        let _ = generator.subschema_for::<StreamReply>();
        let _ = generator.subschema_for::<StreamEnd>();
        let _ = generator.subschema_for::<BoxEvent>();
        let _ = generator.subschema_for::<FeedEnd>();
        let _ = generator.subschema_for::<Data>();
        let mut schemas = generator.take_definitions(true);
        // The protocol knows scopes as words alone.
        let words: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        let every: Vec<_> = [WILDCARD].into_iter().chain(words).collect();
        for made in ["CreateToken", "CreateAccount"] {
            if let Some(made) = schemas.get_mut(made) {
                made["properties"]["scopes"]["items"]["enum"] = every.clone().into();
            }
        }
        schemas.insert("Frame".to_owned(), frame());
        schemas.insert("Transcript".to_owned(), transcript());
        schemas
    }
}

/// A reference by name.
pub(crate) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The envelope is fixed for good; kinds that a client does not know have to be passed over.
fn frame() -> Value {
    json!({
        "description": "One line of a journal. Kinds may be added; a client passes over those \
                        that it does not know.",
        "type": "object",
        "properties": {
            "session": {"type": "string", "format": "uuid"},
            "seq": {"type": "integer", "format": "uint64", "minimum": 1},
            "ts": {"type": "string", "format": "date-time"},
            "kind": {"type": "string"},
            "data": true,
        },
        "required": ["session", "seq", "ts", "kind", "data"],
        "anyOf": [reference("Data"), true],
    })
}

fn transcript() -> Value {
    let number = json!({"type": "integer", "format": "uint64", "minimum": 0});
    let described = |text: &str| {
        let mut number = number.clone();
        number["description"] = text.into();
        number
    };
    json!({
        "description": "A page of the journal.",
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The session."},
            "last_seq": described("Seq of the last frame in the journal."),
            "frames": {
                "type": "array",
                "description": "The frames of the page, in order.",
                "items": reference("Frame"),
            },
            "next": described("What `from` takes for the next page."),
            "previous": described(
                "What `before` takes for the page in front of this one, if this one was asked for \
                 with `before`; 0 if there is nothing in front.",
            ),
        },
        "required": ["id", "last_seq", "frames", "next"],
    })
}
