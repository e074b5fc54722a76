//! Agents of ssh and GnuPG: a socket of coder's own that leads to the one that was mounted.
//!
//! The mounted socket belongs to whoever runs the agent outside, with a mode that keeps others
//! out, and agents refuse a peer with another id. Init is root: it may connect whatever owner
//! and mode the socket has, and agents take root. Each connection is opened anew by its path,
//! so an agent that was started again is found again.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::files::{Dir, FileError, Owner, c_name, failed, phrase, reason, write_file};
use super::keys::Keys;
use super::outcome::Outcome;
use super::paths::Paths;
use super::users::Users;
use crate::environment::AgentSettings;

/// Connections that are served at once; further ones wait to be accepted. Each takes two
/// buffers in PID 1.
const CONNECTIONS: usize = 64;
/// Requests and answers of agents are small; larger ones pass in pieces.
const BUFFER: usize = 4096;
/// How long the mounted agent may take to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// Pause when no descriptor is left to accept with.
const BREATH: Duration = Duration::from_millis(100);

/// A socket that listens, and where it leads. It is served by [`Relay::serve`].
#[derive(Debug)]
pub struct Relay {
    /// The variable that named the mounted socket.
    pub variable: &'static str,
    /// The socket that programs in the box use.
    pub socket: PathBuf,
    listener: UnixListener,
    upstream: PathBuf,
}

/// What there is to say about a relay while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The mounted agent cannot be reached. Said once until it is back.
    Lost(String),
    /// It can be reached again.
    Back,
}

/// Opens a socket for each agent that was asked for. Must be called within a runtime. An agent
/// that cannot be reached now may be there later, so that is a warning.
#[must_use]
pub fn open(
    paths: &Paths,
    agents: &AgentSettings,
    users: &Users,
    keys: &Keys,
) -> (Vec<Relay>, Outcome) {
    let mut outcome = Outcome::default();
    let mut relays = Vec::new();
    let owner = users.switch.then_some(Owner {
        uid: users.coder.uid,
        gid: users.coder.gid,
    });
    let wanted = [
        ("SSH_AUTH_SOCK", &agents.ssh, paths.ssh_agent()),
        ("CIB_GPG_AGENT", &agents.gpg, paths.gpg_agent()),
    ];
    for (variable, upstream, socket) in wanted {
        let Some(upstream) = upstream else { continue };
        let at = paths.at(upstream);
        if let Err(why) = check(&at) {
            outcome.warn(format!("{variable}: {} {why}", upstream.display()));
        }
        match listen(&paths.at(&socket), owner) {
            Ok(listener) => {
                outcome.changed(&socket, format!("leads to {}", upstream.display()));
                relays.push(Relay {
                    variable,
                    socket,
                    listener,
                    upstream: at,
                });
            }
            Err(error) => outcome.warn(format!("{variable}: {}", phrase(&error))),
        }
    }
    if relays.iter().any(|relay| relay.variable == "CIB_GPG_AGENT")
        && let Err(error) = redirect_gpg(paths, users, keys, owner, &mut outcome)
    {
        outcome.warn(format!("CIB_GPG_AGENT: {}", phrase(&error)));
    }
    (relays, outcome)
}

/// Whether somebody can be reached there, as well as that can be told without connecting:
/// agents log peers that leave at once.
fn check(path: &Path) -> Result<(), &'static str> {
    use std::os::unix::fs::FileTypeExt as _;
    match fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(()),
        Ok(_) => Err("is no socket; mount the agent's socket, or the folder that holds it"),
        Err(_) => Err("is not there yet; mount the agent's socket, or the folder that holds it"),
    }
}

/// A socket of mode 0600. It appears under its name when owner and mode are right.
fn listen(path: &Path, owner: Option<Owner>) -> Result<UnixListener, FileError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &fresh)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed("listen on", path))?;
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&fresh, mode).map_err(failed("change the mode of", path))?;
    if let Some(Owner { uid, gid }) = owner {
        let owned = std::os::unix::fs::chown(&fresh, Some(uid), Some(gid));
        owned.map_err(failed("change the owner of", path))?;
    }
    fs::rename(&fresh, path).map_err(failed("put in place", path))?;
    Ok(listener)
}

/// Leaves a file where GnuPG looks for its agent's socket, which names ours. Assuan, the
/// protocol's library, reads such files (`assuan_sock_set_sockaddr_un`).
fn redirect_gpg(
    paths: &Paths,
    users: &Users,
    keys: &Keys,
    owner: Option<Owner>,
    outcome: &mut Outcome,
) -> Result<(), FileError> {
    let home = keys
        .gnupg_home
        .clone()
        .unwrap_or_else(|| users.coder.home.join(".gnupg"));
    let at = paths.at(&home);
    let at = fs::canonicalize(&at).unwrap_or(at);
    if !at.exists() {
        super::files::make_dir(&at, owner, 0o700)?;
    }
    let (shown, file) = (home.join("S.gpg-agent"), at.join("S.gpg-agent"));
    // A socket that an agent left behind is in the way, and nobody listens on it.
    let dir = Dir::open(&at).map_err(failed("open", &home))?;
    let name = c_name(&file)?;
    if dir
        .entry(&name)
        .is_ok_and(|entry| entry.kind() == FileType::Socket)
    {
        let removed = rustix::fs::unlinkat(&dir, &name, AtFlags::empty());
        removed.map_err(failed("remove", &shown))?;
    }
    let text = format!("%Assuan%\nsocket={}\n", paths.gpg_agent().display());
    if write_file(&file, text.as_bytes(), owner, 0o600)? {
        outcome.changed(&shown, "leads to the mounted agent");
    }
    Ok(())
}

impl Relay {
    /// Serves connections for ever. `say` is told when the mounted agent is lost and found.
    pub async fn serve(self, say: impl Fn(Notice) + 'static) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let health = Rc::new(Health {
            lost: std::cell::Cell::new(false),
            say,
        });
        let tasks = tokio::task::LocalSet::new();
        let accepting = async {
            loop {
                // Closed never; should it be, there is nothing left to serve.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let Ok((client, _)) = self.listener.accept().await else {
                    sleep(BREATH).await;
                    continue;
                };
                let (health, upstream) = (Rc::clone(&health), self.upstream.clone());
                tasks.spawn_local(async move {
                    health.connection(client, &upstream).await;
                    drop(place);
                });
            }
        };
        tasks.run_until(accepting).await;
    }
}

/// Whether the mounted agent could be reached the last time.
struct Health<S> {
    lost: std::cell::Cell<bool>,
    say: S,
}

impl<S: Fn(Notice) + 'static> Health<S> {
    async fn connection(&self, mut client: UnixStream, upstream: &Path) {
        let connected = match timeout(CONNECT, UnixStream::connect(upstream)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match connected {
            Ok(mut agent) => {
                if self.lost.replace(false) {
                    (self.say)(Notice::Back);
                }
                // Whichever side fails, both are closed, which the other side sees.
                let _ =
                    copy_bidirectional_with_sizes(&mut client, &mut agent, BUFFER, BUFFER).await;
            }
            Err(error) => {
                if !self.lost.replace(true) {
                    (self.say)(Notice::Lost(why(upstream, &error)));
                }
            }
        }
    }
}

/// Why an agent cannot be reached, and what helps.
fn why(upstream: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "; if it was started again, its socket is a new file: mount the folder that holds it"
        }
        io::ErrorKind::PermissionDenied => "; root in the box may not use it",
        _ => "",
    };
    format!("{}: {}{hint}", upstream.display(), reason(error))
}
