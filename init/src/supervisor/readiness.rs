//! When a service counts as ready.

use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UnixDatagram, UnixStream};
use tokio::time::sleep;

use crate::config::{ListenAddress, Probe, Service};
use crate::process::{Processes, Run};
use crate::spawn::Command;
use crate::supervisor::actor::{Runtime, pauses};
use crate::sys::ready;

/// What ended soon after its start has to run for so long to count as ready, if nothing else is
/// asked of it.
const STEADY: Duration = Duration::from_secs(1);
/// A readiness command that takes longer is killed and asked again.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// What is looked at, prepared before the process starts so that nothing is missed.
pub(super) enum Readying {
    Running,
    /// Running for so long: one that ended soon before is not ready because it was started.
    RunningFor(Duration),
    Newline(pipe::Receiver),
    Notify(NotifySocket),
    /// Somebody listens there: this user, if one is named.
    Listening(ListenAddress, Option<u32>),
    Path(PathBuf),
    Command {
        processes: Processes,
        make: Box<dyn Fn() -> Command>,
    },
}

/// The datagram socket of `sd_notify(3)`; its file goes with it.
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Readying {
    /// Prepares a look, and gives the service's command what it needs for it. `again` says that
    /// the run before ended too soon.
    pub(super) fn prepare(
        service: &Service,
        command: &mut Command,
        runtime: &Runtime,
        again: bool,
    ) -> Result<Self, String> {
        Ok(match &service.readiness.probe {
            Probe::None if again => Self::RunningFor(STEADY.min(service.readiness.timeout / 2)),
            Probe::None => Self::Running,
            Probe::Newline { fd } => {
                let (read, write) = newline_pipe().map_err(|e| e.to_string())?;
                command.fds.push((*fd, Rc::new(write)));
                Self::Newline(read)
            }
            Probe::Notify => {
                let socket = NotifySocket::open(service, command, runtime)
                    .map_err(|e| format!("cannot open its notify socket: {e}"))?;
                command
                    .env
                    .push(("NOTIFY_SOCKET".into(), socket.path.clone().into()));
                Self::Notify(socket)
            }
            Probe::Listening { address } => {
                // Root may become anybody; what runs as somebody else listens as that one.
                let owner = command.ids.as_ref().map(|ids| ids.uid);
                Self::Listening(address.clone(), owner.filter(|uid| *uid != 0))
            }
            Probe::Path(path) => Self::Path(path.clone()),
            Probe::Command(words) => {
                let (program, args) = words
                    .split_first()
                    .ok_or("its readiness command is empty")?;
                let (program, args) = (program.clone(), args.to_vec());
                let (env, ids) = (command.env.clone(), command.ids.clone());
                let workdir = command.workdir.clone();
                let make = move || {
                    let mut look = Command::new(&program).args(args.iter().cloned());
                    look.env.clone_from(&env);
                    look.ids.clone_from(&ids);
                    look.workdir(&workdir)
                };
                Self::Command {
                    processes: runtime.processes.clone(),
                    make: Box::new(make),
                }
            }
        })
    }

    /// Returns once the service is ready. A service that can no longer become ready leaves
    /// this waiting for ever; its end or its time limit ends the wait.
    pub(super) async fn wait(self) {
        match self {
            Self::Running => {}
            Self::RunningFor(length) => sleep(length).await,
            Self::Newline(read) => newline(read).await,
            Self::Notify(socket) => socket.ready().await,
            Self::Listening(address, owner) => {
                for pause in pauses() {
                    if listens(&address, owner).await {
                        return;
                    }
                    sleep(pause).await;
                }
            }
            Self::Path(path) => {
                for pause in pauses() {
                    if path.exists() {
                        return;
                    }
                    sleep(pause).await;
                }
            }
            Self::Command { processes, make } => {
                for pause in pauses() {
                    let run = processes.run(make(), Run::within(COMMAND_TIMEOUT)).await;
                    if run.is_ok_and(|output| output.exit.success()) {
                        return;
                    }
                    sleep(pause).await;
                }
            }
        }
    }
}

impl NotifySocket {
    fn open(service: &Service, command: &Command, runtime: &Runtime) -> io::Result<Self> {
        let dir = runtime.dir.join("notify");
        fs::create_dir_all(&dir)?;
        let path = dir.join(&service.name);
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        if let Some(ids) = &command.ids {
            lchown(&path, Some(ids.uid), Some(ids.gid))?;
        }
        // Connecting takes the right to write, which nobody but the service's user gets.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { socket, path })
    }

    async fn ready(self) {
        let mut message = [0; 4096];
        loop {
            let Ok(size) = self.socket.recv(&mut message).await else {
                return std::future::pending().await;
            };
            if message[..size]
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"READY=1")
            {
                return;
            }
        }
    }
}

fn newline_pipe() -> io::Result<(pipe::Receiver, std::os::fd::OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    ready::never_waits(&read)?;
    Ok((pipe::Receiver::from_owned_fd(read)?, write))
}

async fn newline(mut read: pipe::Receiver) {
    let mut byte = [0; 1];
    while let Ok(1) = read.read(&mut byte).await {
        if byte == *b"\n" {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Whether somebody listens. For IPv4 the kernel's own table is asked, because connecting
/// would look to redsocks like a connection that nobody redirected, and would not tell the
/// service from somebody who took its place while it was down.
pub(super) async fn listens(address: &ListenAddress, owner: Option<u32>) -> bool {
    match address {
        ListenAddress::Unix(path) => UnixStream::connect(path).await.is_ok(),
        ListenAddress::Tcp(SocketAddr::V4(address)) => match cib_redsocks::listener(*address) {
            Ok(Some(uid)) => owner.is_none_or(|owner| owner == uid),
            _ => false,
        },
        ListenAddress::Tcp(address) => TcpStream::connect(reachable(*address)).await.is_ok(),
    }
}

/// An unspecified address is that of every interface; loopback is one of them.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
