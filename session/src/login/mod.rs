//! The keeper of logins: drives `claude auth` for people who have a browser elsewhere.
//!
//! It runs as the user whose login it is, because nobody else may read or write that. It
//! holds nothing that has to last: the CLI stores the login, and this program goes when
//! nobody has asked it anything for a while.

mod cli;
mod flow;

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cib_protocol::MAX_LINE;
use cib_protocol::api::{ClaudeLogin, LoginState};
use cib_protocol::login::{LoginFault, LoginReply, LoginRequest};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;

use crate::claude::command::CREDENTIALS;
use cli::{Cli, Outcome};
use flow::{FlowError, Flows};

/// Name of the socket in the runtime directory.
pub const SOCKET: &str = "login.sock";

/// How long the CLI may take for a command that asks nobody.
const COMMAND: Duration = Duration::from_secs(20);

/// How long an answer waits for the CLI to say where to go, or what it thinks of a code.
const ANSWER: Duration = Duration::from_secs(20);

/// How long a client may take to send its request or read its answer.
const CLIENT: Duration = Duration::from_secs(5);

/// Conversations at once; control has a few.
const CLIENTS: usize = 8;

/// Characters of an address (RFC 5321).
const MAX_EMAIL: usize = 254;

/// Characters of a code; those seen have about a hundred.
const MAX_CODE: usize = 4096;

/// How the keeper of logins is to work.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Where its socket goes.
    pub runtime: PathBuf,
    /// The CLI: a path, or a name on `PATH`.
    pub claude: PathBuf,
    /// Milliseconds that a person has to bring the code.
    pub patience_ms: u64,
    /// Milliseconds without a request after which it goes.
    pub idle_ms: u64,
    /// Credentials that sessions are given, beside those that this process itself was.
    pub credentials: Vec<String>,
}

/// Everything that a conversation needs.
#[derive(Debug)]
struct Keeper {
    cli: Cli,
    flows: Arc<Flows>,
    patience: Duration,
    credentials: Vec<String>,
}

/// A refusal.
#[derive(Debug)]
struct Refusal(LoginFault, String);

impl From<FlowError> for Refusal {
    fn from(error: FlowError) -> Self {
        let code = match error {
            FlowError::Running => LoginFault::Running,
            FlowError::NotWaiting => LoginFault::NotWaiting,
            FlowError::Start(_) => LoginFault::Claude,
        };
        Self(code, error.to_string())
    }
}

/// Serves until nobody has asked anything for a while and no login is on its way. `ready` is
/// told when it can be asked.
///
/// # Errors
/// If the socket cannot be made or waited on.
pub fn run(options: &Options, ready: Option<OwnedFd>) -> io::Result<()> {
    let listener = listen(&options.runtime)?;
    if let Some(fd) = ready {
        fs::File::from(fd).write_all(b"\n")?;
    }
    let keeper = Arc::new(Keeper {
        cli: Cli::new(&options.claude),
        flows: Arc::default(),
        patience: Duration::from_millis(options.patience_ms),
        credentials: options.credentials.clone(),
    });
    let idle = Duration::from_millis(options.idle_ms);
    let mut asked = Instant::now();
    loop {
        let is_busy = keeper.flows.is_open() || Arc::strong_count(&keeper) > 1;
        if !is_busy && asked.elapsed() >= idle {
            return Ok(());
        }
        if !is_readable(&listener, idle)? {
            continue;
        }
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        asked = Instant::now();
        if Arc::strong_count(&keeper) > CLIENTS {
            // It is closed, and comes back.
            continue;
        }
        let keeper = Arc::clone(&keeper);
        // Without a thread to be had the client sees its connection close.
        let _ = std::thread::Builder::new().spawn(move || keeper.converse(stream));
    }
}

fn listen(runtime: &Path) -> io::Result<UnixListener> {
    let path = runtime.join(SOCKET);
    let listener = crate::socket::listen(&path)?;
    // As a session's socket: control reaches it by its group.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

fn is_readable(listener: &UnixListener, within: Duration) -> io::Result<bool> {
    let within = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, within) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl Keeper {
    /// One request, one answer.
    fn converse(&self, mut stream: UnixStream) {
        let reply = match hear(&stream) {
            Ok(line) => self.answer(&line),
            Err(_) => return,
        };
        let Ok(mut line) = serde_json::to_vec(&reply) else {
            return;
        };
        line.push(b'\n');
        // Whoever does not read the answer asks again.
        let _ = stream.write_all(&line);
    }

    fn answer(&self, line: &[u8]) -> LoginReply {
        let outcome = match serde_json::from_slice(line) {
            Ok(request) => self.request(request).and_then(|()| self.status()),
            // The parser's own message may quote a value, and a value may be a secret.
            Err(error) => Err(Refusal(
                LoginFault::BadRequest,
                format!("not a request: {:?} error", error.classify()),
            )),
        };
        match outcome {
            Ok(login) => LoginReply::Login(Box::new(login)),
            Err(Refusal(code, detail)) => LoginReply::Refused { code, detail },
        }
    }

    fn request(&self, request: LoginRequest) -> Result<(), Refusal> {
        match request {
            LoginRequest::Status {} => {}
            LoginRequest::Start(asked) => {
                if let Some(email) = &asked.email {
                    check_word("email", email, MAX_EMAIL)?;
                    if email.starts_with('-') {
                        let detail = "`email` begins with `-`".to_owned();
                        return Err(Refusal(LoginFault::BadRequest, detail));
                    }
                }
                self.flows.start(&self.cli, &asked, self.patience)?;
                self.flows.wait_while(&[LoginState::Starting], ANSWER);
            }
            LoginRequest::Code(code) => {
                let code = code.code.expose().trim();
                check_word("code", code, MAX_CODE)?;
                self.flows.code(code.to_owned())?;
                self.flows.wait_while(&[LoginState::Verifying], ANSWER);
            }
            LoginRequest::Cancel {} => self.flows.cancel()?,
            LoginRequest::Logout {} => {
                if self.flows.is_open() {
                    return Err(FlowError::Running.into());
                }
                let outcome = self.command(&["logout"])?;
                if outcome.code != 0 {
                    let why = [outcome.complaints, outcome.output].join("\n");
                    return Err(Refusal(LoginFault::Claude, why.trim().to_owned()));
                }
            }
        }
        Ok(())
    }

    /// How things stand: what the CLI says is stored, and the last login.
    fn status(&self) -> Result<ClaudeLogin, Refusal> {
        /// What `claude auth status --json` prints; its exit code is 1 without a login.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stored {
            logged_in: bool,
            auth_method: Option<String>,
            email: Option<String>,
            org_name: Option<String>,
            subscription_type: Option<String>,
        }
        let outcome = self.command(&["status", "--json"])?;
        let stored: Stored = serde_json::from_str(&outcome.output).map_err(|_| {
            let why = outcome.complaints.lines().last().unwrap_or_default();
            let detail = format!("`claude auth status` said something else: {why}");
            Refusal(LoginFault::Claude, detail)
        })?;
        let set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
        Ok(ClaudeLogin {
            logged_in: stored.logged_in,
            method: stored.auth_method.filter(|_| stored.logged_in),
            email: stored.email,
            organization: stored.org_name,
            subscription: stored.subscription_type,
            environment: CREDENTIALS
                .iter()
                .filter(|name| set(name) || self.credentials.iter().any(|other| other == *name))
                .map(|name| (*name).to_owned())
                .collect(),
            flow: self.flows.shown(),
        })
    }

    fn command(&self, arguments: &[&str]) -> Result<Outcome, Refusal> {
        self.cli.run(arguments, COMMAND).map_err(|error| {
            let words = arguments.join(" ");
            Refusal(
                LoginFault::Claude,
                format!("`claude auth {words}`: {error}"),
            )
        })
    }
}

fn hear(stream: &UnixStream) -> io::Result<Vec<u8>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CLIENT))?;
    stream.set_write_timeout(Some(CLIENT))?;
    let mut line = Vec::new();
    let most = MAX_LINE as u64;
    BufReader::with_capacity(1024, stream)
        .take(most)
        .read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Words that become an argument or a line of the CLI's input must not become two.
fn check_word(name: &str, word: &str, most: usize) -> Result<(), Refusal> {
    let fits = !word.is_empty()
        && word.len() <= most
        && word.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if fits {
        return Ok(());
    }
    let detail = format!("`{name}` is one word of at most {most} bytes");
    Err(Refusal(LoginFault::BadRequest, detail))
}
