//! Agents of ssh and GnuPG: a socket of coder's own that leads to the one that was mounted.
//!
//! The mounted socket belongs to whoever runs the agent outside, with a mode that keeps others
//! out, and agents refuse a peer with another id. Init is root: it may connect whatever owner
//! and mode the socket has, and agents take root. It does so only where coder cannot have had a
//! hand in what is connected to ([`place`]). Each connection is opened anew by its path, so an
//! agent that was started again is found again.

mod place;
mod relay;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{UnlinkatFlags, unlinkat};
use tokio::net::UnixListener;

use super::files::{Dir, FileError, Kind, Owner, c_name, failed, phrase, reason, write_file};
use super::keys::Keys;
use super::outcome::Outcome;
use super::paths::Paths;
use super::users::Users;
use crate::environment::AgentSettings;
use crate::spawn::Ids;
use place::{Place, PlaceError};

/// A socket that listens, and where it leads. It is served by [`Relay::serve`].
#[derive(Debug)]
pub struct Relay {
    /// The variable that named the mounted socket.
    pub variable: &'static str,
    /// The socket that programs in the box use.
    pub socket: PathBuf,
    listener: UnixListener,
    upstream: Place,
}

/// What there is to say about a relay while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The mounted agent cannot be reached. Said once until it is back.
    Lost(String),
    /// It can be reached again.
    Back,
    /// Somebody was turned away because every place is taken. Said once until one is free.
    Full,
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
        let place = Place {
            path: paths.at(upstream),
            run: paths.at(&paths.run),
            coder: users.switch.then(|| Ids {
                uid: users.coder.uid,
                gid: users.coder.gid,
                groups: users.coder.groups.clone(),
            }),
        };
        if let Err(why) = check(&place) {
            outcome.warn(format!("{variable}: {} {why}", upstream.display()));
        }
        match listen(&paths.at(&socket), owner) {
            Ok(listener) => {
                outcome.changed(&socket, format!("leads to {}", upstream.display()));
                relays.push(Relay {
                    variable,
                    socket,
                    listener,
                    upstream: place,
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

/// Whether somebody can be reached there, as well as that can be told without connecting.
fn check(place: &Place) -> Result<(), String> {
    const REMEDY: &str = "mount the agent's socket, or the folder that holds it";
    place.look().map_err(|error| match error {
        PlaceError::NotASocket => format!("is no socket; {REMEDY}"),
        PlaceError::Kernel(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("is not there yet; {REMEDY}")
        }
        PlaceError::Kernel(error) => format!("cannot be used: {}", reason(&error)),
        refused @ (PlaceError::Link(_) | PlaceError::OfTheBox) => {
            format!("cannot be used: {refused}")
        }
    })
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
    // A link of ours leads to a copy; one that coder made leads wherever it likes.
    let at = match fs::read_link(paths.at(&home)) {
        Ok(target) if super::keys::is_copy(paths, &target) => paths.at(target),
        _ => paths.at(&home),
    };
    if at.symlink_metadata().is_err() {
        super::files::make_dir(&at, owner, 0o700)?;
    }
    let (shown, file) = (home.join("S.gpg-agent"), at.join("S.gpg-agent"));
    // A socket that an agent left behind is in the way, and nobody listens on it.
    let dir = Dir::open(&at).map_err(failed("open", &home))?;
    let name = c_name(&file)?;
    if dir
        .entry(&name)
        .is_ok_and(|entry| entry.kind() == Kind::Socket)
    {
        let removed = unlinkat(&dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        removed.map_err(failed("remove", &shown))?;
    }
    let text = format!("%Assuan%\nsocket={}\n", paths.gpg_agent().display());
    if write_file(&file, text.as_bytes(), owner, 0o600)? {
        outcome.changed(&shown, "leads to the mounted agent");
    }
    Ok(())
}
