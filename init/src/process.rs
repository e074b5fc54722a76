//! Starts children, feeds them, reads them, and waits for their end.
//!
//! ```text
//! let output = processes
//!     .run(Command::new("git").args(["config", "--list"]), Run::within(Duration::from_secs(5)))
//!     .await?;
//! ```

mod plumbing;
mod tree;

use std::cell::RefCell;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use self::plumbing::{Plumbing, pipe as new_pipe, receiver};
use crate::capabilities;
use crate::exit::Exit;
use crate::logs::Logs;
pub use crate::reaper::ChildId;
use crate::reaper::Reaper;
use crate::spawn::{Command, Leads, Resource, Sink, Stdin};
use crate::sys::child::{self, Prepared, REPORT, Stage};

/// Where the lines of children go whose sink is [`Sink::Log`].
pub trait LogSink {
    /// The writing end of a pipe whose lines appear in the log under this name.
    ///
    /// # Errors
    /// There is no descriptor left.
    fn open(&self, name: &str) -> io::Result<OwnedFd>;
}

impl LogSink for Logs {
    fn open(&self, name: &str) -> io::Result<OwnedFd> {
        Self::open(self, name)
    }
}

/// The way to start children. Cheap to clone; all clones share the one reaper. Everything
/// here must be called within a `LocalSet`.
#[derive(Clone)]
pub struct Processes {
    reaper: Reaper,
    logs: Rc<dyn LogSink>,
    oom_score: Rc<RefCell<Option<Vec<u8>>>>,
}

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such file in `PATH`.
    #[error("{} is not in PATH", .0.display())]
    NotFound(PathBuf),
    /// A string holds a NUL byte, which no program can be given.
    #[error("{} holds a NUL byte", .0.display())]
    Nul(PathBuf),
    /// No descriptor is left for its pipes.
    #[error("cannot make a pipe for {}", program.display())]
    Pipe {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no process or no memory left.
    #[error("cannot fork for {}", program.display())]
    Fork {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The child could not become what it was to be.
    #[error("{}: cannot {}", program.display(), doing(*stage))]
    Child {
        /// The program.
        program: PathBuf,
        /// What the child attempted.
        stage: Stage,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Lead => "lead a session",
        Stage::Cgroup => "enter its control group",
        Stage::Limit => "set its resource limits",
        Stage::Descriptors => "arrange its descriptors",
        Stage::Capabilities => "give up its capabilities",
        Stage::User => "become its user",
        Stage::Directory => "enter its directory",
        Stage::Execute => "be executed",
    }
}

/// A child that was started.
#[derive(Debug)]
pub struct Child {
    id: ChildId,
    program: PathBuf,
    exit: Option<oneshot::Receiver<Exit>>,
    ended: Option<Exit>,
    report: Option<pipe::Receiver>,
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

impl Child {
    /// What [`Processes::signal`] takes.
    #[must_use]
    pub fn id(&self) -> ChildId {
        self.id
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.id.pid()
    }

    /// The other end of its standard input, if that is [`Stdin::Pipe`].
    pub fn take_stdin(&mut self) -> Option<pipe::Sender> {
        self.stdin.take()
    }

    /// The other end of its standard output, if that is [`Sink::Pipe`].
    pub fn take_stdout(&mut self) -> Option<pipe::Receiver> {
        self.stdout.take()
    }

    /// The other end of its standard error, if that is [`Sink::Pipe`].
    pub fn take_stderr(&mut self) -> Option<pipe::Receiver> {
        self.stderr.take()
    }

    /// Waits until the program runs. Who does not ask learns of a failure by the exit code,
    /// which is 127 or 126.
    ///
    /// # Errors
    /// The child failed on its way; it has ended, or is about to.
    pub async fn executed(&mut self) -> Result<(), SpawnError> {
        let Some(mut report) = self.report.take() else {
            return Ok(());
        };
        let mut bytes = [0; REPORT];
        if report.read_exact(&mut bytes).await.is_err() {
            return Ok(());
        }
        let (stage, source) = child::decode(bytes);
        Err(SpawnError::Child {
            program: self.program.clone(),
            stage,
            source,
        })
    }

    /// Waits until it has ended. May be called again, and dropped on the way.
    pub async fn wait(&mut self) -> Exit {
        if let Some(exit) = &mut self.exit {
            // The reaper drops the other end only when it goes itself.
            let ended = exit.await.unwrap_or(Exit::Signal(libc::SIGKILL));
            self.ended = Some(ended);
            self.exit = None;
        }
        self.ended.unwrap_or(Exit::Signal(libc::SIGKILL))
    }
}

/// How [`Processes::run`] treats a command.
#[derive(Clone, Debug)]
pub struct Run {
    /// Written to the command's standard input, which is then closed.
    pub stdin: Vec<u8>,
    /// The command and everything that it started is killed after this long.
    pub deadline: Duration,
    /// Bytes kept of each captured stream; what comes later is read and thrown away.
    pub capture: usize,
}

impl Run {
    /// No input, at most 64 KiB of output, and this much time.
    #[must_use]
    pub fn within(deadline: Duration) -> Self {
        Self {
            stdin: Vec::new(),
            deadline,
            capture: 64 * 1024,
        }
    }

    /// Writes these bytes to the command.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to its standard output, if that was not sent elsewhere.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, if that was not sent elsewhere.
    pub stderr: Vec<u8>,
    /// Whether one of them was longer than [`Run::capture`].
    pub truncated: bool,
    /// How long it ran.
    pub elapsed: Duration,
}

/// Why a command could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It was still running.
    #[error("{} was still running after {} s and was killed", program.display(), .deadline.as_secs_f32())]
    Deadline {
        /// The program.
        program: PathBuf,
        /// The time that it had.
        deadline: Duration,
    },
}

impl Processes {
    /// Children of this process, with a reaper of their own. There may be only one in a
    /// process: it takes every death.
    #[must_use]
    pub fn new(logs: Rc<dyn LogSink>) -> Self {
        Self {
            reaper: Reaper::default(),
            logs,
            oom_score: Rc::default(),
        }
    }

    /// The reaper, for whoever hears of SIGCHLD.
    #[must_use]
    pub fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// Lets the kernel kill anybody before init when memory runs out. Children go back to
    /// what init was given. Says whether the host allowed it.
    #[must_use]
    pub fn protect_init(&self) -> bool {
        const FILE: &str = "/proc/self/oom_score_adj";
        let Ok(given) = cib_foreign::own::read(FILE) else {
            return false;
        };
        let allowed = std::fs::write(FILE, "-1000").is_ok();
        if allowed {
            *self.oom_score.borrow_mut() = Some(given);
        }
        allowed
    }

    /// Signals a child; nothing happens if it has ended.
    pub fn signal(&self, child: ChildId, signal: i32) {
        let _ = self.reaper.signal(child, signal);
    }

    /// Signals the process group that a child leads; nothing happens if the child has ended.
    pub fn signal_group(&self, child: ChildId, signal: i32) {
        let _ = self.reaper.signal_group(child, signal);
    }

    /// Kills a child with all that is below it, which it has to have adopted
    /// ([`Command::adopts`]), and waits for its end.
    pub async fn end(&self, child: &mut Child) {
        tree::end_below(self, child.id()).await;
        self.signal(child.id(), libc::SIGKILL);
        child.wait().await;
    }

    /// Starts a child. It may still fail on its way to its program: see [`Child::executed`].
    ///
    /// # Errors
    /// There is no such program, or no process or descriptor is left.
    pub fn spawn(&self, command: Command) -> Result<Child, SpawnError> {
        let program = command.program.clone();
        let pipe_error = |source| SpawnError::Pipe {
            program: program.clone(),
            source,
        };
        let mut plumbing = Plumbing::default();
        let ends = plumbing.lay(&command, &*self.logs).map_err(pipe_error)?;
        let prepared = self.prepare(&command, plumbing.fds())?;
        let (report, tell) = new_pipe().map_err(pipe_error)?;
        let report = receiver(report).map_err(pipe_error)?;
        let pid = child::fork(&prepared, &tell).map_err(|source| SpawnError::Fork {
            program: program.clone(),
            source,
        })?;
        // Before anything that yields: the reaper must know the child before it can die.
        let (id, exit) = self.reaper.register(pid);
        // Our copies of the child's descriptors: its pipes end when it closes them.
        drop(command);
        Ok(Child {
            id,
            program,
            exit: Some(exit),
            ended: None,
            report: Some(report),
            stdin: ends.stdin,
            stdout: ends.stdout,
            stderr: ends.stderr,
        })
    }

    /// Runs a command to its end. A stream whose [`Sink`] is `Null` is captured.
    ///
    /// # Errors
    /// The command could not be started, or did not end in time. A command that ended with a
    /// code other than 0 is no error here.
    pub async fn run(&self, mut command: Command, run: Run) -> Result<Output, RunError> {
        let program = command.program.clone();
        let started = Instant::now();
        if matches!(command.stdout, Sink::Null) {
            command.stdout = Sink::Pipe;
        }
        if matches!(command.stderr, Sink::Null) {
            command.stderr = Sink::Pipe;
        }
        if !run.stdin.is_empty() {
            command.stdin = Stdin::Pipe;
        }
        // Whatever it starts can be found below it when it takes too long.
        command.adopts = true;
        let mut child = self.spawn(command)?;
        let mut killer = Killer {
            processes: self,
            child: Some(child.id()),
        };
        let finished = tokio::time::timeout(run.deadline, async {
            child.executed().await?;
            let stdin = child.take_stdin();
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A command that does not read to the end says why by other means.
                    let _ = stdin.write_all(&run.stdin).await;
                }
            };
            let (stdout, stderr) = (child.take_stdout(), child.take_stderr());
            let ((), stdout, stderr, exit) = tokio::join!(
                feed,
                collect(stdout, run.capture),
                collect(stderr, run.capture),
                child.wait()
            );
            Ok::<_, SpawnError>((stdout, stderr, exit))
        })
        .await;
        let Ok(finished) = finished else {
            self.end(&mut child).await;
            killer.child = None;
            return Err(RunError::Deadline {
                program,
                deadline: run.deadline,
            });
        };
        killer.child = None;
        let (stdout, stderr, exit) = finished?;
        Ok(Output {
            exit,
            truncated: stdout.1 || stderr.1,
            stdout: stdout.0,
            stderr: stderr.0,
            elapsed: started.elapsed(),
        })
    }

    fn prepare(&self, command: &Command, fds: Vec<(RawFd, RawFd)>) -> Result<Prepared, SpawnError> {
        let file = command
            .resolve()
            .ok_or_else(|| SpawnError::NotFound(command.program.clone()))?;
        let nul = |_| SpawnError::Nul(command.program.clone());
        let c = |text: &OsStr| CString::new(text.as_bytes()).map_err(nul);
        let argv = std::iter::once(command.program.as_os_str())
            .chain(command.args.iter().map(OsString::as_os_str))
            .map(c)
            .collect::<Result<_, _>>()?;
        let envp = command
            .env
            .iter()
            .map(|(name, value)| {
                let mut entry = name.clone().into_vec();
                entry.push(b'=');
                entry.extend_from_slice(value.as_bytes());
                CString::new(entry).map_err(nul)
            })
            .collect::<Result<_, _>>()?;
        Ok(Prepared {
            program: c(file.as_os_str())?,
            argv,
            envp,
            workdir: c(command.workdir.as_os_str())?,
            fds,
            entrances: command
                .cgroup
                .iter()
                .flat_map(|group| group.entrances())
                .map(|fd| fd.as_raw_fd())
                .collect(),
            ids: command
                .ids
                .as_ref()
                .map(|ids| (ids.uid, ids.gid, ids.groups.clone())),
            rlimits: command
                .rlimits
                .iter()
                .map(|limit| (number(limit.resource), limit.bound))
                .collect(),
            kept: capabilities::kept(
                command.capabilities,
                command.ids.as_ref().map(|ids| ids.uid),
            ),
            no_new_privs: command.no_new_privs,
            session: command.leads == Leads::Session,
            group: command.leads == Leads::Group,
            adopts: command.adopts,
            umask: command.umask,
            oom_score: self.oom_score.borrow().clone(),
        })
    }
}

fn number(resource: Resource) -> u32 {
    match resource {
        Resource::OpenFiles => libc::RLIMIT_NOFILE,
        Resource::Processes => libc::RLIMIT_NPROC,
        Resource::CoreBytes => libc::RLIMIT_CORE,
    }
}

/// Kills a command and its group if the future that waits for it goes away.
struct Killer<'a> {
    processes: &'a Processes,
    child: Option<ChildId>,
}

impl Drop for Killer<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.child {
            self.processes.signal_group(child, libc::SIGKILL);
            self.processes.signal(child, libc::SIGKILL);
        }
    }
}

/// Reads a stream to its end, and keeps the beginning; says whether there was more.
async fn collect(stream: Option<pipe::Receiver>, keep: usize) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let mut truncated = false;
    let Some(mut stream) = stream else {
        return (kept, truncated);
    };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = keep - kept.len();
        kept.extend_from_slice(&buffer[..count.min(room)]);
        truncated |= count > room;
    }
    (kept, truncated)
}
