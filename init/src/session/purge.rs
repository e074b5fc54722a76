//! Removes what a session that has ended left on the disk.
//!
//! Init removes nothing but empty directories, out of directories of its own: what is in them is
//! removed by a process of its owner, the record by the keepers' user and a home by the one user
//! that it is for.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use cib_protocol::init::InitFault;
use cib_protocol::purge::{Purged, Removal};
use cib_protocol::session::SessionId;
use tokio::time::timeout;

use super::directory::{self, DirectoryError};
use super::tenants::{HOMES, RANGE, Tenants};
use super::{Keepers, LAUNCHER_TIMEOUT, LOCKED};
use crate::exit::Exit;
use crate::logs::{Level, say};
use crate::process::{Run, RunError};
use crate::spawn::{Command, Ids, Sink};

/// How long the processes of a session that has just ended are waited for.
const ENDING: Duration = LAUNCHER_TIMEOUT.saturating_add(Duration::from_secs(2));
/// A process that removes files ends by itself before this, whatever it finds; before it removes
/// any it may wait for a launcher of an earlier life of the box and look through a journal.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(50);

/// Why a session is not purged.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// There is nothing of it.
    #[error("there is no session {0}")]
    Nothing(SessionId),
    /// It lives, or what it left running does.
    #[error("session {0} runs; end it first")]
    Live(SessionId),
    /// The records that the last end of the box left open are being closed.
    #[error("the records of the box's last life are still being closed; try again later")]
    Repairing,
    /// It is being purged for somebody else, or took too long.
    #[error("session {0} was not purged in time; ask again")]
    Late(SessionId),
    /// The process that removes cannot be had.
    #[error("cannot remove the files of session {id}")]
    Run {
        /// The session.
        id: SessionId,
        /// Why not.
        #[source]
        source: RunError,
    },
    /// The process that removes failed.
    #[error("removing the files of session {id} failed ({exit}); the log says why")]
    Failed {
        /// The session.
        id: SessionId,
        /// How it ended.
        exit: Exit,
    },
    /// Something in the record resists.
    #[error("the record of session {id} cannot be removed: {left}")]
    Resists {
        /// The session.
        id: SessionId,
        /// What, and why.
        left: String,
    },
    /// The empty directory cannot be removed.
    #[error("the record of the session is empty and cannot be removed")]
    Directory(#[from] DirectoryError),
}

impl PurgeError {
    /// The stable code for whoever asked.
    #[must_use]
    pub fn code(&self) -> InitFault {
        match self {
            Self::Nothing(_) => InitFault::NoSuchSession,
            Self::Live(_) => InitFault::SessionExists,
            Self::Repairing => InitFault::NotNow,
            Self::Late(_) => InitFault::PurgeLate,
            Self::Run {
                source: RunError::Deadline { .. },
                ..
            } => InitFault::PurgeLate,
            Self::Run { .. } | Self::Failed { .. } | Self::Resists { .. } | Self::Directory(_) => {
                InitFault::Internal
            }
        }
    }
}

impl Keepers {
    /// Removes everything of a session that has ended: its home, if it has one of its own, then
    /// its record, so that one that is cut off can be asked for again.
    ///
    /// # Errors
    /// A [`PurgeError`]; the session has its record then.
    pub async fn purge(&self, id: SessionId) -> Result<Purged, PurgeError> {
        // Its keeper has said that it ended and is about to go.
        let _ = timeout(ENDING, self.gone(id)).await;
        if self.0.live.borrow().contains_key(&id) {
            return Err(PurgeError::Live(id));
        }
        if self.0.repairing.get() {
            return Err(PurgeError::Repairing);
        }
        if !self.0.purging.borrow_mut().insert(id) {
            return Err(PurgeError::Late(id));
        }
        let _purging = Purging(self, id);
        let directories = &self.0.directories;
        let home = directories.data.join(HOMES).join(id.to_string());
        let owner = tenant_of(&home);
        if !directories.has_record(id) && owner.is_none() {
            return Err(PurgeError::Nothing(id));
        }
        let mut purged = Purged::default();
        if let Some(uid) = owner.filter(|_| self.0.settings.ids.is_some()) {
            let removal = self.remove(id, self.home_remover(&home, uid)).await?;
            if removal.late {
                return Err(PurgeError::Late(id));
            }
            purged.freed = removal.freed;
            let emptied = directory::remove(&home);
            purged.left = removal.left.or_else(|| Some(of(&emptied.err()?)));
        }
        if directories.has_record(id) {
            let mut command = self.command("purge", id);
            command.args.push("--runtime".into());
            command.args.push(directories.runtime(id).into());
            command.stdout = Sink::Pipe;
            let removal = self.remove(id, command).await?;
            if removal.late {
                return Err(PurgeError::Late(id));
            }
            match (directories.remove(id), removal.left) {
                (Ok(()), left) => purged.left = purged.left.or(left),
                (Err(_), Some(left)) => return Err(PurgeError::Resists { id, left }),
                (Err(error), None) => return Err(error.into()),
            }
            purged.freed = purged.freed.saturating_add(removal.freed);
        }
        if let Err(error) = directories.remove_runtime(id) {
            purged.left.get_or_insert_with(|| of(&error));
        }
        self.told(id, &purged);
        Ok(purged)
    }

    fn told(&self, id: SessionId, purged: &Purged) {
        let Purged { freed, left } = purged;
        let mut line = format!("session {id} was purged: {freed} bytes freed");
        let mut level = Level::Info;
        if let Some(left) = left {
            level = Level::Warn;
            line.push_str(&format!("; left: {left}"));
        } else if let Tenants::Separate(separate) = &self.0.settings.tenants
            && let Err(error) = separate.forget(id)
        {
            level = Level::Warn;
            line.push_str(&format!("; its number stays taken: {error}"));
        }
        say(level, "session", &line);
    }

    /// Waits until no keeper of a session is there.
    async fn gone(&self, id: SessionId) {
        loop {
            let changed = self.0.gone.notified();
            if !self.0.live.borrow().contains_key(&id) {
                return;
            }
            changed.await;
        }
    }

    /// What empties a home, with no rights but those of its owner.
    fn home_remover(&self, home: &Path, uid: u32) -> Command {
        let mut command = Command::new(&self.0.settings.program)
            .args(["purge", "--home"].map(OsString::from))
            .arg(home)
            .ids(Ids {
                uid,
                gid: uid,
                groups: Vec::new(),
            });
        command.stdout = Sink::Pipe;
        command.stderr = Sink::Log("session".to_owned());
        command
    }

    /// Has files removed by whoever owns them, and takes that one's word for what it came to.
    async fn remove(&self, id: SessionId, command: Command) -> Result<Removal, PurgeError> {
        let run = Run::within(REMOVE_TIMEOUT);
        let output = self.0.processes.run(command, run).await;
        let output = output.map_err(|source| PurgeError::Run { id, source })?;
        let exit = output.exit;
        if exit == LOCKED {
            return Err(PurgeError::Live(id));
        }
        let failed = PurgeError::Failed { id, exit };
        if !exit.success() {
            return Err(failed);
        }
        let mut removal: Removal = serde_json::from_slice(&output.stdout).map_err(|_| failed)?;
        removal.left = removal.left.map(|left| plain(&left));
        Ok(removal)
    }
}

/// Says that a session is not being removed any more.
struct Purging<'a>(&'a Keepers, SessionId);

impl Drop for Purging<'_> {
    fn drop(&mut self) {
        self.0.0.purging.borrow_mut().remove(&self.1);
    }
}

/// Whose a home is: a directory of a user out of the range that sessions' users have.
fn tenant_of(home: &Path) -> Option<u32> {
    let found = home.symlink_metadata().ok()?;
    (found.is_dir() && RANGE.contains(&found.uid())).then(|| found.uid())
}

/// A name and a reason as somebody else said them, fit for a line of the log.
fn plain(left: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    left.chars().take(300).map(plain).collect()
}

fn of(error: &DirectoryError) -> String {
    format!("{}: {}", error.path.display(), error.source)
}
