//! What the server needs to run, checked as a whole before anything is opened.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cib_base::errors::chain;
use cib_base::log::Format;
use cib_protocol::init::FirstAccount;
use cib_protocol::mqtt::MqttSettings;
use cib_tasks::{patience, times};
use tracing::level_filters::LevelFilter;

use crate::auth::address::{Network, TrustedProxies};
use crate::auth::gate::{self, Mode};
use crate::auth::scope::Scopes;
use crate::http::listen::Listen;
use crate::notices::Setup;
use crate::options::Options;
use crate::publish;
use crate::publish::leak::Secrets;
use crate::sessions::seats::Most;
use crate::web;

/// Where this program is, if nobody knows.
const PROGRAM: &str = "/usr/bin/cib-control";

/// Seconds before something is asked of a forge again that does not answer.
const PAUSES: [u64; 5] = [2, 8, 30, 120, 300];

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Sessions and device tokens.
    pub data: PathBuf,
    /// Sockets.
    pub runtime: PathBuf,
    /// Init's socket.
    pub init_socket: PathBuf,
    /// How callers are recognised.
    pub auth: Mode,
    /// The account to make where there is none.
    pub first_account: Option<FirstAccount>,
    /// The file with the accounts at forges, which need not be there.
    pub forges: PathBuf,
    /// A proxy on the loopback that forges are reached through.
    pub bridge: Option<SocketAddr>,
    /// Empty, or `headless`.
    pub mode: String,
    /// The folder with the pages, unless the mode is headless.
    pub web: Option<PathBuf>,
    /// Where sessions may work.
    pub roots: Vec<PathBuf>,
    /// Whose forwarding headers are believed.
    pub trusted: TrustedProxies,
    /// Where signing out leads whom a reverse proxy signed in.
    pub logout_url: Option<String>,
    /// How notices are set up.
    pub notices: Setup,
    /// The MQTT broker that the box speaks to.
    pub mqtt: Option<MqttSettings>,
    /// Whether Claude speaks to a gateway or a cloud.
    pub gateway: bool,
    /// How long a stream may be silent.
    pub heartbeat: Duration,
    /// Whether sessions that were working when the box stopped are resumed.
    pub resume: bool,
    /// How many sessions may be live at once.
    pub max_sessions: Most,
    /// Bytes of the largest file that may be uploaded.
    pub max_upload: u64,
    /// How long after its end a session is kept; for ever if nothing is said.
    pub retention: Option<Duration>,
    /// How long after its end a task is kept; for ever if nothing is said.
    pub task_retention: Option<Duration>,
    /// Descriptor that is told when the server listens.
    pub ready_fd: Option<u32>,
    /// Descriptor of a socket that listens already.
    pub listen_fd: Option<u32>,
    /// Whether the envelopes that were published before are served.
    pub aes_legacy: bool,
    /// Descriptor of a socket on which devices speak without HTTP.
    pub tcp_fd: Option<u32>,
    /// Descriptor of the socket on which health is asked.
    pub health_fd: Option<u32>,
    /// Descriptor of the socket on which root changes accounts.
    pub accounts_fd: Option<u32>,
    /// Descriptor of the socket on which coder's git asks.
    pub git_fd: Option<u32>,
    /// Where people open the pages of this box, without a slash at the end.
    pub public_url: Option<String>,
    /// By what secrets are found in what is to be published.
    pub secrets: Secrets,
    /// This program, which is also what coder's git starts.
    pub program: PathBuf,
    /// Pauses before something is asked of a forge again that does not answer.
    pub pauses: Vec<Duration>,
    /// Bytes from which on a repository is not fetched as a whole for a task.
    pub large: u64,
    /// Bytes that a task pushes, at most.
    pub most_pushed: u64,
    /// Pauses before Claude goes on with a task whose API failed.
    pub claude_pauses: Vec<Duration>,
    /// In which time the repository of a task has to be found.
    pub finding: Duration,
    /// How to log.
    pub log: Format,
    /// What to log.
    pub level: LevelFilter,
}

/// One thing that is wrong, with its remedy.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigFault(pub String);

impl Config {
    /// Checks the options together with the environment, which `variable` reads.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub fn load(
        options: Options,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<ConfigFault>> {
        let mut faults = Vec::new();
        let mut fault =
            |name: &str, why: String| faults.push(ConfigFault(format!("{name}: {why}")));
        // A variable that is set to nothing is as good as one that is not set.
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |option: Option<PathBuf>, name: &str, default: PathBuf| {
            option
                .or_else(|| set(name).map(PathBuf::from))
                .unwrap_or(default)
        };

        let data = path(
            options.data_dir,
            "CIB_DATA_DIR",
            "/var/lib/claude-in-box".into(),
        );
        let runtime = path(options.runtime_dir, "CIB_RUNTIME_DIR", "/run/cib".into());
        let init_socket = path(
            options.init_socket,
            "CIB_INIT_SOCKET",
            runtime.join("init.sock"),
        );
        let auth_file = path(
            options.auth,
            "CIB_AUTH_FILE",
            runtime.join("control/auth.json"),
        );
        let forges = path(
            options.forges,
            "CIB_FORGES_FILE",
            runtime.join("control/forges.json"),
        );
        let loaded = gate::load(&auth_file)
            .map_err(|error| fault(&auth_file.display().to_string(), chain(&error)))
            .ok();
        let (auth, proxy_secret, first_account, secrets, channels, mqtt) = match loaded {
            Some(loaded) => (
                Some(loaded.mode),
                loaded.proxy,
                loaded.first,
                loaded.secrets,
                loaded.channels,
                loaded.mqtt,
            ),
            None => (None, None, None, Secrets::default(), Vec::new(), None),
        };
        if let Some(mqtt) = &mqtt
            && let Err(error) = Scopes::parse(&mqtt.scopes)
        {
            fault("CIB_MQTT_SCOPES", error.to_string());
        }

        let mode = options.mode.or_else(|| set("CIB_MODE")).unwrap_or_default();
        if !matches!(&*mode, "" | "headless") {
            fault(
                "CIB_MODE",
                format!("`{mode}` is no mode; leave it empty or set it to `headless`"),
            );
        }
        let web = path(options.web_dir, "CIB_WEB_DIR", web::FOLDER.into());
        let trusted = options
            .trusted_proxies
            .or_else(|| set("CIB_TRUSTED_PROXIES"));
        let trusted = trusted
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|network| !network.is_empty())
            .filter_map(|network| {
                network
                    .parse::<Network>()
                    .map_err(|error| fault("CIB_TRUSTED_PROXIES", error.to_string()))
                    .ok()
            })
            .collect();
        let logout_url = options.logout_url.or_else(|| set("CIB_LOGOUT_URL"));
        if let Some(url) = logout_url.as_deref().filter(|url| !leads(url)) {
            let why = format!("`{url}` is neither a path nor an address of http or https");
            fault("CIB_LOGOUT_URL", why);
        }
        let public_url = options.public_url.or_else(|| set("CIB_PUBLIC_URL"));
        if let Some(url) = public_url.as_deref().filter(|url| !is_public(url)) {
            let why = format!("`{url}` is no address of http or https");
            fault("CIB_PUBLIC_URL", why);
        }
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        let log = options.log.or_else(|| set("CIB_LOG")).unwrap_or_default();
        let log = log
            .parse()
            .map_err(|error| fault("CIB_LOG", format!("`{log}`: {error}")))
            .unwrap_or_default();
        let level = options.log_level.or_else(|| set("CIB_LOG_LEVEL"));
        let level = match level.as_deref().unwrap_or("info").parse() {
            Ok(level) => level,
            Err(_) => {
                fault(
                    "CIB_LOG_LEVEL",
                    "the levels are error, warn, info, debug and trace".to_owned(),
                );
                LevelFilter::INFO
            }
        };
        let heartbeat = options.heartbeat.unwrap_or(20);
        if heartbeat == 0 {
            fault("--heartbeat", "has to be at least one second".to_owned());
        }
        let resume = options
            .resume
            .or_else(|| set("CIB_RESUME"))
            .unwrap_or_default();
        if !matches!(&*resume, "" | "never" | "always") {
            fault(
                "CIB_RESUME",
                format!("`{resume}` is neither `never` nor `always`"),
            );
        }
        let max_sessions = match (options.max_sessions, set("CIB_MAX_SESSIONS")) {
            (Some(most), _) => Most::from(most),
            (None, None) => Most::by_memory(),
            (None, Some(text)) => text.parse::<usize>().map(Most::from).unwrap_or_else(|_| {
                fault("CIB_MAX_SESSIONS", format!("`{text}` is not a number"));
                Most::Unlimited
            }),
        };
        let disabled = matches!(auth, Some(Mode::Disabled));
        let address = options.listen.or_else(|| set("CIB_LISTEN"));
        let port = set("CIB_PORT");
        let listen = listen(address.as_deref(), port.as_deref(), disabled)
            .map_err(|(name, why)| fault(name, why));
        let roots = if options.workdir_roots.is_empty() {
            vec!["/workspace".into(), "/home/coder".into()]
        } else {
            options.workdir_roots
        };
        match (auth, listen) {
            (Some(auth), Ok(listen)) if faults.is_empty() => Ok(Self {
                listen,
                data,
                runtime,
                init_socket,
                auth,
                first_account,
                forges,
                bridge: options.bridge,
                web: (mode != "headless").then_some(web),
                mode,
                roots,
                trusted: TrustedProxies {
                    networks: trusted,
                    secret: proxy_secret,
                },
                logout_url,
                notices: Setup {
                    public_url: public_url.clone(),
                    allows_private: options.webhook_private,
                    channels,
                    ..Setup::default()
                },
                mqtt,
                gateway: options.gateway,
                heartbeat: Duration::from_secs(heartbeat),
                resume: resume == "always",
                max_sessions,
                max_upload: options.max_upload.unwrap_or(1 << 30),
                retention: options
                    .session_retention
                    .filter(|seconds| *seconds > 0)
                    .map(Duration::from_secs),
                task_retention: options
                    .task_retention
                    .filter(|seconds| *seconds > 0)
                    .map(Duration::from_secs),
                ready_fd: options.ready_fd,
                listen_fd: options.listen_fd,
                aes_legacy: options.aes_legacy,
                tcp_fd: options.tcp_fd,
                health_fd: options.health_fd,
                accounts_fd: options.accounts_fd,
                git_fd: options.git_fd,
                public_url,
                secrets,
                program: std::env::current_exe().unwrap_or_else(|_| PROGRAM.into()),
                large: publish::LARGE,
                most_pushed: publish::MOST_PUSHED,
                pauses: PAUSES.map(Duration::from_secs).to_vec(),
                claude_pauses: patience::PAUSES.map(Duration::from_secs).to_vec(),
                finding: times::FINDING,
                log,
                level,
            }),
            _ => Err(faults),
        }
    }
}

/// Whether a browser may be led there: nothing that would run in the page.
fn leads(url: &str) -> bool {
    let is_path = url.starts_with('/') && !url.starts_with("//");
    (is_path || url.starts_with("http://") || url.starts_with("https://"))
        && url
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// Whether links can be made of it.
fn is_public(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && url
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\\\"<>?#@".contains(&byte))
}

fn listen(
    address: Option<&str>,
    port: Option<&str>,
    disabled: bool,
) -> Result<Listen, (&'static str, String)> {
    if let Some(address) = address {
        let address: SocketAddr = address.parse().map_err(|_| {
            let why = format!("`{address}` is not an address and a port, like 127.0.0.1:8080");
            ("CIB_LISTEN", why)
        })?;
        if disabled && !address.ip().is_loopback() {
            let why = "with authentication disabled only a loopback address may be listened on";
            return Err(("CIB_LISTEN", why.to_owned()));
        }
        return Ok(Listen::Address(address));
    }
    let port = match port {
        None => 8080,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            (
                "CIB_PORT",
                format!("`{port}` is not a port between 1 and 65535"),
            )
        })?,
    };
    Ok(if disabled {
        Listen::Loopback(port)
    } else {
        Listen::Everywhere(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISABLED: &str = r#"{"disabled":true}"#;

    fn load(
        auth: &str,
        options: Options,
        variables: &[(&str, &str)],
    ) -> Result<Config, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth.json");
        std::fs::write(&file, auth).unwrap();
        let options = Options {
            auth: Some(file),
            ..options
        };
        Config::load(options, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .map_err(|faults| faults.into_iter().map(|fault| fault.0).collect())
    }

    fn token() -> String {
        format!(r#"{{"master_sha256":"{}"}}"#, "ab".repeat(32))
    }

    #[test]
    fn without_options_the_paths_of_the_box_are_used_and_every_address_is_listened_on() {
        let config = load(&token(), Options::default(), &[]).unwrap();
        assert_eq!(config.listen, Listen::Everywhere(8080));
        assert_eq!(config.init_socket, PathBuf::from("/run/cib/init.sock"));
        assert_eq!(config.data, PathBuf::from("/var/lib/claude-in-box"));
    }

    #[test]
    fn with_authentication_disabled_only_loopback_is_listened_on() {
        let port = [("CIB_PORT", "81")];
        let config = load(DISABLED, Options::default(), &port).unwrap();
        assert_eq!(config.listen, Listen::Loopback(81));
        let wide = [("CIB_LISTEN", "0.0.0.0:80")];
        let faults = load(DISABLED, Options::default(), &wide).unwrap_err();
        assert!(faults[0].starts_with("CIB_LISTEN: "), "{faults:?}");
        let narrow = [("CIB_LISTEN", "[::1]:80")];
        assert!(load(DISABLED, Options::default(), &narrow).is_ok());
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let options = Options {
            heartbeat: Some(0),
            ..Options::default()
        };
        let variables = [
            ("CIB_MODE", "full"),
            ("CIB_PORT", "0"),
            ("CIB_TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
            ("CIB_LOGOUT_URL", "javascript:alert(1)"),
            ("CIB_PUBLIC_URL", "box.example.com"),
            ("CIB_LOG", "xml"),
            ("CIB_LOG_LEVEL", "loud"),
            ("CIB_MAX_SESSIONS", "many"),
        ];
        let faults = load("{}", options, &variables).unwrap_err().join("\n");
        for name in [
            "auth.json: it has neither",
            "CIB_MODE: ",
            "CIB_PORT: ",
            "CIB_TRUSTED_PROXIES: `proxy`",
            "CIB_LOGOUT_URL: ",
            "CIB_PUBLIC_URL: ",
            "CIB_LOG: ",
            "CIB_LOG_LEVEL: ",
            "CIB_MAX_SESSIONS: ",
            "--heartbeat: ",
        ] {
            assert!(faults.contains(name), "{name} is missing in\n{faults}");
        }
    }

    #[test]
    fn an_auth_file_that_says_nothing_clear_is_refused() {
        let both = format!(
            r#"{{"disabled":true,"master_sha256":"{}"}}"#,
            "ab".repeat(32)
        );
        for auth in [
            "",
            "{}",
            &both,
            r#"{"master_sha256":"short"}"#,
            r#"{"master":1}"#,
        ] {
            assert!(load(auth, Options::default(), &[]).is_err(), "{auth}");
        }
    }
}
