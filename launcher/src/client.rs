//! The keeper's end.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socketpair};

use crate::sys;
use crate::wire::{Hello, MAX_DATAGRAM, Program, Reply, Request, send};

/// How long the launcher may take to answer. It waits for nothing itself but executions.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a launcher of one's own may take to go when nobody is left.
const GOING: Duration = Duration::from_secs(2);

/// What happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A process that was started has ended.
    Exited {
        /// The process.
        pid: i32,
        /// Its code, or 128+n if signal n ended it.
        code: i32,
    },
    /// The launcher is gone, and nothing can be started any more.
    Gone,
}

/// Why something is not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The kernel refuses it.
    #[error("cannot {what}")]
    Refused {
        /// What could not be done.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It cannot be asked for.
    #[error("cannot ask for it")]
    Ask(#[source] io::Error),
    /// The launcher is gone or does not answer.
    #[error("the launcher of this session's processes does not answer")]
    Gone,
}

impl From<LaunchError> for io::Error {
    fn from(error: LaunchError) -> Self {
        match error {
            // That it is about an execution is clear to whoever wanted one.
            LaunchError::Refused { what, source } if what == sys::STEPS[0] => source,
            LaunchError::Refused { what, source } => {
                Self::new(source.kind(), format!("cannot {what}: {source}"))
            }
            LaunchError::Ask(source) => source,
            LaunchError::Gone => Self::new(io::ErrorKind::BrokenPipe, error.to_string()),
        }
    }
}

/// A process that was started.
#[derive(Debug)]
pub struct Started {
    /// It, and its group.
    pub pid: i32,
    /// The other end of its terminal, if it was to have one.
    pub terminal: Option<OwnedFd>,
}

/// A launcher that answers. Dropping it ends everything that it started.
#[derive(Debug)]
pub struct Launcher {
    /// `None` once this end is closed.
    socket: Option<OwnedFd>,
    hello: Hello,
    events: VecDeque<Event>,
    is_gone: bool,
    /// It, if this process started it.
    own: Option<Child>,
}

/// A pair of sockets for a keeper and its launcher.
///
/// # Errors
/// The kernel's answer.
pub fn connect() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        flags,
    )?)
}

impl Launcher {
    /// Takes up a launcher that somebody else has started.
    ///
    /// # Errors
    /// If it does not say who it is.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let mut launcher = Self {
            socket: Some(socket),
            hello: Hello { pid: 0, uid: 0 },
            events: VecDeque::new(),
            is_gone: false,
            own: None,
        };
        match launcher.answer() {
            Ok((Reply::Hello(hello), _)) => launcher.hello = hello,
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(error) => return Err(error.into()),
        }
        Ok(launcher)
    }

    /// Starts a launcher that is the user that this process is. `program` becomes one when it
    /// is given `launcher --fd N`.
    ///
    /// # Errors
    /// If it cannot be started or does not say who it is.
    pub fn start_own(program: &Path) -> io::Result<Self> {
        let (ours, theirs) = connect()?;
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&theirs).to_string();
        let child = Command::new(program)
            .args(["launcher", "--fd", &number])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        drop(theirs);
        let mut launcher = Self::adopt(ours)?;
        launcher.own = Some(child);
        Ok(launcher)
    }

    /// Who it is, and for whom it starts things.
    #[must_use]
    pub fn hello(&self) -> Hello {
        self.hello
    }

    /// Starts a program with these descriptors; none if it gets a terminal.
    ///
    /// # Errors
    /// If it cannot be executed, or the launcher does not answer.
    pub fn start(
        &mut self,
        program: &Program,
        stdio: &[BorrowedFd<'_>],
    ) -> Result<Started, LaunchError> {
        let body = program.write().map_err(LaunchError::Ask)?;
        let mut fds = vec![body.as_fd()];
        fds.extend(stdio);
        self.ask(Request::Start, &fds)?;
        match self.answer()? {
            (Reply::Started { pid }, fds) => Ok(Started {
                pid,
                terminal: fds.into_iter().next(),
            }),
            (Reply::Failed { errno, what }, _) => Err(LaunchError::Refused {
                what,
                source: io::Error::from_raw_os_error(errno),
            }),
            _ => Err(LaunchError::Gone),
        }
    }

    /// Signals a process that was started, or it with its group.
    pub fn signal(&mut self, pid: i32, signal: Signal, group: bool) {
        let signal = signal as i32;
        // Without a launcher there is no process either.
        let _ = self.ask(Request::Signal { pid, signal, group }, &[]);
    }

    /// Kills everything that came of what was started. Returns whether nobody is left; it goes
    /// on being tried until then.
    pub fn kill_everything(&mut self, within: Duration) -> bool {
        self.ask(Request::KillAll, &[]).is_ok()
            && matches!(self.answer_within(within), Ok((Reply::Nobody, _)))
    }

    /// Takes what has happened by itself, without waiting.
    pub fn event(&mut self) -> Option<Event> {
        while self.events.is_empty() && !self.is_gone {
            // Of what nobody waits for there is nothing to say.
            self.receive()?;
        }
        self.events.pop_front()
    }

    /// Whether [`Launcher::event`] has something that no descriptor tells.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What becomes readable when something has happened; `None` when nothing can any more.
    #[must_use]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    fn hang_up(&mut self) {
        self.socket = None;
        if !std::mem::replace(&mut self.is_gone, true) {
            self.events.push_back(Event::Gone);
        }
    }

    fn ask(&mut self, request: Request, fds: &[BorrowedFd<'_>]) -> Result<(), LaunchError> {
        let socket = self.socket.as_ref().ok_or(LaunchError::Gone)?;
        send(socket, &request.encode(), fds).map_err(|errno| match errno {
            nix::errno::Errno::EPIPE => LaunchError::Gone,
            errno => LaunchError::Ask(errno.into()),
        })
    }

    fn answer(&mut self) -> Result<(Reply, Vec<OwnedFd>), LaunchError> {
        let answer = self.answer_within(ANSWER);
        if answer.is_err() {
            // An answer that comes later would be taken for another one's.
            self.hang_up();
        }
        answer
    }

    fn answer_within(&mut self, within: Duration) -> Result<(Reply, Vec<OwnedFd>), LaunchError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(answer) = self.receive() {
                match answer {
                    Some(answer) => return Ok(answer),
                    None => continue,
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(fd) = self.as_fd().filter(|_| !left.is_zero()) else {
                return Err(LaunchError::Gone);
            };
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout);
        }
    }

    /// Takes one datagram, if there is one: an answer, or an event, which is kept.
    #[expect(
        clippy::option_option,
        reason = "nothing there, nothing to answer, an answer"
    )]
    fn receive(&mut self) -> Option<Option<(Reply, Vec<OwnedFd>)>> {
        let socket = self.socket.as_ref()?;
        let mut buffer = [0; MAX_DATAGRAM];
        match sys::receive(socket, &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(Some((count, fds))) => match Reply::decode(&buffer[..count]) {
                Some(Reply::Exited { pid, code }) => {
                    self.events.push_back(Event::Exited { pid, code });
                    Some(None)
                }
                Some(reply) => Some(Some((reply, fds))),
                None => Some(None),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Ok(None) | Err(_) => {
                self.hang_up();
                None
            }
        }
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        self.socket = None;
        let Some(mut child) = self.own.take() else {
            return;
        };
        let deadline = Instant::now() + GOING;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            let _ = poll(&mut [], PollTimeout::from(2_u8));
        }
    }
}
