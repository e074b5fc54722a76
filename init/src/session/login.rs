//! The keeper of logins: one for the box, started when control asks for it.
//!
//! It goes by itself when nobody has asked it anything for a while, and is then started anew.

use std::cell::RefCell;
use std::ffi::OsString;
use std::rc::Rc;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{KeeperError, KeeperSettings, READY_FD, READY_TIMEOUT};
use crate::process::{ChildId, Processes};
use crate::session::directory::Directories;
use crate::spawn::{Command, Sink};
use crate::sys::ready;

/// The keeper of logins, if one runs.
#[derive(Debug, Default)]
pub(super) struct Login {
    live: Rc<RefCell<Option<ChildId>>>,
    /// Held while one is being started.
    starting: Mutex<()>,
}

impl Login {
    /// Sees to it that one runs and can be asked.
    pub(super) async fn start(
        &self,
        settings: &KeeperSettings,
        directories: &Directories,
        processes: &Processes,
    ) -> Result<(), KeeperError> {
        let _starting = self.starting.lock().await;
        if self.live.borrow().is_some() {
            return Ok(());
        }
        directories.make_login()?;
        let prepare = |errno: nix::errno::Errno| KeeperError::Prepare(errno.into());
        let (ready, tell) = pipe2(OFlag::O_CLOEXEC).map_err(prepare)?;
        ready::never_waits(&ready).map_err(KeeperError::Prepare)?;
        let mut ready = pipe::Receiver::from_owned_fd(ready).map_err(KeeperError::Prepare)?;
        let mut command = Command::new(&settings.program)
            .args(["login", "--runtime"].map(OsString::from))
            .arg(directories.login())
            .args(["--ready-fd".into(), OsString::from(READY_FD.to_string())])
            .env(settings.environment.iter().cloned())
            .workdir("/");
        // The login is coder's own, wherever keepers are somebody else.
        // It sees none, but says which there are.
        for (name, _) in &settings.credentials {
            command
                .args
                .extend([OsString::from("--credential"), name.clone()]);
        }
        command.ids = settings
            .ids
            .as_ref()
            .map(|_| settings.tenants.coder().clone());
        command.stdout = Sink::Log("session".to_owned());
        command.stderr = Sink::Log("session".to_owned());
        command.fds = vec![(READY_FD, Rc::new(tell))];
        let mut child = processes.spawn(command)?;
        let id = child.id();
        let mut newline = [0; 1];
        match timeout(READY_TIMEOUT, ready.read(&mut newline)).await {
            Ok(Ok(1)) => {}
            Ok(_) => {
                processes.signal(id, libc::SIGKILL);
                return Err(KeeperError::Ended(child.wait().await));
            }
            Err(_) => {
                processes.signal(id, libc::SIGKILL);
                let _ = child.wait().await;
                return Err(KeeperError::TimedOut(READY_TIMEOUT));
            }
        }
        *self.live.borrow_mut() = Some(id);
        let live = Rc::clone(&self.live);
        tokio::task::spawn_local(async move {
            let _ = child.wait().await;
            *live.borrow_mut() = None;
        });
        Ok(())
    }

    /// Ends it, with the login that is on its way.
    pub(super) fn stop(&self, processes: &Processes) {
        if let Some(id) = *self.live.borrow() {
            processes.signal(id, libc::SIGTERM);
        }
    }
}
