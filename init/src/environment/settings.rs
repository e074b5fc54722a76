//! What the environment and the configuration files ask for, typed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use cib_nft::Lan;
use cib_protocol::api::CreateChannel;
use cib_protocol::forge::ForgeAccount;
use cib_protocol::mqtt::MqttSettings;
use cib_protocol::secret::Secret;
use cib_resolver::DnsServer;
use cib_resolver::config::LocalName;
use cib_upstream::Upstream;
use cib_upstream::client::Target;
use ipnet::IpNet;

/// Everything that was asked for. No secret in it shows in `Debug`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may use the API.
    pub auth: Auth,
    /// What the API serves.
    pub mode: Mode,
    /// TCP port of the API.
    pub port: u16,
    /// TCP port on which devices speak without HTTP, if there is to be one.
    pub tcp_port: Option<u16>,
    /// Folder with the web pages.
    pub web_dir: PathBuf,
    /// Bytes of the largest file that may be uploaded.
    pub max_upload: u64,
    /// Reverse proxies whose headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What they have to send as well.
    pub trusted_proxy_secret: Option<Secret>,
    /// Where signing out leads whom they signed in.
    pub logout_url: Option<String>,
    /// The address at which the box is reached from outside.
    pub public_url: Option<String>,
    /// Whether notices may go to private addresses.
    pub webhook_private: bool,
    /// Where notices go from the beginning.
    pub channels: Vec<CreateChannel>,
    /// The account that the box begins with.
    pub admin: Option<Admin>,
    /// How packets leave.
    pub egress: EgressSettings,
    /// User, files and life time.
    pub container: ContainerSettings,
    /// Keys and their agents.
    pub keys: KeySettings,
    /// git.
    pub git: GitSettings,
    /// Setup commands.
    pub setup: SetupSettings,
    /// Sessions.
    pub sessions: SessionSettings,
    /// What Claude itself reads.
    pub claude: Credentials,
    /// Accounts at forges.
    pub forges: Vec<ForgeAccount>,
    /// The task that is this container's main job, if it has one.
    pub task: Option<TaskSettings>,
    /// Whether the sealed envelopes that were published before are served.
    pub aes_legacy: bool,
    /// The MQTT broker, if there is to be one.
    pub mqtt: Option<MqttSettings>,
    /// Where secrets came from.
    pub secrets: SecretSettings,
}

/// Where secrets came from, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSettings {
    /// The files that secrets were read from.
    pub files: Vec<SecretFile>,
    /// What happens when coder can read one of them.
    pub exposed: ExposedSecrets,
}

/// A file that a secret was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The variable that names it, such as `CIB_AUTH_TOKEN_FILE`.
    pub variable: String,
    /// The file.
    pub path: PathBuf,
}

/// What happens when coder can read the file of a secret, and init cannot close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExposedSecrets {
    /// The box does not start.
    Refuse,
    /// The box starts, and says so.
    Allow,
}

/// Who may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Whoever sends this token.
    Token(Secret),
    /// As before, with a token that nobody was told: a box with one task needs none.
    Made(Secret),
    /// Everybody on the box's own loopback.
    Disabled,
}

impl Auth {
    /// What lets in, if something has to.
    #[must_use]
    pub fn token(&self) -> Option<&Secret> {
        match self {
            Self::Token(token) | Self::Made(token) => Some(token),
            Self::Disabled => None,
        }
    }

    /// Whether anybody outside could be let in.
    #[must_use]
    pub fn serves_others(&self) -> bool {
        matches!(self, Self::Token(_))
    }
}

/// The task that is a container's main job.
#[derive(Clone, Debug)]
pub struct TaskSettings {
    /// The body of `POST /api/tasks`, without its key. It may have the secret of a webhook.
    pub request: Secret,
    /// What tells it from other tasks, if that was said.
    pub key: Option<String>,
    /// Where the result goes; standard output if nowhere else.
    pub result: Option<PathBuf>,
    /// How long all of it may take.
    pub timeout: Option<Duration>,
    /// What a question means.
    pub questions: Questions,
}

/// What a question means that only a person can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Questions {
    /// The task is cancelled.
    Fail,
    /// Somebody will answer.
    Wait,
}

/// The account that the box begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Secret,
}

/// What the API serves beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The web pages.
    Default,
    /// Nothing.
    Headless,
}

/// How packets leave.
#[derive(Clone, Debug)]
pub struct EgressSettings {
    /// The proxy; without one the box reaches the network directly.
    pub upstream: Option<Upstream>,
    /// How packets get to it.
    pub mode: ProxyMode,
    /// Port of redsocks on the box's loopback.
    pub redsocks_port: u16,
    /// What is reached past the proxy.
    pub lan: Lan,
    /// Name servers that are asked through the proxy.
    pub dns_servers: Vec<DnsServer>,
    /// Names that Docker's own name server answers.
    pub local_names: BTreeSet<LocalName>,
    /// What is connected to, to see whether the proxy carries.
    pub probe: ProbeTarget,
    /// Whether others may be in the network that is closed.
    pub shared: bool,
}

/// What is connected to through the proxy, to see whether it carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProbeTarget {
    /// The name servers, to which the resolver connects in any case.
    #[default]
    NameServers,
    /// This one.
    At(Target),
    /// Nothing.
    Off,
}

/// How packets get to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// The kernel takes them there.
    Redirect,
    /// Programs are asked to go there, by the proxy variables.
    Env,
    /// The kernel takes them there, for the containers that join this one's network. Nothing
    /// else runs here.
    Hold,
    /// Another container holds the network and takes them there.
    Join,
}

impl ProxyMode {
    /// Whether this container's own rules close every other way out.
    #[must_use]
    pub fn locks(self) -> bool {
        matches!(self, Self::Redirect | Self::Hold)
    }
}

/// User, files and life time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSettings {
    /// User id of `coder`, if it is to be another than the image's.
    pub puid: Option<u32>,
    /// Group id of `coder`, likewise.
    pub pgid: Option<u32>,
    /// `TZ` of every child.
    pub time_zone: Option<String>,
    /// Where everything stands that outlives the container.
    pub data_dir: PathBuf,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Least important lines that are written.
    pub log_level: LogLevel,
    /// Budget of the whole shutdown.
    pub shutdown_timeout: Duration,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One object a line.
    Json,
}

/// Importance of a log line, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something may fail.
    Warn,
    /// What happens.
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

/// Keys and their agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// Mounted folders that `~/.ssh` and `~/.gnupg` come from.
    pub ssh_dir: Option<PathBuf>,
    /// As above.
    pub gnupg_dir: Option<PathBuf>,
    /// Sockets of mounted agents.
    pub agents: AgentSettings,
    /// Lines of host keys that every ssh in the box trusts.
    pub known_hosts: Option<String>,
    /// What ssh does with an unknown host.
    pub host_keys: HostKeyPolicy,
}

/// Sockets of mounted agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSettings {
    /// ssh's.
    pub ssh: Option<PathBuf>,
    /// GnuPG's.
    pub gpg: Option<PathBuf>,
}

/// What ssh does with a host that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Remembers its key.
    AcceptNew,
    /// Refuses it.
    Strict,
    /// Asks for no key at all.
    Off,
}

/// git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSettings {
    /// `user.name`.
    pub user_name: Option<String>,
    /// `user.email`.
    pub user_email: Option<String>,
    /// How commits are signed.
    pub signing: Signing,
    /// With which key.
    pub signing_key: Option<String>,
}

/// How commits are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Not at all.
    Off,
    /// By an ssh key.
    Ssh,
    /// By a GnuPG key.
    Gpg,
}

/// Setup commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupSettings {
    /// Shell commands, each one line or more.
    pub commands: Vec<String>,
    /// A script that runs before them.
    pub file: Option<PathBuf>,
    /// How often.
    pub run: SetupRun,
    /// What a failure means.
    pub on_failure: OnSetupFailure,
    /// Budget of each command.
    pub timeout: Duration,
    /// Whether a copy comes before them.
    pub await_copy: bool,
}

/// How often setup commands run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupRun {
    /// At every start.
    Always,
    /// Once for each volume.
    Once,
}

/// What a failed setup command means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSetupFailure {
    /// The box ends.
    Stop,
    /// The next command runs.
    Continue,
}

/// Sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// What happens to sessions that were working when the container stopped.
    pub resume: Resume,
    /// How many may be live at once; 0 for any number, nothing for what memory holds.
    pub max: Option<u64>,
    /// How long records are kept after their end; nothing for ever.
    pub retention: Option<Duration>,
    /// How long tasks are kept after their end, with their work trees; nothing for ever.
    pub task_retention: Option<Duration>,
    /// When journals are forced to disk.
    pub journal_sync: JournalSync,
    /// Version of Claude Code.
    pub claude_version: Option<String>,
    /// Whose processes they are.
    pub users: SessionUsers,
}

/// Whose processes sessions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUsers {
    /// Coder's, all of them.
    Shared,
    /// Each session's own.
    Separate,
}

/// What happens to sessions that were working when the container stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// They are marked interrupted.
    Never,
    /// They go on.
    Always,
}

/// When journals are forced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalSync {
    /// When the kernel likes.
    None,
    /// After every write, which may hold several frames.
    Batch,
    /// After each frame.
    Frame,
}

/// What Claude itself reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `ANTHROPIC_API_KEY`.
    pub api_key: Option<Secret>,
    /// `ANTHROPIC_AUTH_TOKEN`.
    pub auth_token: Option<Secret>,
    /// `CLAUDE_CODE_OAUTH_TOKEN`.
    pub oauth_token: Option<Secret>,
    /// `AWS_BEARER_TOKEN_BEDROCK`.
    pub bedrock_key: Option<Secret>,
    /// `CIB_AWS_CREDENTIALS`.
    pub aws: Option<super::cloud::Aws>,
    /// `CIB_GOOGLE_CREDENTIALS`.
    pub google: Option<super::cloud::Google>,
    /// `ANTHROPIC_BASE_URL`.
    pub base_url: Option<String>,
    /// `ANTHROPIC_MODEL`.
    pub model: Option<String>,
}

impl Credentials {
    /// Whether Claude speaks to a gateway or a cloud, whose models may have any name.
    #[must_use]
    pub fn lead_elsewhere(&self) -> bool {
        let is_anthropics = |url: &String| url.trim_end_matches('/') == "https://api.anthropic.com";
        self.base_url
            .as_ref()
            .is_some_and(|url| !is_anthropics(url))
            || self.bedrock_key.is_some()
            || self.aws.is_some()
            || self.google.is_some()
    }
}

impl JournalSync {
    /// The word of `CIB_JOURNAL_SYNC` that stands for it, for the keeper's own environment.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Batch => "batch",
            Self::Frame => "frame",
        }
    }
}
