//! The box: the plan carried out, supervised, and undone.
//!
//! The order is the argument for its safety. Configuration is judged before anything is
//! touched; egress is closed before anything else runs; what belongs to the user runs last.

mod aside;
mod asking;
mod control;
mod ending;
mod handler;
mod health;
mod helped;
mod job;
mod life;
mod listeners;
mod live;
mod panics;
pub mod progress;
mod secrets;
mod setup;
mod trim;

use std::cell::Cell;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use cib_base::errors::chain;
use cib_cgroup::Hierarchy;
use nix::sys::signal::SigSet;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::boot::job::Job;
use crate::boot::life::{Booted, Phase};
use crate::boot::live::Parts;
use crate::boot::progress::Progress;
use crate::claude::{self, Carried, Choice};
use crate::config::{Configuration, DIRECTORY};
use crate::environment::{Environment, Fault, Settings};
use crate::exit;
use crate::logs::Logs;
use crate::plan::StepId;
use crate::process::Processes;
use crate::signals::{self, Signals};
use crate::steps::accounts::Accounts;
use crate::steps::host::HostFacts;
use crate::steps::{Outcome, Paths};
use crate::supervisor::{GivenUp, Supervisor};
use crate::sys::{environ, memory, start};

/// What everybody gets to end when nobody is left to end them in order.
const AFTER_PANIC: Duration = Duration::from_secs(2);
/// Descriptors that the kernel tells of at once. The event loop keeps a place for each.
const EVENTS: usize = 64;
/// How long the log may take to be read to its end when the box is gone.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What this boot starts from: judged, and nothing touched yet.
pub struct Survey {
    /// Everything that was asked for.
    pub configuration: Configuration,
    /// What the container was given.
    pub environment: Environment,
    /// What the engine allows.
    pub facts: HostFacts,
    /// Where everything is.
    pub paths: Paths,
    /// The Claude Code of this box, where its image carries any.
    pub claude: Option<Choice>,
    /// What was done to the files of secrets; nothing before the boot.
    pub closed: Outcome,
}

/// Reads and judges environment, configuration and host, and changes nothing.
///
/// # Errors
/// Every fault at once, then every warning.
pub fn survey() -> Result<Survey, (Vec<Fault>, Vec<Fault>)> {
    survey_of(Environment::of_process())
}

/// The same for another environment.
///
/// # Errors
/// As [`survey`].
pub fn survey_of(environment: Environment) -> Result<Survey, (Vec<Fault>, Vec<Fault>)> {
    match Configuration::load(Path::new(DIRECTORY), &environment) {
        Ok(mut configuration) => {
            let (paths, facts, mut faults, warnings) = judge(&configuration.settings);
            configuration.warnings.extend(warnings);
            let claude = claude(&configuration.settings, &paths).unwrap_or_else(|fault| {
                faults.push(fault);
                None
            });
            if faults.is_empty() {
                Ok(Survey {
                    configuration,
                    environment,
                    facts,
                    paths,
                    claude,
                    closed: Outcome::default(),
                })
            } else {
                Err((faults, configuration.warnings))
            }
        }
        Err(mut refusal) => {
            // The host is judged by what could be understood, so that a missing token and a
            // missing capability do not come in two rounds.
            let (paths, _, faults, warnings) = judge(&refusal.understood);
            refusal.faults.extend(faults);
            refusal.warnings.extend(warnings);
            refusal
                .faults
                .extend(claude(&refusal.understood, &paths).err());
            Err((refusal.faults, refusal.warnings))
        }
    }
}

fn judge(settings: &Settings) -> (Paths, HostFacts, Vec<Fault>, Vec<Fault>) {
    let paths = Paths::of_the_box(settings.container.data_dir.clone());
    let facts = HostFacts::observe(&paths);
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    // Otherwise the users step reports it with its path.
    if let Ok(accounts) = Accounts::read(&paths) {
        faults.extend(facts.judge(settings, &paths, &accounts));
        if let Some(coder) = secrets::coder(&accounts, &settings.container) {
            let (exposed, allowed) =
                crate::steps::secrets::judge(&settings.secrets, &coder, facts.root());
            faults.extend(exposed);
            warnings.extend(allowed);
        }
    }
    (paths, facts, faults, warnings)
}

/// The version of Claude Code that these settings come to on this machine.
///
/// # Errors
/// There is none that would run.
pub fn claude(settings: &Settings, paths: &Paths) -> Result<Option<Choice>, Fault> {
    let asked = settings.sessions.claude_version.as_deref();
    Carried::observe(&paths.at(claude::DIRECTORY))
        .map(|carried| carried.choose(asked, claude::avx()))
        .transpose()
}

/// Prints what [`survey`] found, one line each; the exit code.
#[must_use]
pub fn refuse(faults: &[Fault], warnings: &[Fault]) -> u8 {
    let mut text = String::new();
    for warning in warnings {
        text.push_str(&format!("cib-init: warning: {warning}\n"));
    }
    for fault in faults {
        text.push_str(&format!("cib-init: {fault}\n"));
    }
    text.push_str("cib-init: nothing was started and nothing was changed\n");
    let _ = io::stderr().write_all(text.as_bytes());
    exit::CONFIG
}

/// Boots the box, supervises it until it is to end, and ends it; the exit code.
#[must_use]
pub fn run() -> u8 {
    run_in(Environment::of_process())
}

/// The same with another environment.
#[must_use]
pub fn run_in(environment: Environment) -> u8 {
    let mut survey = match survey_of(environment) {
        Ok(survey) => survey,
        Err((faults, warnings)) => return refuse(&faults, &warnings),
    };
    if let Err(faults) = secrets::close(&mut survey) {
        return refuse(&faults, &survey.configuration.warnings);
    }
    let result = match job::place(&survey.configuration.settings) {
        Ok(result) => result,
        Err(fault) => return refuse(&[fault], &survey.configuration.warnings),
    };
    let surveyed = Duration::from_micros(start::uptime_us());
    environ::scrub(secrets::VARIABLES);
    memory::be_sparing();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(EVENTS)
        .on_thread_park(trim::before_sleep)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "cib-init: cannot start the event loop: {error}"
            );
            return exit::INTERNAL;
        }
    };
    panics::install();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        // Not in this frame, which would hold it twice.
        LocalSet::new().block_on(&runtime, Box::pin(live(survey, surveyed, result)))
    }));
    // A task that panics while it is dropped must not take the rest with it.
    let dropped = catch_unwind(AssertUnwindSafe(move || drop(runtime)));
    match (lived, dropped) {
        (Ok(code), Ok(())) => code,
        _ => {
            // From here on they are taken from the queue.
            let _ = SigSet::all().thread_set_mask();
            crate::descendants::clear(AFTER_PANIC);
            exit::INTERNAL
        }
    }
}

/// Why the box ends.
enum End {
    /// It was asked to.
    Asked,
    /// A step of the boot failed whose failure ends the box with this code.
    Boot(u8),
    /// The task of the container has ended, or was cancelled, which took so long.
    Job { code: u8, took: Duration },
    /// Something inside failed.
    Internal,
}

impl End {
    /// The box's exit code. One that was to do a task and was stopped before has not done it.
    fn code(&self, has_task: bool) -> u8 {
        match self {
            Self::Asked if has_task => crate::job::CANCELLED,
            Self::Asked => exit::OK,
            Self::Boot(code) | Self::Job { code, .. } => *code,
            Self::Internal => exit::INTERNAL,
        }
    }
}

/// The life of the box, and its exit code. The survey took until `surveyed`.
async fn live(survey: Survey, surveyed: Duration, result: Option<OwnedFd>) -> u8 {
    let settings = &survey.configuration.settings;
    let no_colour = survey.environment.get("NO_COLOR").is_some();
    let log = if settings.task.is_some() {
        Logs::aside
    } else {
        Logs::new
    };
    let logs = log(
        settings.container.log_format,
        settings.container.log_level,
        no_colour,
    );
    for secret in secrets::values(settings) {
        logs.mask(&secret);
    }
    logs.begin();
    let processes = Processes::new(Rc::new(logs.clone()));
    let _ = processes.protect_init();
    take_orphans();
    let (asked, mut asks) = mpsc::unbounded_channel();
    tokio::task::spawn_local(trim::whenever_idle());
    match Signals::of(&signals::of_a_box()) {
        Ok(signals) => drop(tokio::task::spawn_local(listen(
            signals,
            processes.clone(),
            asked.clone(),
        ))),
        Err(error) => {
            tracing::error!("cannot listen for signals: {error}");
            logs.flush(LAST_WORDS).await;
            return exit::INTERNAL;
        }
    }
    let progress = Progress::default();
    progress.done(StepId::ReadConfig, surveyed);
    let phase = Rc::new(Cell::new(Phase::Booting));
    let runtime = crate::supervisor::actor::Runtime {
        processes: processes.clone(),
        hierarchy: Hierarchy::detect(Path::new("/sys/fs/cgroup")),
        dir: survey.paths.run.clone(),
        ids: live::look_up(&survey),
    };
    let (supervisor, mut given_up) = Supervisor::new(runtime.clone());
    let parts = Parts {
        bin: own_directory(),
        phase: Rc::clone(&phase),
        progress,
        processes: processes.clone(),
        logs: logs.clone(),
        supervisor: supervisor.clone(),
        runtime,
    };
    let booted = Rc::new(Booted::default());
    let end = tokio::select! {
        biased;
        _ = asks.recv() => End::Asked,
        () = panics::first() => End::Internal,
        // In a place of its own, which goes with it: a box does not hold its boot for ever.
        error = Box::pin(live::boot(&survey, &parts, &booted)) => match error {
            Ok(()) => {
                phase.set(Phase::Up);
                let task = settings.task.as_ref();
                let job = task.map(|task| Job::start(settings, task, &parts, result));
                match job.transpose() {
                    Ok(job) => until_the_end(job, &asked, &mut asks, &mut given_up).await,
                    Err(error) => {
                        tracing::error!(service = crate::job::NAME, "cannot be begun: {error}");
                        End::Internal
                    }
                }
            }
            Err(error) => {
                tracing::error!("{}", chain(&error));
                End::Boot(error.code())
            }
        },
    };
    phase.set(Phase::ShuttingDown);
    let budget = settings.container.shutdown_timeout;
    // Cancelling a task has taken of it.
    let budget = match end {
        End::Job { took, .. } => budget.saturating_sub(took).max(budget / 4),
        _ => budget,
    };
    ending::end(&parts, &booted, budget, &mut asks).await;
    logs.flush(LAST_WORDS).await;
    if panics::happened() {
        return exit::INTERNAL;
    }
    end.code(settings.task.is_some())
}

/// Under another init (`docker run --init`, compose `init: true`) orphans would go there.
fn take_orphans() {
    if std::process::id() == 1 {
        return;
    }
    let line = match nix::sys::prctl::set_child_subreaper(true) {
        Ok(()) => "not PID 1: orphans are taken over as a subreaper",
        Err(_) => "not PID 1, and no subreaper: orphans are not reaped here",
    };
    tracing::info!("{line}");
}

/// Supervises until somebody asks for the end, a task that is the container's job has ended, or a
/// service goes without which there is no box.
async fn until_the_end(
    mut job: Option<Job>,
    asked: &mpsc::UnboundedSender<()>,
    asks: &mut mpsc::UnboundedReceiver<()>,
    given_up: &mut mpsc::UnboundedReceiver<GivenUp>,
) -> End {
    loop {
        let ended = async {
            match &mut job {
                Some(job) => job.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            code = ended => return End::Job { code, took: Duration::ZERO },
            _ = asks.recv() => {
                let Some(job) = &mut job else {
                    return End::Asked;
                };
                let began = Instant::now();
                let (code, hurried) = job.cancel(asks).await;
                if hurried {
                    // Whoever ends the rest hears of it as well.
                    let _ = asked.send(());
                }
                return End::Job { code, took: began.elapsed() };
            }
            () = panics::first() => return End::Internal,
            Some(gone) = given_up.recv() => {
                if gone.essential {
                    tracing::error!("the box cannot go on without `{}`", gone.service);
                    return End::Internal;
                }
            }
        }
    }
}

/// Reaps, and passes on what asks for the end.
async fn listen(mut signals: Signals, processes: Processes, asked: mpsc::UnboundedSender<()>) {
    // Whoever died before anybody listened.
    processes.reaper().drain().await;
    while let Ok(signal) = signals.next().await {
        match signal {
            libc::SIGCHLD => processes.reaper().drain().await,
            _ => drop(asked.send(())),
        }
    }
}

/// Where the other programs of the box are: beside this one.
fn own_directory() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned))
        .unwrap_or_else(|| PathBuf::from("/usr/bin"))
}
