//! Keepers: started when control asks, tidied up after when they die.
//!
//! A keeper is no service: it is never started again, because only the user knows whether a
//! conversation should go on. What init owes it is a directory, its spec, a control group,
//! and an end that shows in the journal even if the keeper itself was killed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use cib_protocol::init::InitFault;
use cib_protocol::session::{SessionId, SessionMeta, SessionSpec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::cgroup::{Bounds, Cgroup, Hierarchy};
use crate::exit::Exit;
use crate::logs::{Level, Logs};
use crate::process::{Child, ChildId, Processes, Run, SpawnError};
use crate::session::directory::{Directories, DirectoryError};
use crate::session::login::Login;
use crate::spawn::{Command, Ids, Sink, Stdin};

pub mod directory;
mod login;

/// The descriptor on which a keeper says that it is ready.
const READY_FD: i32 = 3;
/// A keeper that says nothing for this long has failed. It opens a journal and a socket; it
/// does not wait for Claude.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// `finish` reads one journal's end and writes two frames.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Exit code of a keeper whose session is locked by another one (`docs/design/interfaces.md`).
const LOCKED: Exit = Exit::Code(75);
/// Exit code of a keeper that was given a wrong spec.
const BAD_SPEC: Exit = Exit::Code(crate::exit::CONFIG);

/// What keepers are started with.
#[derive(Clone, Debug)]
pub struct KeeperSettings {
    /// `cib-session`.
    pub program: PathBuf,
    /// Options for `run` after those that name the directories.
    pub options: Vec<OsString>,
    /// The user; `None` where everybody is the user that the box was started as.
    pub ids: Option<Ids>,
    /// The complete environment, Claude's credentials included.
    pub environment: Vec<(OsString, OsString)>,
}

/// Why a keeper did not start.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// One of that id runs.
    #[error("session {0} runs already")]
    Exists(SessionId),
    /// Its directories cannot be made.
    #[error("cannot make the session's directories")]
    Directory(#[from] DirectoryError),
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
            Self::Ended(exit) if *exit == LOCKED => InitFault::SessionExists,
            Self::Ended(exit) if *exit == BAD_SPEC => InitFault::BadRequest,
            Self::Ended(_) | Self::TimedOut(_) => InitFault::KeeperFailed,
            Self::Directory(_) | Self::Prepare(_) | Self::Spawn(_) => InitFault::Internal,
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
    logs: Logs,
    live: RefCell<BTreeMap<SessionId, Keeper>>,
    login: Login,
    /// Rung whenever a keeper is gone, its record closed.
    gone: Notify,
}

struct Keeper {
    /// `None` while it is being started.
    child: Option<ChildId>,
    group: Option<Rc<Cgroup>>,
}

impl Keepers {
    /// Keepers with these settings; none is started.
    #[must_use]
    pub fn new(
        settings: KeeperSettings,
        directories: Directories,
        hierarchy: Hierarchy,
        processes: Processes,
        logs: Logs,
    ) -> Self {
        Self(Rc::new(Inner {
            settings,
            directories,
            hierarchy,
            processes,
            logs,
            live: RefCell::default(),
            login: Login::default(),
            gone: Notify::new(),
        }))
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
            live.insert(
                id,
                Keeper {
                    child: None,
                    group: None,
                },
            );
        }
        let started = self.launch(spec).await;
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
        let group_killed = kill && keeper.group.as_ref().is_some_and(|group| group.kill());
        if let Some(child) = keeper.child.filter(|_| !group_killed) {
            self.0
                .processes
                .signal(child, if kill { Signal::KILL } else { Signal::TERM });
        }
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
                self.0.logs.write(
                    Level::Warn,
                    "session",
                    &format!(
                        "{id} did not end within {} s and is killed",
                        budget.as_secs_f32()
                    ),
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

    /// Closes the record of every session that was live when the box last ended; how many.
    pub async fn finish_left_behind(&self) -> usize {
        let mut finished = 0;
        for id in self.0.directories.sessions() {
            let dir = self.0.directories.session(id);
            if read_meta(&dir).is_some_and(|meta| meta.state.is_live()) {
                self.finish(id).await;
                finished += 1;
            }
        }
        finished
    }

    async fn launch(&self, spec: &SessionSpec) -> Result<u32, KeeperError> {
        let id = spec.id;
        self.0.directories.make(id)?;
        let group = self.group(spec);
        let (ready, tell) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|e| KeeperError::Prepare(e.into()))?;
        rustix::io::ioctl_fionbio(&ready, true).map_err(|e| KeeperError::Prepare(e.into()))?;
        let mut ready = pipe::Receiver::from_owned_fd(ready).map_err(KeeperError::Prepare)?;
        let mut command = self.command("run", id);
        command.args.extend([
            OsString::from("--runtime"),
            self.0.directories.runtime(id).into(),
            OsString::from("--ready-fd"),
            READY_FD.to_string().into(),
        ]);
        for dir in group.iter().flat_map(|group| group.dirs()) {
            command
                .args
                .extend([OsString::from("--cgroup"), dir.into()]);
        }
        command.args.extend(self.0.settings.options.iter().cloned());
        command.stdin = Stdin::Pipe;
        command.fds = vec![(READY_FD, Rc::new(tell))];
        command.cgroup = group.clone();
        let mut child = self.0.processes.spawn(command)?;
        let started = child.id();
        if let Some(keeper) = self.0.live.borrow_mut().get_mut(&id) {
            *keeper = Keeper {
                child: Some(started),
                group,
            };
        }
        if let Err(error) = self.greet(&mut child, &mut ready, spec).await {
            self.0.processes.signal(started, Signal::KILL);
            let _ = child.wait().await;
            return Err(error);
        }
        let keepers = self.clone();
        tokio::task::spawn_local(async move { keepers.attend(id, child).await });
        Ok(started.pid())
    }

    /// Hands over the spec and waits for the newline.
    async fn greet(
        &self,
        child: &mut Child,
        ready: &mut pipe::Receiver,
        spec: &SessionSpec,
    ) -> Result<(), KeeperError> {
        let text = serde_json::to_vec(spec).map_err(|e| KeeperError::Prepare(e.into()))?;
        let stdin = child.take_stdin();
        let hand_over = async {
            if let Some(mut stdin) = stdin {
                // A keeper that does not want its spec says why in its log and by its exit.
                let _ = stdin.write_all(&text).await;
            }
            let mut newline = [0; 1];
            ready.read(&mut newline).await.unwrap_or(0) == 1
        };
        match timeout(READY_TIMEOUT, hand_over).await {
            Ok(true) => Ok(()),
            Ok(false) => match timeout(READY_TIMEOUT, child.wait()).await {
                Ok(exit) => Err(KeeperError::Ended(exit)),
                Err(_) => Err(KeeperError::TimedOut(READY_TIMEOUT)),
            },
            Err(_) => Err(KeeperError::TimedOut(READY_TIMEOUT)),
        }
    }

    /// Waits for a keeper's end and closes its record if it could not do so itself.
    async fn attend(&self, id: SessionId, mut child: Child) {
        let exit = child.wait().await;
        if !exit.success() {
            self.0.logs.write(
                Level::Warn,
                "session",
                &format!("keeper of {id} ended: {exit}"),
            );
        }
        let unfinished =
            read_meta(&self.0.directories.session(id)).is_none_or(|meta| meta.state.is_live());
        if unfinished {
            self.finish(id).await;
        }
        self.forget(id);
    }

    fn forget(&self, id: SessionId) {
        self.0.live.borrow_mut().remove(&id);
        self.0.gone.notify_waiters();
    }

    async fn finish(&self, id: SessionId) {
        let mut command = self.command("finish", id);
        command
            .args
            .extend(["--state", "interrupted"].map(OsString::from));
        let outcome = self
            .0
            .processes
            .run(command, Run::within(FINISH_TIMEOUT))
            .await;
        let fault = match outcome {
            Ok(output) if output.exit.success() => return,
            Ok(output) => output.exit.to_string(),
            Err(error) => error.to_string(),
        };
        let line = format!("the record of {id} could not be closed: {fault}");
        self.0.logs.write(Level::Error, "session", &line);
    }

    fn command(&self, verb: &str, id: SessionId) -> Command {
        let settings = &self.0.settings;
        let mut command = Command::new(&settings.program)
            .args([OsString::from(verb), OsString::from("--dir")])
            .arg(self.0.directories.session(id))
            .env(settings.environment.iter().cloned())
            .workdir("/");
        command.ids.clone_from(&settings.ids);
        // Its frames go to its journal; only what it has to say about itself comes here.
        command.stdout = Sink::Log("session".to_owned());
        command.stderr = Sink::Log("session".to_owned());
        command
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
        let line = format!(
            "limits of {} are kept by its keeper and not by the kernel: {fault}",
            spec.id
        );
        self.0.logs.write(Level::Warn, "session", &line);
        None
    }
}

/// Cores to thousandths of one, within what a control group can express.
fn milli(cpus: f64) -> u64 {
    // A float cast saturates, and NaN becomes 0, which the next step lifts to the least.
    ((cpus * 1000.0) as u64).max(10)
}

fn read_meta(dir: &Path) -> Option<SessionMeta> {
    serde_json::from_slice(&std::fs::read(dir.join("meta.json")).ok()?).ok()
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
