//! Ends a session: waits, kills what does not end, and has the record closed.

use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use cib_protocol::session::SessionId;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{FINISH_TIMEOUT, Keeper, Keepers, LAUNCHER_TIMEOUT, REPAIR_TIMEOUT, tree};
use crate::exit::Exit;
use crate::process::{Child, Run};

/// How long a launcher has that nobody wants to wait for.
const HURRIED: Duration = Duration::from_millis(500);
/// How often what a launcher could not end is killed again, and the pause between.
const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

impl Keepers {
    /// Waits for a keeper's end and closes its record if it could not do so itself.
    pub(super) async fn attend(
        &self,
        id: SessionId,
        mut keeper: Child,
        mut launcher: Option<Child>,
        killed: Rc<Notify>,
    ) {
        let exit = self.ended(id, &mut keeper, launcher.as_mut()).await;
        if !exit.success() {
            tracing::warn!(service = "session", "keeper of {id} ended: {exit}");
        }
        self.end_launcher(id, launcher, &killed).await;
        // Who ends with 0 has closed the record.
        if !exit.success() {
            self.finish(id).await;
        }
        self.forget(id);
    }

    /// Waits for the keeper's end. Of a launcher that ends before it, nothing may be left: its
    /// orphans would be nobody's.
    async fn ended(&self, id: SessionId, keeper: &mut Child, launcher: Option<&mut Child>) -> Exit {
        let Some(launcher) = launcher else {
            return keeper.wait().await;
        };
        tokio::select! {
            exit = keeper.wait() => return exit,
            _ = launcher.wait() => {}
        }
        let group = self.0.live.borrow().get(&id).and_then(|k| k.group.clone());
        if let Some(group) = group {
            let _ = group.kill();
        }
        keeper.wait().await
    }

    /// Waits until a launcher has ended everything and itself. One that cannot is killed, and
    /// before it everything that it started: afterwards nobody would know whose it was.
    pub(super) async fn end_launcher(
        &self,
        id: SessionId,
        launcher: Option<Child>,
        killed: &Notify,
    ) {
        let Some(mut launcher) = launcher else {
            return;
        };
        let patience = async {
            tokio::select! {
                () = sleep(LAUNCHER_TIMEOUT) => {}
                () = async { killed.notified().await; sleep(HURRIED).await } => {}
            }
        };
        tokio::select! {
            biased;
            _ = launcher.wait() => return,
            () = patience => {}
        }
        tracing::warn!(
            service = "session",
            "the launcher of {id} did not end and is killed with all it started"
        );
        let group = self.0.live.borrow().get(&id).and_then(|k| k.group.clone());
        if group.is_none_or(|group| !group.kill()) {
            // A stopped launcher starts nothing more.
            self.0.processes.signal(launcher.id(), libc::SIGSTOP);
            for _ in 0..ROUNDS {
                if tree::kill_below(launcher.pid()) == 0 {
                    break;
                }
                sleep(PAUSE).await;
            }
        }
        self.0.processes.signal(launcher.id(), libc::SIGKILL);
        let _ = timeout(LAUNCHER_TIMEOUT, launcher.wait()).await;
    }

    /// Kills everything of a session: its keeper, and what its launcher started. The launcher
    /// finds both gone and goes itself; [`Keepers::attend`] sees to it.
    pub(super) fn kill(&self, keeper: &Keeper) {
        if let Some(child) = keeper.child {
            self.0.processes.signal(child, libc::SIGKILL);
        }
        let group_killed = keeper.group.as_ref().is_some_and(|group| group.kill());
        if let Some(launcher) = keeper.launcher.filter(|_| !group_killed) {
            tree::kill_below(launcher.pid());
        }
        keeper.killed.notify_one();
    }

    /// Closes the record of a session whose keeper died.
    pub(super) async fn finish(&self, id: SessionId) {
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
        tracing::error!(
            service = "session",
            "the record of {id} could not be closed: {fault}"
        );
    }

    /// Has the record of every session closed that was live when the box last ended. Which
    /// those are, the record's own user finds out: nothing in a session's directory is looked
    /// at here.
    pub async fn repair(&self) {
        self.0.repairing.set(true);
        let command = self
            .verb("finish")
            .args(["--all", "--sessions"].map(OsString::from))
            .arg(self.0.directories.sessions());
        let outcome = self
            .0
            .processes
            .run(command, Run::within(REPAIR_TIMEOUT))
            .await;
        self.0.repairing.set(false);
        let fault = match outcome {
            Ok(output) if output.exit.success() => return,
            Ok(output) => output.exit.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(
            service = "session",
            "the records of interrupted sessions could not all be closed: {fault}"
        );
    }
}
