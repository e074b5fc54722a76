//! Starts keepers when control asks, and cleans up after those that die.
//!
//! A keeper is no service: it is never started again, because only the user knows whether a
//! conversation should go on. What init owes it is a directory, its spec, a control group,
//! and an end that shows in the journal even if the keeper itself was killed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use cib_cgroup::{Bounds, Cgroup, Hierarchy};
use cib_protocol::init::InitFault;
use cib_protocol::session::{SessionId, SessionSpec};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::exit::Exit;
use crate::process::{ChildId, Processes, SpawnError};
use crate::session::directory::{Directories, DirectoryError};
use crate::session::login::Login;
use crate::session::tenants::{TenantError, Tenants};
use crate::spawn::Ids;

mod ceiling;
pub mod directory;
mod end;
mod launch;
mod login;
mod purge;
pub mod tenants;
mod tree;

/// The descriptor on which a keeper says that it is ready.
const READY_FD: i32 = 3;
/// The descriptor by which a keeper speaks to its launcher.
const LAUNCHER_FD: i32 = 4;
/// The launcher's end of the same.
const KEEPER_FD: i32 = 3;
/// A keeper that says nothing for this long has failed. It opens a journal and a socket; it
/// does not wait for Claude.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// `finish` reads one journal's end and writes two frames.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Closing every record that an earlier end of the box left open. Each has its own time; this
/// is for all of them together.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a session that is being repaired may keep whoever wants to resume it waiting.
const REPAIR_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is tried meanwhile.
const REPAIR_INTERVAL: Duration = Duration::from_millis(200);
/// A launcher whose keeper is gone ends everything that it started, and then itself.
const LAUNCHER_TIMEOUT: Duration = Duration::from_secs(10);

/// Exit code of a keeper whose session is locked by another one (`docs/design/interfaces.md`).
const LOCKED: Exit = Exit::Code(75);
/// Exit code of a keeper that was given a wrong spec.
const BAD_SPEC: Exit = Exit::Code(crate::exit::CONFIG);

/// Variables of a child.
pub type Variables = Vec<(OsString, OsString)>;

/// What keepers are started with.
#[derive(Clone, Debug)]
pub struct KeeperSettings {
    /// `cib-session`.
    pub program: PathBuf,
    /// Options for `run` after those that name the directories.
    pub options: Vec<OsString>,
    /// The keeper's user; `None` where everybody is the user that the box was started as.
    pub ids: Option<Ids>,
    /// Who may speak to a keeper beside init.
    pub control: u32,
    /// Whose processes a keeper has started for it: coder, or a user for each session.
    pub tenants: Tenants,
    /// What a session is given: coder's environment, without Claude's credentials.
    pub environment: Variables,
    /// Claude's credentials, for sessions of Claude and nothing else.
    pub credentials: Variables,
    /// What everything else of a keeper's is given.
    pub plain: Variables,
}

/// Why a keeper did not start.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// One of that id runs.
    #[error("session {0} runs already")]
    Exists(SessionId),
    /// It is being removed, or was.
    #[error("session {0} was purged")]
    Purged(SessionId),
    /// There are as many as this box can have.
    #[error("{0} sessions run, and this box has memory for no more; end one first")]
    TooMany(usize),
    /// There is no memory left for another.
    #[error("there is no memory left for another session; end one first")]
    NoMemory,
    /// Its directories cannot be made.
    #[error("cannot make the session's directories")]
    Directory(#[from] DirectoryError),
    /// It cannot be given a user of its own.
    #[error("cannot give the session a user of its own")]
    Tenant(#[from] TenantError),
    /// A pipe cannot be had.
    #[error("cannot prepare the keeper")]
    Prepare(#[source] io::Error),
    /// The process cannot be had.
    #[error("cannot start the keeper")]
    Spawn(#[from] SpawnError),
    /// It ended before it was ready.
    #[error("the keeper ended before it was ready ({0}); its log says why")]
    Ended(Exit),
    /// It was not ready in time.
    #[error("the keeper was not ready within {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl KeeperError {
    /// The stable code for whoever asked.
    #[must_use]
    pub fn code(&self) -> InitFault {
        match self {
            Self::Exists(_) => InitFault::SessionExists,
            Self::Purged(_) => InitFault::NoSuchSession,
            Self::Ended(exit) if *exit == LOCKED => InitFault::SessionExists,
            Self::Ended(exit) if *exit == BAD_SPEC => InitFault::BadRequest,
            Self::Ended(_) | Self::TimedOut(_) => InitFault::KeeperFailed,
            Self::TooMany(_) | Self::NoMemory => InitFault::TooManySessions,
            Self::Directory(_) | Self::Tenant(_) | Self::Prepare(_) | Self::Spawn(_) => {
                InitFault::Internal
            }
        }
    }
}

/// All keepers. Cheap to clone.
#[derive(Clone)]
pub struct Keepers(Rc<Inner>);

struct Inner {
    settings: KeeperSettings,
    directories: Directories,
    hierarchy: Hierarchy,
    processes: Processes,
    live: RefCell<BTreeMap<SessionId, Keeper>>,
    /// Sessions that are being removed.
    purging: RefCell<BTreeSet<SessionId>>,
    login: Login,
    /// How many may live at once.
    most: usize,
    /// Whether records of an earlier life of the box are being closed.
    repairing: Cell<bool>,
    /// Rung whenever a keeper is gone, its record closed.
    gone: Notify,
}

#[derive(Default)]
struct Keeper {
    /// `None` while it is being started.
    child: Option<ChildId>,
    /// What starts the session's processes for it; `None` where it does so itself.
    launcher: Option<ChildId>,
    group: Option<Rc<Cgroup>>,
    /// Rung when nothing of it may stay for long.
    killed: Rc<Notify>,
}

impl Keepers {
    /// Keepers with these settings; none is started.
    #[must_use]
    pub fn new(
        settings: KeeperSettings,
        directories: Directories,
        hierarchy: Hierarchy,
        processes: Processes,
    ) -> Self {
        Self(Rc::new(Inner {
            settings,
            directories,
            hierarchy,
            processes,
            live: RefCell::default(),
            purging: RefCell::default(),
            login: Login::default(),
            most: ceiling::of_this_box(),
            repairing: Cell::new(false),
            gone: Notify::new(),
        }))
    }

    /// Whether any session has a record, which may have to be closed.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.0.directories.any()
    }

    /// Sessions with a live keeper.
    #[must_use]
    pub fn live(&self) -> Vec<SessionId> {
        self.0.live.borrow().keys().copied().collect()
    }

    /// Starts a keeper and waits until it is ready; its process id.
    ///
    /// # Errors
    /// A [`KeeperError`]; then no keeper of that session is left.
    pub async fn start(&self, spec: &SessionSpec) -> Result<u32, KeeperError> {
        let id = spec.id;
        {
            let mut live = self.0.live.borrow_mut();
            if live.contains_key(&id) {
                return Err(KeeperError::Exists(id));
            }
            // What is resumed under its own id has to be there still.
            let resumed = spec.resume.as_ref().is_some_and(|resume| !resume.fork);
            if self.0.purging.borrow().contains(&id)
                || resumed && !self.0.directories.has_record(id)
            {
                return Err(KeeperError::Purged(id));
            }
            if live.len() >= self.0.most {
                return Err(KeeperError::TooMany(live.len()));
            }
            if ceiling::is_exhausted() {
                return Err(KeeperError::NoMemory);
            }
            live.insert(id, Keeper::default());
        }
        let deadline = Instant::now() + REPAIR_PATIENCE;
        let mut started = self.launch(spec).await;
        // Its record is being closed, which takes a moment; nobody else has it.
        while matches!(started, Err(KeeperError::Ended(LOCKED)))
            && self.0.repairing.get()
            && Instant::now() < deadline
        {
            tokio::time::sleep(REPAIR_INTERVAL).await;
            started = self.launch(spec).await;
        }
        if started.is_err() {
            self.forget(id);
        }
        started
    }

    /// Sees to it that the keeper of logins runs and can be asked.
    ///
    /// # Errors
    /// A [`KeeperError`]; then there is none.
    pub async fn start_login(&self) -> Result<(), KeeperError> {
        let Inner {
            settings,
            directories,
            processes,
            ..
        } = &*self.0;
        self.0.login.start(settings, directories, processes).await
    }

    /// Signals a keeper, or with `kill` ends everything of its session; says whether there
    /// was one.
    #[must_use]
    pub fn signal(&self, id: SessionId, kill: bool) -> bool {
        let live = self.0.live.borrow();
        let Some(keeper) = live.get(&id) else {
            return false;
        };
        if !kill {
            if let Some(child) = keeper.child {
                self.0.processes.signal(child, libc::SIGTERM);
            }
            return true;
        }
        self.kill(keeper);
        true
    }

    /// Ends all sessions in order, and kills what is left after `budget`.
    pub async fn stop(&self, budget: Duration) {
        self.0.login.stop(&self.0.processes);
        for id in self.live() {
            let _ = self.signal(id, false);
        }
        if timeout(budget, self.all_gone()).await.is_err() {
            for id in self.live() {
                tracing::warn!(
                    service = "session",
                    "{id} did not end within {} s and is killed",
                    budget.as_secs_f32()
                );
                let _ = self.signal(id, true);
            }
            let _ = timeout(FINISH_TIMEOUT, self.all_gone()).await;
        }
    }

    async fn all_gone(&self) {
        loop {
            let changed = self.0.gone.notified();
            if self.0.live.borrow().is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn forget(&self, id: SessionId) {
        self.0.live.borrow_mut().remove(&id);
        self.0.gone.notify_waiters();
    }

    /// A control group for the session. Without one it runs all the same, and its keeper looks
    /// after the limits as well as it can; that is worth a line only if there are any.
    fn group(&self, spec: &SessionSpec) -> Option<Rc<Cgroup>> {
        let bounds = Bounds {
            memory: spec.limits.memory,
            cpu_milli: spec.limits.cpus.map(milli),
            tasks: spec.limits.pids,
        };
        let name = format!("session-{}", spec.id);
        let fault = match self.0.hierarchy.create(&name, &bounds) {
            Ok(Some(group)) => return Some(Rc::new(group)),
            Ok(None) if bounds.is_empty() => return None,
            Ok(None) => match &self.0.hierarchy {
                Hierarchy::None { reason } => reason.clone(),
                Hierarchy::V1 { .. } | Hierarchy::V2 { .. } => return None,
            },
            Err(error) => format!("{error}: {}", error.source),
        };
        tracing::warn!(
            service = "session",
            "limits of {} are kept by its keeper and not by the kernel: {fault}",
            spec.id
        );
        None
    }
}

/// Cores to thousandths of one, within what a control group can express.
fn milli(cpus: f64) -> u64 {
    // A float cast saturates, and NaN becomes 0, which the next step lifts to the least.
    ((cpus * 1000.0) as u64).max(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_session_is_told_from_a_failed_one() {
        assert_eq!(KeeperError::Ended(LOCKED).code(), InitFault::SessionExists);
        assert_eq!(KeeperError::Ended(BAD_SPEC).code(), InitFault::BadRequest);
        assert_eq!(
            KeeperError::Ended(Exit::Signal(9)).code(),
            InitFault::KeeperFailed
        );
    }

    #[test]
    fn cores_become_thousandths_and_never_nothing() {
        assert_eq!(milli(1.5), 1500);
        assert_eq!(milli(0.0), 10);
        assert_eq!(milli(f64::NAN), 10);
    }
}
