//! The beginning of a session: locks, journal, Claude, socket, in an order in which nothing
//! is touched that belongs to somebody else.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use cib_protocol::frame::{Data, Meta, Status, Stop};
use cib_protocol::session::{Program, SessionMeta, SessionSpec, State};
use cib_protocol::time::Timestamp;
use nix::sys::signal::{SigSet, Signal as Signo};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use uuid::Uuid;

use super::clients::Clients;
use super::launch::{Launch, Launched};
use super::quiet::Quiet;
use super::record::Record;
use super::{Clock, Keeper, READ, shell};
use crate::claude::command::{CommandLine, Conversation, find};
use crate::claude::pty::DEFAULT_SIZE;
use crate::journal::{self, Journal, SyncPolicy};
use crate::ledger::Ledger;
use crate::lock::{Lock, LockError};
use crate::resources::{LOOK_MS, Meter, cpus};
use crate::{log, meta, seed, settings};

/// How a keeper is to work.
#[derive(Debug)]
pub struct Options {
    /// The session's directory: journal, lock.
    pub dir: PathBuf,
    /// Where the socket goes.
    pub runtime: PathBuf,
    /// Told once a client may connect.
    pub ready: Option<OwnedFd>,
    /// When frames have to be on the disk.
    pub sync: SyncPolicy,
    /// Milliseconds from asking Claude to end to killing it.
    pub grace_ms: u64,
    /// Milliseconds in which Claude has to answer after its start.
    pub start_ms: u64,
    /// Bytes kept of one tool's output.
    pub output_cap: usize,
    /// The CLI: a path, or a name on `PATH`.
    pub claude: PathBuf,
    /// The directories of the control group that this process is in; empty if it has none.
    pub cgroup: Vec<PathBuf>,
}

/// Why a session did not begin, or was not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spec asks for something that cannot be.
    #[error("cannot run this session: {0}")]
    Spec(String),
    /// Another keeper has it.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// What is known of the session cannot be read.
    #[error("cannot continue the session")]
    Meta(#[from] meta::LoadError),
    /// Claude cannot be executed.
    #[error("cannot start {}", program.display())]
    Claude {
        /// The CLI.
        program: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen in {}", dir.display())]
    Socket {
        /// The runtime directory.
        dir: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Something else that the kernel refused.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The session ended, and its last frames could not be written.
    #[error("the session ended, but the journal cannot be written; finish it when it can")]
    Unwritten,
}

/// Runs a session to its end.
///
/// # Errors
/// If it cannot begin, or if its last frames cannot be written.
pub fn run(mut spec: SessionSpec, options: Options) -> Result<(), StartError> {
    check(&spec)?;
    if spec.program == Program::Shell {
        return shell::run(&spec, options);
    }
    let signals = prepare()?;
    let _session = Lock::session(&options.dir)?;
    let (mut journal, opened) = Journal::open(&options.dir, spec.id, options.sync)?;
    let earlier = meta::load(&options.dir, &mut journal)?;
    let is_new = earlier.is_none();
    spec.hooks = settings::own_hooks(&options.dir, spec.hooks, is_new).map_err(|source| {
        StartError::System {
            what: "keep the session's hooks",
            source,
        }
    })?;
    let mut now = meta::begin(&spec, earlier, Timestamp::now());
    let conversation = conversation(&spec, is_new);
    now.claude_session = Some(conversation.id());
    now.last_seq = journal.last_seq();
    let clock = Clock::new(now.created_at);
    let patience = Duration::from_millis(options.grace_ms);
    let lock = Lock::conversation(&options.dir, conversation.id(), patience)?;

    seed::seed(&spec);
    let program = find(&options.claude, std::env::var_os("PATH").as_deref());
    let program = program.unwrap_or_else(|| options.claude.clone());
    let mut command = CommandLine::new(program, conversation);
    let told = facts(&spec, now.model.as_deref(), conversation);
    let ledger = Ledger::starting(clock.now_ms(), told.clone());
    let size = spec.size.unwrap_or(DEFAULT_SIZE);
    let (model, cost) = (now.model.clone(), now.usage.cost_usd);
    let meter = Meter::new(options.cgroup.clone(), now.resources);
    if let Some(cpus) = spec.limits.cpus
        && !meter.bounds_cpu()
    {
        cpus::confine(cpus, spec.id);
    }
    let told = opening(told, &now, opened.torn);
    let mut record = Record::new(journal, now);
    record.append(told);
    let clients = Clients::listen(&options.runtime).map_err(|source| StartError::Socket {
        dir: options.runtime.clone(),
        source,
    })?;
    let launch = Launch {
        spec: &spec,
        options: &options,
        command: &mut command,
        model,
        ledger,
        cost,
        size,
    };
    let launched = match launch.start(spec.driver) {
        Ok(launched) => launched,
        Err(source) => {
            record.append(stillborn(&source));
            record.flush(clock.now_ms());
            let program = command.program;
            return Err(StartError::Claude { program, source });
        }
    };
    let Launched {
        claude,
        driver,
        step,
    } = launched;
    let mut keeper = Keeper {
        answer_by: Some(clock.now_ms() + options.start_ms),
        close_by: None,
        leaving: None,
        exit: None,
        buffer: vec![0; READ].into_boxed_slice(),
        options,
        spec,
        record,
        conversation: lock,
        command,
        claude,
        driver,
        clients,
        signals,
        clock,
        quiet: Quiet::new(),
        meter,
        look_at: LOOK_MS,
        measure_at: 0,
        size,
    };
    keeper.begin(step);
    if let Some(prompt) = keeper.spec.prompt.take() {
        let step = keeper.driver.input(prompt, keeper.clock.now_ms());
        keeper.take(step);
    }
    keeper.record.flush(keeper.clock.now_ms());
    say_ready(keeper.options.ready.take());
    if keeper.run() {
        Ok(())
    } else {
        Err(StartError::Unwritten)
    }
}

/// Tells whoever waits for it that a client may connect.
pub(super) fn say_ready(ready: Option<OwnedFd>) {
    if let Some(fd) = ready
        && let Err(error) = File::from(fd).write_all(b"\n")
    {
        log!("nobody hears that the session is ready: {error}");
    }
}

/// Makes this process what a keeper has to be: signals are read, and orphans of its session
/// come here and not to init, so that none outlives the session.
pub(super) fn prepare() -> Result<SignalFd, StartError> {
    let signals = signals().map_err(|source| StartError::System {
        what: "watch signals",
        source,
    })?;
    match rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        // No kernel answers EINVAL here; qemu does where it emulates another platform, and there
        // orphans go to init.
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(signals),
        Err(errno) => Err(StartError::System {
            what: "become the reaper of the session",
            source: errno.into(),
        }),
    }
}

/// What can be known to be wrong before anything is touched.
fn check(spec: &SessionSpec) -> Result<(), StartError> {
    let dir = spec.workdir.display();
    if !spec.workdir.is_absolute() {
        let why = format!("workdir `{dir}` is not an absolute path");
        return Err(StartError::Spec(why));
    }
    if !spec.workdir.is_dir() {
        let why = format!("workdir `{dir}` is no directory of this box; make it first");
        return Err(StartError::Spec(why));
    }
    Ok(())
}

/// Signals become readable instead of interrupting anything.
fn signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signo::SIGTERM, Signo::SIGINT, Signo::SIGHUP, Signo::SIGCHLD] {
        set.add(signal);
    }
    set.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&set, flags)?)
}

/// Which conversation Claude is to run. A session's first one has the session's own id.
fn conversation(spec: &SessionSpec, is_new: bool) -> Conversation {
    let own = if is_new { spec.id } else { Uuid::new_v4() };
    match &spec.resume {
        None => Conversation::New(own),
        Some(resume) if resume.fork => Conversation::Fork {
            from: resume.claude_session,
            to: own,
        },
        Some(resume) => Conversation::Resume(resume.claude_session),
    }
}

/// What is known before Claude says anything.
fn facts(spec: &SessionSpec, model: Option<&str>, conversation: Conversation) -> Meta {
    Meta {
        model: model.map(str::to_owned),
        workdir: Some(spec.workdir.display().to_string()),
        permission_mode: Some(spec.permission_mode.as_str().to_owned()),
        claude_session: Some(conversation.id().to_string()),
        driver: Some(spec.driver),
        ..Meta::default()
    }
}

/// The first frames.
pub(super) fn opening(facts: Meta, now: &SessionMeta, torn: u64) -> Vec<Data> {
    let mut frames = vec![Data::Status(Status {
        state: State::Starting,
        elapsed_ms: 0,
    })];
    if torn > 0 {
        let note =
            format!("the journal's end was torn; {torn} bytes that nobody had seen were cut");
        frames.push(Data::Meta(Meta {
            note: Some(note),
            ..Meta::default()
        }));
    }
    frames.push(Data::Meta(Meta {
        title: now.title.clone(),
        opening: Some(Box::new(cib_journal::fold::opening(now))),
        ..facts
    }));
    frames
}

/// The last frames of a session whose Claude cannot be executed.
fn stillborn(error: &io::Error) -> [Data; 2] {
    [
        Data::Stop(Stop {
            reason: "Claude cannot be started".to_owned(),
            last: true,
            detail: Some(error.to_string()),
            ..Stop::default()
        }),
        Data::Status(Status {
            state: State::Failed,
            elapsed_ms: 0,
        }),
    ]
}
