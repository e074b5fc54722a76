//! The CLI's own commands for logins, with their output and their end in one place to wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::claude::command::{CREDENTIALS, DEFAULTS, find};
use crate::claude::{self, LastLines, Outgoing, Process, ReadOutcome, nonblocking};
use crate::sys::{self, Terminal};

/// Bytes of output that are kept; the CLI says a few lines.
const OUTPUT: usize = 64 * 1024;

/// How long a process that was told to end may take.
const GRACE: Duration = Duration::from_secs(3);

/// The CLI.
#[derive(Clone, Debug)]
pub(super) struct Cli {
    program: PathBuf,
}

/// What a process has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It said something on its standard output.
    Said(Vec<u8>),
    /// It has ended, with this code.
    Ended(i32),
    /// Somebody wants something.
    Woken,
    /// Nothing happened until the deadline.
    Late,
}

/// How a command went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) output: String,
    pub(super) complaints: String,
}

impl Cli {
    pub(super) fn new(program: &Path) -> Self {
        let path = std::env::var_os("PATH");
        let found = find(program, path.as_deref());
        Self {
            program: found.unwrap_or_else(|| program.to_owned()),
        }
    }

    /// A command that sees no credential but the stored one.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("auth").args(arguments).current_dir("/");
        for (name, value) in DEFAULTS {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        for name in CREDENTIALS {
            command.env_remove(name);
        }
        // The address with all that it says, whatever the server knows of shorter ones.
        command.env("CLAUDE_CODE_FULL_SIGN_IN_LINK", "1");
        // Nobody sits in front of the box.
        command.env("BROWSER", "true");
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str], within: Duration) -> io::Result<Outcome> {
        let mut running = Running::start(&mut self.command(arguments))?;
        running.process.stdin.close();
        let mut output = Vec::new();
        let deadline = Instant::now() + within;
        loop {
            match running.step(None, deadline)? {
                Event::Said(bytes) => {
                    let room = OUTPUT.saturating_sub(output.len());
                    output.extend(bytes.iter().take(room));
                }
                Event::Ended(code) => {
                    return Ok(Outcome {
                        code,
                        output: String::from_utf8_lossy(&output).into_owned(),
                        complaints: running.complaints(),
                    });
                }
                Event::Woken => {}
                Event::Late => {
                    running.end();
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }
}

/// A process of the CLI. It is told to end when the thread that started it does.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    pid: Pid,
    exit: OwnedFd,
    buffer: Vec<u8>,
    code: Option<i32>,
}

impl Running {
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = sys::spawn(command, Signal::SIGTERM, Terminal::No)?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let exit = cib_base::sys::pidfd_open(pid)?;
        let stdin = child.stdin.take().map(|pipe| nonblocking(pipe.into()));
        let stdout = child.stdout.take().map(|pipe| nonblocking(pipe.into()));
        let stderr = child.stderr.take().map(|pipe| nonblocking(pipe.into()));
        let process = Process {
            pid: pid.as_raw(),
            stdin: Outgoing::new(stdin.transpose()?),
            stdout: stdout.transpose()?,
            stderr: stderr.transpose()?,
            complaints: LastLines::default(),
        };
        Ok(Self {
            process,
            pid,
            exit,
            buffer: vec![0; 4096],
            code: None,
        })
    }

    /// Waits for what comes next. What was said before an end comes before it.
    pub(super) fn step(
        &mut self,
        wake: Option<BorrowedFd<'_>>,
        deadline: Instant,
    ) -> io::Result<Event> {
        loop {
            self.process.read_complaints(&mut self.buffer);
            if let Some(output) = &mut self.process.stdout {
                match claude::read(output, &mut self.buffer) {
                    ReadOutcome::Bytes(count) => {
                        return Ok(Event::Said(self.buffer[..count].to_vec()));
                    }
                    ReadOutcome::Nothing => {}
                    ReadOutcome::End => self.process.stdout = None,
                }
            }
            if let Some(code) = self.code {
                return Ok(Event::Ended(code));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Event::Late);
            }
            match self.wait(wake, left)? {
                // What it said last is read before its end is told.
                Some(Event::Ended(code)) => self.code = Some(code),
                Some(step) => return Ok(step),
                None => {}
            }
        }
    }

    fn wait(&self, wake: Option<BorrowedFd<'_>>, left: Duration) -> io::Result<Option<Event>> {
        let mut fds = vec![PollFd::new(self.exit.as_fd(), PollFlags::POLLIN)];
        let pipes = [&self.process.stdout, &self.process.stderr];
        for pipe in pipes.into_iter().flatten() {
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        if let Some(pipe) = self.process.stdin.wants_to_write() {
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        }
        let others = fds.len();
        fds.extend(wake.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, left) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds.get(others).and_then(PollFd::any) == Some(true) {
            return Ok(Some(Event::Woken));
        }
        if fds[0].any() != Some(true) {
            return Ok(None);
        }
        let code = match waitpid(self.pid, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => Some(code),
            WaitStatus::Signaled(_, signal, _) => Some(128 + signal as i32),
            _ => None,
        };
        Ok(code.map(Event::Ended))
    }

    /// Tells it to end, and sees to it that it does.
    pub(super) fn end(&mut self) {
        if self.code.is_some() {
            return;
        }
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + GRACE;
        loop {
            match self.step(None, deadline) {
                Ok(Event::Said(_) | Event::Woken) => {}
                Ok(Event::Ended(_)) => return,
                Ok(Event::Late) | Err(_) => break,
            }
        }
        self.signal(Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }

    fn signal(&self, signal: Signal) {
        // It may have ended a moment ago.
        let _ = killpg(self.pid, signal);
    }

    /// The last of what it complained about.
    pub(super) fn complaints(&self) -> String {
        self.process.complaints.text().unwrap_or_default()
    }
}
