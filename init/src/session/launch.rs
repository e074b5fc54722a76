//! Begins a session: starts its keeper and its launcher.
//!
//! The keeper has the record and none of coder's rights; the launcher has coder's processes and
//! nothing of the record. They are joined by a pair of sockets that nobody else has an end of.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use cib_cgroup::Cgroup;
use cib_protocol::session::{SessionId, SessionSpec};
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::tenants::Tenant;
use super::{
    BAD_SPEC, KEEPER_FD, KeeperError, Keepers, LAUNCHER_FD, LOCKED, READY_FD, READY_TIMEOUT,
};
use crate::process::{Child, SpawnError};
use crate::spawn::{Capabilities, Command, Ids, Sink, Stdin};
use crate::sys::ready;

impl Keepers {
    /// Starts both, and waits until the keeper is ready; its process id.
    pub(super) async fn launch(&self, spec: &SessionSpec) -> Result<u32, KeeperError> {
        let id = spec.id;
        self.0.directories.make(id)?;
        let (tenant, spec) = self.tenant(spec).await?;
        let group = self.group(&spec);
        let prepare = |errno: nix::errno::Errno| KeeperError::Prepare(errno.into());
        let (ready, tell) = pipe2(OFlag::O_CLOEXEC).map_err(prepare)?;
        ready::never_waits(&ready).map_err(KeeperError::Prepare)?;
        let mut ready = pipe::Receiver::from_owned_fd(ready).map_err(KeeperError::Prepare)?;
        let mut command = self.run(&spec, &tenant, group.as_deref());
        command.fds = vec![(READY_FD, Rc::new(tell))];
        let mut launcher = None;
        if self.0.settings.ids.is_some() {
            let (ours, theirs) = socketpair(
                AddressFamily::Unix,
                SockType::SeqPacket,
                None,
                SockFlag::SOCK_CLOEXEC,
            )
            .map_err(prepare)?;
            command.args.push("--launcher-fd".into());
            command.args.push(LAUNCHER_FD.to_string().into());
            command.fds.push((LAUNCHER_FD, Rc::new(ours)));
            launcher = Some(self.launcher(id, &tenant, theirs, group.clone())?);
        } else {
            // It starts its processes itself, and is in their midst.
            command.cgroup = group.clone();
        }
        // Without a keeper its launcher finds the other end closed, and goes.
        let mut child = self.0.processes.spawn(command)?;
        let started = child.id();
        let killed = {
            let mut live = self.0.live.borrow_mut();
            let keeper = live.entry(id).or_default();
            keeper.child = Some(started);
            keeper.launcher = launcher.as_ref().map(Child::id);
            keeper.group.clone_from(&group);
            Rc::clone(&keeper.killed)
        };
        if let Err(error) = self.greet(&mut child, &mut ready, &spec).await {
            self.0.processes.signal(started, libc::SIGKILL);
            let _ = child.wait().await;
            self.end_launcher(id, launcher, &killed).await;
            // Who was refused has begun no record.
            if !matches!(error, KeeperError::Ended(exit) if [LOCKED, BAD_SPEC].contains(&exit)) {
                self.finish(id).await;
            }
            return Err(error);
        }
        let keepers = self.clone();
        let attend = async move { keepers.attend(id, child, launcher, killed).await };
        tokio::task::spawn_local(attend);
        Ok(started.pid())
    }

    /// The keeper, without what joins it to others.
    fn run(&self, spec: &SessionSpec, tenant: &Tenant, group: Option<&Cgroup>) -> Command {
        let settings = &self.0.settings;
        let mut command = self.command("run", spec.id);
        let options = [
            ("--runtime", self.0.directories.runtime(spec.id).into()),
            ("--ready-fd", OsString::from(READY_FD.to_string())),
            ("--peer-uid", settings.control.to_string().into()),
        ];
        for (name, value) in options {
            command.args.extend([OsString::from(name), value]);
        }
        for dir in group.iter().flat_map(|group| group.dirs()) {
            command
                .args
                .extend([OsString::from("--cgroup"), dir.into()]);
        }
        command.args.extend(settings.options.iter().cloned());
        command.env = settings.environment.clone();
        tenant.amend(&mut command.env);
        if spec.program.is_claude() {
            command.env.extend(settings.credentials.iter().cloned());
        }
        command.stdin = Stdin::Pipe;
        command
    }

    /// What starts, signals and reaps the session's processes: as root, with the right to
    /// become their user and to signal them, and no other.
    fn launcher(
        &self,
        id: SessionId,
        tenant: &Tenant,
        keeper: OwnedFd,
        group: Option<Rc<Cgroup>>,
    ) -> Result<Child, SpawnError> {
        let settings = &self.0.settings;
        let Ids { uid, gid, groups } = &tenant.ids;
        let mut command = Command::new(&settings.program)
            .arg("launcher")
            .args(["--fd".to_owned(), KEEPER_FD.to_string()])
            // Control knows by it whose the processes below it are.
            .args(["--session".to_owned(), id.to_string()])
            .args(["--uid".to_owned(), uid.to_string()])
            .args(["--gid".to_owned(), gid.to_string()])
            .workdir("/")
            .capabilities(Capabilities::Launch)
            .log("session")
            .ids(Ids {
                uid: 0,
                gid: 0,
                groups: Vec::new(),
            });
        if !groups.is_empty() {
            let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
            command = command.args(["--groups".to_owned(), groups.join(",")]);
        }
        command.fds = vec![(KEEPER_FD, Rc::new(keeper))];
        command.cgroup = group;
        self.0.processes.spawn(command)
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

    /// `cib-session` with a verb on a session's directory, as the record's user. It is given
    /// nothing of the user's: that is for what it has started.
    pub(super) fn command(&self, verb: &str, id: SessionId) -> Command {
        self.verb(verb)
            .args([OsString::from("--dir")])
            .arg(self.0.directories.session(id))
    }

    /// `cib-session` with a verb, as the record's user.
    pub(super) fn verb(&self, verb: &str) -> Command {
        let settings = &self.0.settings;
        let mut command = Command::new(&settings.program)
            .arg(verb)
            .env(settings.plain.iter().cloned())
            .workdir("/");
        command.ids.clone_from(&settings.ids);
        // Its frames go to its journal; only what it has to say about itself comes here.
        command.stdout = Sink::Log("session".to_owned());
        command.stderr = Sink::Log("session".to_owned());
        command
    }
}
