//! What each step of the plan does. Which come when, how long they may take and what their
//! failure means is the plan's to say: see [`Progress::carry_out`].

mod coder;
mod serving;
mod way;

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

use cib_base::errors::chain;

use crate::boot::Survey;
use crate::boot::aside::AsideError;
use crate::boot::handler::Running;
use crate::boot::health::Control;
use crate::boot::life::{Booted, Phase};
use crate::boot::progress::{Failed, Overdue, Progress};
use crate::egress::joined::Joined;
use crate::egress::{Egress, EgressError};
use crate::environment::{Auth, ProxyMode, Settings};
use crate::exit;
use crate::logs::{Level, Logs, say};
use crate::plan::{Plan, StepId};
use crate::process::Processes;
use crate::socket::{self, Door, ListenError, Server};
use crate::spawn::Ids;
use crate::steps::accounts::{Account, Accounts};
use crate::steps::child_env::{Additions, ChildEnvironment};
use crate::steps::keys::Keys;
use crate::steps::setup::{self, Job, JobsError, SetupError};
use crate::steps::users::{Users, UsersError};
use crate::steps::{FileError, Outcome};
use crate::supervisor::actor::{LookUpIds, Runtime};
use crate::supervisor::{NoSuchService, Supervisor};

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Overdue(#[from] Overdue),
    /// The plan is wrong: a step came before one whose work it builds on.
    #[error("{0} are not prepared yet")]
    TooEarly(&'static str),
    #[error("it cannot be carried out")]
    Aside(#[from] AsideError),
    #[error("egress does not stand")]
    Egress(#[from] EgressError),
    #[error("the users cannot be prepared")]
    Users(#[from] UsersError),
    #[error("a file cannot be prepared")]
    File(#[from] FileError),
    #[error("a setup command cannot be used")]
    Jobs(#[from] JobsError),
    #[error("a setup command failed")]
    Setup(#[from] SetupError),
    #[error("control cannot be told whom to let in")]
    Auth(#[source] io::Error),
    #[error("port {port} ({variable}) cannot be listened on; is another server there?")]
    Port {
        variable: &'static str,
        port: u16,
        #[source]
        source: io::Error,
    },
    #[error("control cannot be given a socket for its health")]
    Health(#[source] io::Error),
    #[error("control cannot be given a socket for accounts")]
    Accounts(#[source] io::Error),
    #[error("control cannot be given a socket for coder's git")]
    Git(#[source] io::Error),
    #[error("control cannot be given a socket to ask for files")]
    Files(#[source] io::Error),
    #[error(transparent)]
    Service(#[from] NoSuchService),
    #[error("`{0}` did not become ready; its lines above say why")]
    NotReady(String),
}

/// Why the box could not boot.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootError {
    #[error("cannot make {}", path.display())]
    Run {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Step(#[from] Failed<StepError>),
}

impl BootError {
    /// The code that the box exits with.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Run { .. } | Self::Listen(_) => exit::INTERNAL,
            Self::Step(failed) => failed.code,
        }
    }
}

/// What the steps work with.
pub(super) struct Parts {
    /// Where the box's own programs are.
    pub(super) bin: PathBuf,
    pub(super) phase: Rc<Cell<Phase>>,
    pub(super) progress: Progress,
    pub(super) processes: Processes,
    pub(super) logs: Logs,
    pub(super) supervisor: Supervisor,
    pub(super) runtime: Runtime,
}

/// Carries out the plan.
pub(super) async fn boot(
    survey: &Survey,
    parts: &Parts,
    booted: &Rc<Booted>,
) -> Result<(), BootError> {
    let settings = &survey.configuration.settings;
    for warning in &survey.configuration.warnings {
        booted.warn(warning.to_string());
    }
    for change in &survey.closed.changes {
        tracing::info!("{change}");
    }
    for warning in &survey.closed.warnings {
        booted.warn(warning.clone());
    }
    let holds = settings.egress.mode == ProxyMode::Hold;
    if settings.auth == Auth::Disabled && !holds {
        tracing::warn!(
            "CIB_AUTH_DISABLED is set: everybody on the box's loopback is let in; \
                    for local development alone"
        );
    }
    if let Some(choice) = &survey.claude {
        let level = if choice.is_fallback() {
            Level::Warn
        } else {
            Level::Info
        };
        say(level, "init", &choice.to_string());
    }
    let run = &survey.paths.run;
    std::fs::create_dir_all(run).map_err(|source| BootError::Run {
        path: run.clone(),
        source,
    })?;
    // Before the first step, so that a boot that takes long can be looked at.
    let doors = [Door::Own, Door::Everybody];
    let listeners = doors.map(|door| socket::listen(&run.join(door.name()), door));
    let running = Running {
        phase: Rc::clone(&parts.phase),
        progress: parts.progress.clone(),
        supervisor: parts.supervisor.clone(),
        booted: Rc::clone(booted),
        logs: parts.logs.clone(),
        control: Control::at(run.join("control/health.sock")),
    };
    let server = Server::new(running);
    for (door, listener) in doors.into_iter().zip(listeners) {
        tokio::task::spawn_local(Rc::clone(&server).serve(listener?, door));
    }
    let jobs = setup::jobs(&settings.setup, &survey.paths);
    // A script that cannot be read is one that fails.
    let count = jobs.as_ref().map_or(1, |(jobs, _)| jobs.len());
    let plan = Plan::build(&survey.configuration, count);
    let stage = Stage::new(survey, parts, booted, jobs);
    let degraded = |step: StepId, error: &StepError| {
        let line = format!("boot step `{step}` failed: {}", chain(error));
        booted.warn(line);
    };
    let work = async |step| stage.carry_out(step).await;
    parts.progress.carry_out(&plan, work, degraded).await?;
    let took = crate::sys::start::uptime_us() / 1000;
    let what = if holds {
        "the network is held"
    } else {
        "the box is up"
    };
    tracing::info!("{what} after {took} ms");
    Ok(())
}

/// Setup commands, or the script that cannot be read.
type Jobs = Result<(Vec<Job>, Outcome), JobsError>;

/// What the steps hand on to each other.
struct Stage<'a> {
    survey: &'a Survey,
    parts: &'a Parts,
    booted: &'a Booted,
    /// Taken by the step that runs them.
    jobs: Cell<Option<Jobs>>,
    users: OnceCell<Users>,
    keys: OnceCell<Keys>,
    /// Where coder finds its ssh-agent.
    ssh_agent: OnceCell<PathBuf>,
    environment: OnceCell<ChildEnvironment>,
    /// The API's port, held before any program of coder's runs.
    port: OnceCell<Rc<OwnedFd>>,
    tcp_port: OnceCell<Rc<OwnedFd>>,
}

impl<'a> Stage<'a> {
    fn new(survey: &'a Survey, parts: &'a Parts, booted: &'a Booted, jobs: Jobs) -> Self {
        let egress = Egress::new(
            &survey.configuration.settings.egress,
            parts.processes.clone(),
            parts.logs.clone(),
            &survey.paths.run,
        );
        let joined = Joined::new(&survey.configuration.settings.egress);
        match (egress, joined) {
            (Some(egress), _) => drop(booted.egress.set(egress)),
            (None, Some(joined)) => drop(booted.joined.set(joined)),
            (None, None) => {
                tracing::warn!(
                    service = "egress",
                    "CIB_PROXY_URL is not set: the box reaches the network directly"
                );
            }
        }
        Self {
            survey,
            parts,
            booted,
            jobs: Cell::new(Some(jobs)),
            users: OnceCell::new(),
            keys: OnceCell::new(),
            ssh_agent: OnceCell::new(),
            environment: OnceCell::new(),
            port: OnceCell::new(),
            tcp_port: OnceCell::new(),
        }
    }

    async fn carry_out(&self, step: StepId) -> Result<(), StepError> {
        match step {
            // The plan was made from what was read.
            StepId::ReadConfig => Ok(()),
            StepId::CloseEgress => self.close_egress().await,
            StepId::Redirect => self.redirect().await,
            StepId::ProveEgress => self.prove_egress().await,
            StepId::Users => self.prepare_users().await,
            StepId::Keys => self.prepare_keys().await,
            StepId::Git => self.prepare_git().await,
            StepId::Agent => self.relay_agents(),
            StepId::Copy => self.await_copy().await,
            StepId::Setup => self.set_up().await,
            StepId::Journals => self.close_journals(),
            StepId::Control => self.start_control().await,
            StepId::Services => self.start_services().await,
        }
    }

    fn settings(&self) -> &'a Settings {
        &self.survey.configuration.settings
    }

    fn egress(&self) -> Result<&Egress, StepError> {
        let egress = self.booted.egress.get();
        egress.ok_or(StepError::TooEarly("the rules"))
    }

    fn users(&self) -> Result<&Users, StepError> {
        self.users.get().ok_or(StepError::TooEarly("the users"))
    }

    fn keys(&self) -> Result<&Keys, StepError> {
        self.keys.get().ok_or(StepError::TooEarly("the keys"))
    }

    /// What children are given: complete once agents are relayed.
    fn environment(&self) -> Result<&ChildEnvironment, StepError> {
        let settings = self.settings();
        let keys = self.keys()?;
        Ok(self.environment.get_or_init(|| {
            let bridge =
                settings.egress.upstream.is_some() && settings.egress.mode == ProxyMode::Env;
            let additions = Additions {
                ssh_agent: self.ssh_agent.get().cloned(),
                gnupg_home: keys.gnupg_home.clone(),
                bridge_port: bridge.then_some(cib_upstream::connect::CONNECT_PORT),
                claude_version: self
                    .survey
                    .claude
                    .as_ref()
                    .map(|choice| choice.version.clone()),
            };
            let children = ChildEnvironment::new(&self.survey.environment, settings, &additions);
            if !children.unreachable.is_empty() {
                let line = format!(
                    "no program gets {}: with CIB_PROXY_URL the box may not reach the private \
                     addresses in them; list those in CIB_LAN if that is meant, or unset them (an \
                     engine takes them from its own configuration)",
                    children.unreachable.join(", ")
                );
                self.booted.warn(line);
            }
            children
        }))
    }

    /// This program, for what PID 1 has done by another process.
    fn helper(&self) -> PathBuf {
        self.parts.bin.join("cib-init")
    }

    /// Says what a step changed and what is odd.
    fn tell(&self, name: &str, outcome: Outcome) {
        for change in outcome.changes {
            tracing::info!(service = name, "{change}");
        }
        for warning in outcome.warnings {
            tracing::warn!(service = name, "{warning}");
        }
    }
}

/// Turns users into ids for the supervisor. Read anew each time: `PUID` changes them at boot.
pub(super) fn look_up(survey: &Survey) -> Rc<LookUpIds> {
    let paths = survey.paths.clone();
    let switch = survey.facts.root();
    Rc::new(move |user, group| {
        if !switch {
            return Ok(None);
        }
        let accounts = Accounts::read(&paths).map_err(|e| chain(&e))?;
        let account = accounts
            .user(user)
            .ok_or_else(|| format!("there is no user `{user}`"))?;
        let mut ids = ids_of(&account);
        if let Some(group) = group {
            ids.gid = accounts
                .group(group)
                .ok_or_else(|| format!("there is no group `{group}`"))?;
        }
        Ok(Some(ids))
    })
}

pub(super) fn ids(account: &Account, switch: bool) -> Option<Ids> {
    switch.then(|| ids_of(account))
}

fn ids_of(account: &Account) -> Ids {
    Ids {
        uid: account.uid,
        gid: account.gid,
        groups: account.groups.clone(),
    }
}
