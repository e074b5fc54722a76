//! The beginning of a session: locks, journal, Claude, socket, in an order in which nothing
//! is touched that belongs to somebody else.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cib_base::signals::Signals;
use cib_protocol::frame::{Data, Meta, Status, Stop};
use cib_protocol::session::{Program, SessionMeta, SessionSpec, State};
use cib_protocol::time::Timestamp;
use uuid::Uuid;

use super::clients::Clients;
use super::driver::Input;
use super::idle::Idle;
use super::launch::{Launch, Launched};
use super::record::Record;
use super::{Clock, Keeper, READ, shell};
use crate::claude::command::{CommandLine, Conversation};
use crate::claude::pty::DEFAULT_SIZE;
use crate::home::{self, Home};
use crate::journal::{self, Journal, SyncPolicy};
use crate::ledger::Ledger;
use crate::lock::{self, Lock, LockError};
use crate::resources::{LOOK_MS, Meter, cpus};
use crate::runner::Runner;
use crate::{meta, settings};

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
    /// The directories of the control group that the session is in; empty if it has none.
    pub cgroup: Vec<PathBuf>,
    /// The socket of the session's launcher; without one the keeper starts its own.
    pub launcher: Option<OwnedFd>,
    /// Users that may speak to the keeper beside root and its own.
    pub peers: Vec<u32>,
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
    /// Claude's user cannot use its own files.
    #[error("{0}")]
    Home(String),
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
pub fn run(mut spec: SessionSpec, mut options: Options) -> Result<(), StartError> {
    check(&spec)?;
    if spec.program == Program::Shell {
        return shell::run(&spec, options);
    }
    let (signals, mut runner) = prepare(&mut options)?;
    let _session = Lock::session(&options.dir)?;
    let visited = spec.resume.as_ref().filter(|resume| !resume.fork);
    let visited = visited.map_or(spec.id, |resume| resume.claude_session);
    let home = visit(&mut runner, &spec, visited)?;
    let (mut journal, opened) = Journal::open(&options.dir, spec.id, options.sync)?;
    let earlier = meta::load(&options.dir, &mut journal)?;
    let is_new = earlier.is_none();
    spec.hooks = settings::own_hooks(&options.dir, spec.hooks, is_new).map_err(|source| {
        StartError::System {
            what: "keep the session's hooks",
            source,
        }
    })?;
    spec.tools = settings::own_tools(&options.dir, spec.tools, is_new).map_err(|source| {
        StartError::System {
            what: "keep the session's rules for tools",
            source,
        }
    })?;
    let mut now = meta::begin(&spec, earlier, Timestamp::now());
    let conversation = conversation(&spec, is_new);
    now.claude_session = Some(conversation.id());
    now.last_seq = journal.last_seq();
    let clock = Clock::new(&now.resources);
    let lock = Lock::conversation(&options.dir, conversation.id(), lock::PATIENCE)?;

    let mut command = CommandLine::new(program(&options.claude), conversation);
    let told = facts(&spec, now.model.as_deref(), conversation);
    let ledger = Ledger::starting(clock.now_ms(), told.clone());
    let size = spec.size.unwrap_or(DEFAULT_SIZE);
    let (model, cost) = (now.model.clone(), now.usage.cost_usd);
    let root = u32::try_from(runner.pid()).unwrap_or(0);
    let meter = Meter::new(root, options.cgroup.clone(), now.resources);
    if let Some(cpus) = spec.limits.cpus
        && !meter.bounds_cpu()
    {
        runner.confine(cpus::within(cpus, spec.id));
    }
    let told = opening(told, &now, opened.torn);
    let record = Record::new(journal, now, clock);
    let (mut record, clients) = open_record(record, told, &home, &options, clock)?;
    let launch = Launch {
        spec: &spec,
        options: &options,
        runner: &mut runner,
        home,
        command: &mut command,
        model,
        ledger,
        cost,
        size,
    };
    let launched = match launch.start(spec.driver) {
        Ok(launched) => launched,
        Err(source) => {
            record.append(stillborn(&source.to_string()));
            record.flush(clock.now_ms());
            let program = command.program;
            return Err(StartError::Claude { program, source });
        }
    };
    let Launched {
        claude,
        driver,
        output,
    } = launched;
    let mut keeper = Keeper {
        answer_by: Some(clock.now_ms() + options.start_ms),
        close_by: None,
        leaving: None,
        waited_for: None,
        exit: None,
        buffer: vec![0; READ].into_boxed_slice(),
        options,
        spec,
        record,
        runner,
        conversation: lock,
        command,
        claude,
        driver,
        clients,
        signals,
        clock,
        idle: Idle::new(),
        meter,
        look_at: LOOK_MS,
        measure_at: 0,
        size,
    };
    keeper.begin(output);
    if let Some(prompt) = keeper.spec.prompt.take() {
        keeper.say_first(prompt);
    }
    keeper.record.flush(keeper.clock.now_ms());
    say_ready(keeper.options.ready.take());
    if keeper.run() {
        Ok(())
    } else {
        Err(StartError::Unwritten)
    }
}

impl Keeper {
    /// Says what the session begins with. What cannot be said is a note.
    fn say_first(&mut self, text: String) {
        let input = Input {
            text,
            id: Uuid::new_v4(),
            is_command: false,
            images: Vec::new(),
        };
        match self.driver.input(input, self.clock.now_ms()) {
            Ok(output) => self.take(output),
            Err(error) => {
                let note = Some(format!("the first message was not sent: {error}"));
                self.record.append([Data::Meta(Meta {
                    note,
                    ..Meta::default()
                })]);
            }
        }
    }
}

/// Tells whoever waits for it that a client may connect.
pub(super) fn say_ready(ready: Option<OwnedFd>) {
    if let Some(fd) = ready
        && let Err(error) = File::from(fd).write_all(b"\n")
    {
        tracing::warn!("nobody hears that the session is ready: {error}");
    }
}

/// Makes this process what a keeper has to be: nobody looks into it, signals are read, and there
/// is a launcher, whose orphans none of the session's processes outlives.
pub(super) fn prepare(options: &mut Options) -> Result<(Signals, Runner), StartError> {
    let system = |what| move |source| StartError::System { what, source };
    let hide = nix::sys::prctl::set_dumpable(false).map_err(io::Error::from);
    hide.map_err(system("keep others from this process's memory"))?;
    let signals = Signals::of(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
    let signals = signals.map_err(system("watch signals"))?;
    let runner = Runner::new(options.launcher.take());
    let runner = runner.map_err(system("have a launcher of the session's processes"))?;
    Ok((signals, runner))
}

/// Lets Claude's user look after its files.
pub(super) fn visit(
    runner: &mut Runner,
    spec: &SessionSpec,
    conversation: Uuid,
) -> Result<Home, StartError> {
    let found = home::visit(runner, spec, &conversation.to_string());
    let mut home = found.map_err(|source| StartError::System {
        what: "look after the files of Claude's user",
        source,
    })?;
    match home.workdir_fault.take() {
        Some(fault) => Err(StartError::Spec(fault)),
        None => Ok(home),
    }
}

/// What was found, as far as somebody should know it.
pub(super) fn notes(home: &Home) -> impl Iterator<Item = Data> {
    /// So many of them, and characters of each.
    const MOST: (usize, usize) = (8, 1000);
    home.notes.iter().take(MOST.0).map(|note| {
        Data::Meta(Meta {
            note: Some(note.chars().take(MOST.1).collect()),
            ..Meta::default()
        })
    })
}

/// The CLI as it is started: a path is one from here, and not from where Claude works.
fn program(claude: &Path) -> PathBuf {
    if claude.components().count() > 1 {
        std::path::absolute(claude).unwrap_or_else(|_| claude.to_owned())
    } else {
        claude.to_owned()
    }
}

/// What can be known to be wrong before anything is touched.
fn check(spec: &SessionSpec) -> Result<(), StartError> {
    let dir = spec.workdir.display();
    if !spec.workdir.is_absolute() {
        let why = format!("workdir `{dir}` is not an absolute path");
        return Err(StartError::Spec(why));
    }
    Ok(())
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

/// Writes the first frames of a run and listens for clients. A session without a home ends here.
pub(super) fn open_record(
    mut record: Record,
    told: Vec<Data>,
    home: &Home,
    options: &Options,
    clock: Clock,
) -> Result<(Record, Clients), StartError> {
    record.append(told);
    record.append(notes(home));
    if let Some(why) = &home.home_fault {
        record.append(stillborn(why));
        record.flush(clock.now_ms());
        return Err(StartError::Home(why.clone()));
    }
    let clients =
        Clients::listen(&options.runtime, &options.peers).map_err(|source| StartError::Socket {
            dir: options.runtime.clone(),
            source,
        })?;
    Ok((record, clients))
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
pub(super) fn stillborn(why: &str) -> [Data; 2] {
    [
        Data::Stop(Stop {
            reason: "Claude cannot be started".to_owned(),
            last: true,
            detail: Some(why.to_owned()),
            ..Stop::default()
        }),
        Data::Status(Status {
            state: State::Failed,
            elapsed_ms: 0,
        }),
    ]
}
