//! The command line, and the variables that stand in for it.

use std::path::PathBuf;

use clap::Parser;

/// The control plane of a claude-in-box: REST, server-sent events and WebSocket over the
/// journals of its sessions.
///
/// cib-init starts it. An option can also be given as the variable in its brackets; the
/// option wins, and of two the last.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "cib-control",
    version,
    max_term_width = 100,
    args_override_self = true
)]
pub struct Options {
    /// Address and port to listen on. [CIB_LISTEN] [default: port CIB_PORT or 8080 of every
    /// address, IPv6 and IPv4; of 127.0.0.1 alone if authentication is disabled]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,

    /// What outlives the container: sessions, accounts and device tokens. [CIB_DATA_DIR]
    /// [default: /var/lib/claude-in-box]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// What dies with the container: sockets. [CIB_RUNTIME_DIR] [default: /run/cib]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,

    /// The socket of cib-init. [CIB_INIT_SOCKET] [default: init.sock in the runtime directory]
    #[arg(long, value_name = "PATH")]
    pub init_socket: Option<PathBuf>,

    /// Where cib-init says how the master token is recognised. [CIB_AUTH_FILE]
    /// [default: control/auth.json in the runtime directory]
    #[arg(long, value_name = "FILE")]
    pub auth: Option<PathBuf>,

    /// Where cib-init leaves the accounts at forges; none if it is not there. [CIB_FORGES_FILE]
    /// [default: control/forges.json in the runtime directory]
    #[arg(long, value_name = "FILE")]
    pub forges: Option<PathBuf>,

    /// A proxy on the loopback that understands CONNECT, by which everything that control asks of
    /// others goes out.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub bridge: Option<std::net::SocketAddr>,

    /// The box's mode: empty, or headless for no pages. [CIB_MODE]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,

    /// The folder with the web pages; without any there, none are served. [CIB_WEB_DIR]
    /// [default: /usr/share/claude-in-box/web]
    #[arg(long, value_name = "DIR")]
    pub web_dir: Option<PathBuf>,

    /// A directory in which sessions may work; can be given several times.
    /// [default: /workspace and /home/coder]
    #[arg(long = "workdir-root", value_name = "DIR")]
    pub workdir_roots: Vec<PathBuf>,

    /// Addresses or networks, separated by commas, whose X-Forwarded-User and X-Forwarded-For
    /// are believed; never the box's own, unless they share a secret. [CIB_TRUSTED_PROXIES]
    #[arg(long, value_name = "LIST")]
    pub trusted_proxies: Option<String>,

    /// Where signing out leads whom a reverse proxy signed in: a path, or an address of http or
    /// https. [CIB_LOGOUT_URL]
    #[arg(long, value_name = "URL")]
    pub logout_url: Option<String>,

    /// Where people open the pages of this box, for links that lead there. [CIB_PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,

    /// Whether webhooks and other notices may go to private addresses. [CIB_WEBHOOK_PRIVATE]
    #[arg(long)]
    pub webhook_private: bool,

    /// Whether Claude speaks to a gateway or a cloud, whose models may have any name.
    #[arg(long)]
    pub gateway: bool,

    /// always: resume the sessions that were working when the box stopped. [CIB_RESUME]
    /// [default: never]
    #[arg(long, value_name = "WHEN")]
    pub resume: Option<String>,

    /// Sessions that may be live at once; 0 for as many as are asked for. [CIB_MAX_SESSIONS]
    /// [default: one for each 400 MB of memory, at least 2]
    #[arg(long, value_name = "N")]
    pub max_sessions: Option<usize>,

    /// Seconds after whose end sessions and shells are purged. [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub session_retention: Option<u64>,

    /// Seconds after whose end tasks are removed with their work trees. [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub task_retention: Option<u64>,

    /// Bytes of the largest file that may be uploaded. [default: 1 GiB]
    #[arg(long, value_name = "BYTES")]
    pub max_upload: Option<u64>,

    /// Seconds after which a silent stream says that it lives. [default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub heartbeat: Option<u64>,

    /// Descriptor that gets a newline when the server listens.
    #[arg(long, value_name = "N")]
    pub ready_fd: Option<u32>,

    /// Descriptor of a socket that listens already, instead of --listen.
    #[arg(long, value_name = "N")]
    pub listen_fd: Option<u32>,

    /// Descriptor of a socket that listens, on which devices speak the sealed envelope without HTTP.
    #[arg(long, value_name = "N")]
    pub tcp_fd: Option<u32>,

    /// Whether versions 1 and 2 of the sealed envelope are served, as they were published before.
    #[arg(long)]
    pub aes_legacy: bool,

    /// Descriptor of a local socket that listens, on which health is asked.
    #[arg(long, value_name = "N")]
    pub health_fd: Option<u32>,

    /// Descriptor of a local socket that listens, on which root changes accounts.
    #[arg(long, value_name = "N")]
    pub accounts_fd: Option<u32>,

    /// Descriptor of a local socket that listens, on which coder's git asks.
    /// [default: git/git.sock in the runtime directory, if the box has an account at a forge]
    #[arg(long, value_name = "N")]
    pub git_fd: Option<u32>,

    /// How the log is written, on standard error: text or json. [CIB_LOG] [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<String>,

    /// What is logged: error, warn, info, debug or trace. [CIB_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}
