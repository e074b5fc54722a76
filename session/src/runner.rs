//! The keeper's hands: whatever runs for a session is started, signalled and heard of here,
//! through the session's launcher.

use std::collections::VecDeque;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use cib_launcher::{Event, Launcher, Program};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use crate::claude::{LastLines, Outgoing, Process, ReadOutcome, nonblocking, read};

/// How long an errand may take: a start of this program, or of the CLI under Node.
const ERRAND: Duration = Duration::from_secs(10);

/// The session's launcher, and how it is used.
#[derive(Debug)]
pub struct Runner {
    launcher: Launcher,
    /// The CPUs of everything that is started; empty for all.
    cpus: Vec<u16>,
    /// What happened while an errand was waited for.
    later: VecDeque<Event>,
}

/// What an errand said before it ended.
#[derive(Debug)]
pub struct Said {
    /// Its output.
    pub output: Vec<u8>,
    /// Its exit code.
    pub code: i32,
}

impl Runner {
    /// Takes up the launcher at the other end of a socket; starts one without one, which is the
    /// user that this process is.
    ///
    /// # Errors
    /// If there is none that answers.
    pub fn new(socket: Option<OwnedFd>) -> io::Result<Self> {
        let launcher = match socket {
            Some(socket) => Launcher::adopt(socket)?,
            None => Launcher::start_own(&std::env::current_exe()?)?,
        };
        Ok(Self {
            launcher,
            cpus: Vec::new(),
            later: VecDeque::new(),
        })
    }

    /// The launcher's process, below which everything of the session is.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.launcher.hello().pid
    }

    /// The user that everything is started as.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.launcher.hello().uid
    }

    /// Confines what is started from now on to these CPUs.
    pub fn confine(&mut self, cpus: Vec<u16>) {
        self.cpus = cpus;
    }

    /// Starts a program with three pipes.
    ///
    /// # Errors
    /// If it cannot be executed, or its pipes cannot be made.
    pub fn start(&mut self, command: &Command) -> io::Result<Process> {
        let (stdin, our_in) = pipe2(OFlag::O_CLOEXEC)?;
        let (our_out, stdout) = pipe2(OFlag::O_CLOEXEC)?;
        let (our_err, stderr) = pipe2(OFlag::O_CLOEXEC)?;
        let stdio = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        Ok(Process {
            pid: self.launch(command, None, &stdio)?.0,
            stdin: Outgoing::new(Some(nonblocking(our_in)?)),
            stdout: Some(nonblocking(our_out)?),
            stderr: Some(nonblocking(our_err)?),
            complaints: LastLines::default(),
        })
    }

    /// Starts a program on a new terminal, its controlling one. Closing it tells the program
    /// that nobody is there.
    ///
    /// # Errors
    /// If there is no terminal to be had, or the program cannot be executed.
    pub fn start_on_terminal(
        &mut self,
        command: &Command,
        size: (u16, u16),
    ) -> io::Result<Process> {
        let (pid, terminal) = self.launch(command, Some(size), &[])?;
        let terminal = nonblocking(terminal.ok_or(io::ErrorKind::BrokenPipe)?)?;
        Ok(Process {
            pid,
            stdin: Outgoing::new(Some(terminal.try_clone()?)),
            stdout: Some(terminal),
            stderr: None,
            complaints: LastLines::default(),
        })
    }

    fn launch(
        &mut self,
        command: &Command,
        terminal: Option<(u16, u16)>,
        stdio: &[BorrowedFd<'_>],
    ) -> io::Result<(i32, Option<OwnedFd>)> {
        let mut program = program(command)?;
        program.terminal = terminal;
        program.cpus.clone_from(&self.cpus);
        let started = self.launcher.start(&program, stdio)?;
        Ok((started.pid, started.terminal))
    }

    /// Signals a process that was started, which then ends its own children in order.
    pub fn signal(&mut self, pid: i32, signal: Signal) {
        self.launcher.signal(pid, signal, false);
    }

    /// Signals a process with everything that it started and that stayed in its group.
    pub fn signal_group(&mut self, pid: i32, signal: Signal) {
        self.launcher.signal(pid, signal, true);
    }

    /// Kills everything of the session. Says whether nobody was left in time.
    pub fn kill_everything(&mut self, within: Duration) -> bool {
        self.launcher.kill_everything(within)
    }

    /// What has happened since it was asked last.
    pub fn event(&mut self) -> Option<Event> {
        self.later.pop_front().or_else(|| self.launcher.event())
    }

    /// Whether something has happened that [`Runner::as_fd`] does not tell.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.later.is_empty() || self.launcher.has_events()
    }

    /// What becomes readable when something has happened.
    #[must_use]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.launcher.as_fd()
    }

    /// Runs a program that is told something and says something, to its end. What it says, up
    /// to `most` bytes, is the word of the session's user and of nobody else.
    ///
    /// # Errors
    /// If it cannot be executed, says too much or takes too long; then it is killed.
    pub fn errand(&mut self, command: &Command, told: &[u8], most: usize) -> io::Result<Said> {
        let (stdin, our_in) = pipe2(OFlag::O_CLOEXEC)?;
        let (our_out, stdout) = pipe2(OFlag::O_CLOEXEC)?;
        // Nothing of a session's own log is for that user to write into.
        let nobody = cib_foreign::own::open_as(File::options().write(true), "/dev/null")?;
        let stdio = [stdin.as_fd(), stdout.as_fd(), nobody.as_fd()];
        let (pid, _) = self.launch(command, None, &stdio)?;
        drop((stdin, stdout));
        let mut errand = Errand {
            pid,
            stdin: Some(nonblocking(our_in)?),
            stdout: Some(nonblocking(our_out)?),
            told,
            output: Vec::new(),
            code: None,
        };
        let deadline = Instant::now() + ERRAND;
        let result = self.attend(&mut errand, most, deadline);
        if result.is_err() {
            self.signal_group(pid, Signal::SIGKILL);
        }
        result.map(|code| Said {
            output: errand.output,
            code,
        })
    }

    fn attend(&mut self, errand: &mut Errand<'_>, most: usize, by: Instant) -> io::Result<i32> {
        loop {
            errand.tell();
            errand.hear();
            if errand.output.len() > most {
                return Err(io::Error::other("it says more than can be true"));
            }
            while let Some(event) = self.launcher.event() {
                match event {
                    Event::Exited { pid, code } if pid == errand.pid => errand.code = Some(code),
                    Event::Gone => {
                        self.later.push_back(event);
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                    Event::Exited { .. } => self.later.push_back(event),
                }
            }
            if let Some(code) = errand.code {
                // Whatever it left behind may hold the pipe; it has nothing to say.
                errand.hear();
                return Ok(code);
            }
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            errand.wait(self.as_fd(), left);
        }
    }
}

/// A program that is waited for.
struct Errand<'a> {
    pid: i32,
    stdin: Option<File>,
    stdout: Option<File>,
    /// What it has still to be told.
    told: &'a [u8],
    output: Vec<u8>,
    code: Option<i32>,
}

impl Errand<'_> {
    fn tell(&mut self) {
        while let Some(pipe) = &mut self.stdin {
            match pipe.write(self.told) {
                Ok(count) if count < self.told.len() => self.told = &self.told[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It was told everything, or does not want to know.
                Ok(_) | Err(_) => self.stdin = None,
            }
        }
    }

    fn hear(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(pipe) = &mut self.stdout {
            match read(pipe, &mut buffer) {
                ReadOutcome::Bytes(count) => self.output.extend_from_slice(&buffer[..count]),
                ReadOutcome::Nothing => return,
                ReadOutcome::End => self.stdout = None,
            }
        }
    }

    fn wait(&self, launcher: Option<BorrowedFd<'_>>, left: Duration) {
        let mut fds = Vec::new();
        fds.extend(launcher.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let (stdin, stdout) = (self.stdin.iter(), self.stdout.iter());
        fds.extend(stdin.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLOUT)));
        fds.extend(stdout.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        // An interruption is only another look.
        let _ = poll(
            &mut fds,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        );
    }
}

/// What a launcher needs of a command: this process's environment with the command's changes
/// to it, because that is the environment that init made for the session's processes.
fn program(command: &Command) -> io::Result<Program> {
    let mut variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    for (name, value) in command.get_envs() {
        variables.retain(|(other, _)| other != name);
        variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    let environment = variables
        .iter()
        .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
    let arguments = std::iter::once(command.get_program()).chain(command.get_args());
    let folder = command
        .get_current_dir()
        .map_or(OsStr::new("/"), OsStr::new);
    Ok(Program {
        arguments: arguments
            .map(|argument| text(argument.as_bytes()))
            .collect::<io::Result<_>>()?,
        environment: environment.collect::<io::Result<_>>()?,
        folder: text(folder.as_bytes())?,
        terminal: None,
        cpus: Vec::new(),
    })
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}
