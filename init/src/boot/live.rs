//! What each step of the plan does. Which come when, how long they may take and what their
//! failure means is the plan's to say: see [`Progress::carry_out`].

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

use crate::boot::Ground;
use crate::boot::aside::{AsideError, aside};
use crate::boot::asking::Asking;
use crate::boot::control;
use crate::boot::handler::{Phase, Running};
use crate::boot::health::Control;
use crate::boot::helped::Helped;
use crate::boot::listeners;
use crate::boot::progress::{Failed, Overdue, Progress};
use crate::boot::rest::Stir;
use crate::boot::setup::AsCoder;
use crate::egress::joined::Joined;
use crate::egress::services::{RESOLVER, SOCKETS};
use crate::egress::{Egress, EgressError, Program, Turn};
use crate::environment::{Auth, ProxyMode, SessionUsers, Settings};
use crate::errors::chain;
use crate::exit;
use crate::logs::{Level, Logs};
use crate::plan::{Plan, StepId};
use crate::process::Processes;
use crate::session::directory::Directories;
use crate::session::tenants::{Separate, Tenants};
use crate::session::{self, KeeperSettings, Keepers};
use crate::socket::{self, Door, ListenError, Server};
use crate::spawn::Ids;
use crate::steps::accounts::{Account, Accounts};
use crate::steps::agent::{self, Notice, Relay};
use crate::steps::child_env::{self, Additions, ChildEnvironment};
use crate::steps::git::{self, Taken};
use crate::steps::keys::{self, Keys};
use crate::steps::setup::{self, Job, JobsError, SetupError};
use crate::steps::users::{self, Users, UsersError};
use crate::steps::{FileError, Outcome};
use crate::supervisor::actor::{LookUpIds, Runtime};
use crate::supervisor::{NoSuchService, Supervisor};

/// Name of the redirector's service.
const REDIRECTOR: &str = "redsocks";

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
    #[error("port {port} (CIB_PORT) cannot be listened on; is another server there?")]
    Port {
        port: u16,
        #[source]
        source: io::Error,
    },
    #[error("control cannot be given a socket for its health")]
    Health(#[source] io::Error),
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
    pub(super) stir: Stir,
}

/// What has been brought up so far, for whoever looks at it and whoever takes it down.
#[derive(Default)]
pub(super) struct Booted {
    pub(super) keepers: OnceCell<Keepers>,
    pub(super) egress: OnceCell<Egress>,
    pub(super) joined: OnceCell<Joined>,
    pub(super) warnings: RefCell<Vec<String>>,
}

impl Booted {
    /// Notes what a person has to know, and says it.
    fn warn(&self, logs: &Logs, line: String) {
        logs.write(Level::Warn, "init", &line);
        self.warnings.borrow_mut().push(line);
    }
}

/// Carries out the plan.
pub(super) async fn boot(
    ground: &Ground,
    parts: &Parts,
    booted: &Rc<Booted>,
) -> Result<(), BootError> {
    let settings = &ground.configuration.settings;
    for warning in &ground.configuration.warnings {
        booted.warn(&parts.logs, warning.to_string());
    }
    for change in &ground.closed.changes {
        parts.logs.write(Level::Info, "init", &change.to_string());
    }
    for warning in &ground.closed.warnings {
        booted.warn(&parts.logs, warning.clone());
    }
    let holds = settings.egress.mode == ProxyMode::Hold;
    if settings.auth == Auth::Disabled && !holds {
        let line = "CIB_AUTH_DISABLED is set: everybody on the box's loopback is let in; \
                    for local development alone";
        parts.logs.write(Level::Warn, "init", line);
    }
    if let Some(choice) = &ground.claude {
        let level = if choice.is_fallback() {
            Level::Warn
        } else {
            Level::Info
        };
        parts.logs.write(level, "init", &choice.to_string());
    }
    let run = &ground.paths.run;
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
        stir: parts.stir.clone(),
        control: Control::at(run.join("control/health.sock")),
    };
    let server = Server::new(running);
    for (door, listener) in doors.into_iter().zip(listeners) {
        tokio::task::spawn_local(Rc::clone(&server).serve(listener?, door));
    }
    let jobs = setup::jobs(&settings.setup, &ground.paths);
    // A script that cannot be read is one that fails.
    let count = jobs.as_ref().map_or(1, |(jobs, _)| jobs.len());
    let plan = Plan::build(&ground.configuration, count);
    let stage = Stage::new(ground, parts, booted, jobs);
    let degraded = |step: StepId, error: &StepError| {
        let line = format!("boot step `{step}` failed: {}", chain(error));
        booted.warn(&parts.logs, line);
    };
    let work = async |step| stage.carry_out(step).await;
    parts.progress.carry_out(&plan, work, degraded).await?;
    let took = crate::sys::start::uptime_us() / 1000;
    let what = if holds {
        "the network is held"
    } else {
        "the box is up"
    };
    let line = format!("{what} after {took} ms");
    parts.logs.write(Level::Info, "init", &line);
    parts.stir.stir();
    Ok(())
}

/// Setup commands, or the script that cannot be read.
type Jobs = Result<(Vec<Job>, Outcome), JobsError>;

/// What the steps hand on to each other.
struct Stage<'a> {
    ground: &'a Ground,
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
}

impl<'a> Stage<'a> {
    fn new(ground: &'a Ground, parts: &'a Parts, booted: &'a Booted, jobs: Jobs) -> Self {
        let egress = Egress::new(
            &ground.configuration.settings.egress,
            parts.processes.clone(),
            parts.logs.clone(),
            &ground.paths.run,
        );
        let joined = Joined::new(&ground.configuration.settings.egress);
        match (egress, joined) {
            (Some(egress), _) => drop(booted.egress.set(egress)),
            (None, Some(joined)) => drop(booted.joined.set(joined)),
            (None, None) => {
                let line = "CIB_PROXY_URL is not set: the box reaches the network directly";
                parts.logs.write(Level::Warn, "egress", line);
            }
        }
        Self {
            ground,
            parts,
            booted,
            jobs: Cell::new(Some(jobs)),
            users: OnceCell::new(),
            keys: OnceCell::new(),
            ssh_agent: OnceCell::new(),
            environment: OnceCell::new(),
            port: OnceCell::new(),
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
            StepId::Setup => self.set_up().await,
            StepId::Journals => self.close_journals(),
            StepId::Control => self.start_control().await,
            StepId::Services => self.start_services().await,
        }
    }

    fn settings(&self) -> &'a Settings {
        &self.ground.configuration.settings
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
                bridge_port: bridge.then_some(cib_redsocks::connect::CONNECT_PORT),
                claude_version: self
                    .ground
                    .claude
                    .as_ref()
                    .map(|choice| choice.version.clone()),
            };
            let children = ChildEnvironment::new(&self.ground.environment, settings, &additions);
            if !children.unreachable.is_empty() {
                let line = format!(
                    "no program gets {}: with CIB_PROXY_URL the box may not reach the private \
                     addresses in them; list those in CIB_LAN if that is meant, or unset them (an \
                     engine takes them from its own configuration)",
                    children.unreachable.join(", ")
                );
                self.booted.warn(&self.parts.logs, line);
            }
            children
        }))
    }

    async fn close_egress(&self) -> Result<(), StepError> {
        let warnings = self.egress()?.close().await?;
        self.warn_of_egress(&warnings);
        Ok(())
    }

    async fn redirect(&self) -> Result<(), StepError> {
        let egress = self.egress()?;
        let warnings = egress.open().await?;
        self.warn_of_egress(&warnings);
        for Program { service, sockets } in egress.configure(&self.parts.bin)? {
            let name = service.name.clone();
            let descriptors = (SOCKETS..).zip(sockets).collect();
            self.parts.supervisor.add_lending(service, descriptors);
            // One that is not ready yet is started again for as long as it takes; the rules
            // stand without it.
            if !self.parts.supervisor.start(&name).await? {
                return Err(StepError::NotReady(name));
            }
        }
        Ok(())
    }

    async fn prove_egress(&self) -> Result<(), StepError> {
        if let Some(joined) = self.booted.joined.get() {
            joined.prove().await?;
            let (logs, supervisor) = (self.parts.logs.clone(), self.parts.supervisor.clone());
            tokio::task::spawn_local(end_with(logs, supervisor, joined.clone()));
            return Ok(());
        }
        let egress = self.egress()?;
        let health = egress.prove().await?;
        let stir = self.parts.stir.clone();
        egress.watch(health, gate(self.parts, egress), move || stir.stir());
        Ok(())
    }

    /// Says what the rules cannot do here, once each.
    fn warn_of_egress(&self, warnings: &[String]) {
        for warning in warnings {
            let mut said = self.booted.warnings.borrow_mut();
            if !said.contains(warning) {
                self.parts.logs.write(Level::Warn, "egress", warning);
                said.push(warning.clone());
            }
        }
    }

    async fn prepare_users(&self) -> Result<(), StepError> {
        let (paths, facts) = (self.ground.paths.clone(), self.ground.facts.clone());
        let container = self.settings().container.clone();
        let prepared = aside(move || users::prepare(&paths, &container, &facts));
        let (users, mut outcome) = prepared.await??;
        let helped = Helped {
            processes: &self.parts.processes,
            helper: self.helper(),
            paths: &self.ground.paths,
            users: &users,
        };
        helped.take_over(&mut outcome).await;
        helped.try_places(&mut outcome).await;
        // Whoever looks later finds them too: they hold until the box is started anew.
        for warning in std::mem::take(&mut outcome.warnings) {
            self.booted.warn(&self.parts.logs, warning);
        }
        let _ = self.users.set(users);
        self.tell("init", outcome);
        // Whoever only holds the network serves nothing.
        if self.settings().egress.mode != ProxyMode::Hold {
            self.hold_port()?;
        }
        Ok(())
    }

    /// This program, for what PID 1 has done by another process.
    fn helper(&self) -> PathBuf {
        self.parts.bin.join("cib-init")
    }

    async fn prepare_keys(&self) -> Result<(), StepError> {
        let (paths, users) = (self.ground.paths.clone(), self.users()?.clone());
        let settings = self.settings().keys.clone();
        let prepared = aside(move || keys::prepare(&paths, &settings, &users));
        let (keys, outcome) = prepared.await??;
        let _ = self.keys.set(keys);
        self.tell("init", outcome);
        Ok(())
    }

    async fn prepare_git(&self) -> Result<(), StepError> {
        let (paths, found) = (self.ground.paths.clone(), self.keys()?.clone());
        let (git, keys) = (self.settings().git.clone(), self.settings().keys.clone());
        let prepare =
            move |taken: Taken| aside(move || git::prepare(&paths, &git, &keys, &found, &taken));
        let asking = self.asking()?;
        let (taken, warnings) = asking.ask(self.keys()?).await;
        let outcome = prepare(taken).await??;
        self.tell("init", outcome);
        for warning in warnings {
            self.booted.warn(&self.parts.logs, warning);
        }
        Ok(())
    }

    /// How programs of coder's are asked what they make of coder's own files.
    fn asking(&self) -> Result<Asking, StepError> {
        let users = self.users()?;
        let environment = ChildEnvironment::new(
            &self.ground.environment,
            self.settings(),
            &Additions {
                gnupg_home: self.keys()?.gnupg_home.clone(),
                ..Additions::default()
            },
        );
        Ok(Asking {
            processes: self.parts.processes.clone(),
            ids: ids(&users.coder, users.switch),
            environment: environment.coder(&users.coder).into_iter().collect(),
            home: users.coder.home.clone(),
            forwarded: self.settings().keys.agents.ssh.is_some(),
        })
    }

    fn relay_agents(&self) -> Result<(), StepError> {
        let wanted = &self.settings().keys.agents;
        let (users, keys) = (self.users()?, self.keys()?);
        let (relays, outcome) = agent::open(&self.ground.paths, wanted, users, keys);
        self.parts
            .progress
            .explain(StepId::Agent, format!("{} relayed", relays.len()));
        self.tell("agent", outcome);
        for relay in relays {
            if relay.variable == "SSH_AUTH_SOCK" {
                let _ = self.ssh_agent.set(relay.socket.clone());
            }
            serve(self.parts, relay);
        }
        Ok(())
    }

    async fn set_up(&self) -> Result<(), StepError> {
        let (jobs, outcome) = self
            .jobs
            .take()
            .ok_or(StepError::TooEarly("the setup commands"))??;
        self.tell("setup", outcome);
        let users = self.users()?;
        let runner = AsCoder {
            processes: self.parts.processes.clone(),
            ids: ids(&users.coder, users.switch),
            environment: self
                .environment()?
                .coder(&users.coder)
                .into_iter()
                .collect(),
            workspace: self.ground.paths.workspace.clone(),
        };
        let settings = &self.settings().setup;
        let outcome = setup::run(&jobs, settings, &self.ground.paths, &runner).await?;
        self.tell("setup", outcome);
        Ok(())
    }

    /// Has the records closed that are still open. Nothing waits for it but whoever looks at
    /// this step: sessions can be started meanwhile, and one that cannot be repaired costs
    /// nobody else anything.
    fn close_journals(&self) -> Result<(), StepError> {
        let keepers = self.keepers()?;
        let _ = self.booted.keepers.set(keepers.clone());
        if keepers.has_records() {
            let progress = self.parts.progress.clone();
            let stir = self.parts.stir.clone();
            tokio::task::spawn_local(async move {
                let began = std::time::Instant::now();
                progress.goes_on(StepId::Journals);
                keepers.repair().await;
                progress.done(StepId::Journals, began.elapsed());
                stir.stir();
            });
        }
        Ok(())
    }

    fn keepers(&self) -> Result<Keepers, StepError> {
        let users = self.users()?;
        let sync = self.settings().sessions.journal_sync.word();
        let environment = self.environment()?;
        let variables = |map: child_env::Variables| -> session::Variables {
            map.into_iter().map(|(k, v)| (k.into(), v.into())).collect()
        };
        let coder = ids_of(&users.coder);
        let tenants = match self.settings().sessions.users {
            SessionUsers::Separate if users.switch => Tenants::Separate(Separate {
                coder,
                data: self.ground.paths.data.clone(),
                passwd: "/etc/passwd".into(),
                helper: self.helper(),
            }),
            _ => Tenants::Shared(coder),
        };
        let settings = KeeperSettings {
            program: self.parts.bin.join("cib-session"),
            options: ["--sync", sync].map(OsString::from).into(),
            ids: ids(&users.keeper, users.switch),
            control: users.control.uid,
            tenants,
            environment: variables(environment.coder(&users.coder)),
            credentials: variables(environment.credentials()),
            plain: variables(environment.plain(&users.keeper)),
        };
        let directories = Directories {
            data: self.ground.paths.data.clone(),
            runtime: self.ground.paths.run.clone(),
            coder: users.coder.uid,
            keeper: users.keeper.uid,
            control: users.control.gid,
            switch: users.switch,
        };
        Ok(Keepers::new(
            settings,
            directories,
            self.parts.runtime.hierarchy.clone(),
            self.parts.processes.clone(),
            self.parts.logs.clone(),
        ))
    }

    fn hold_port(&self) -> Result<Rc<OwnedFd>, StepError> {
        if let Some(held) = self.port.get() {
            return Ok(Rc::clone(held));
        }
        let settings = self.settings();
        let (port, everywhere) = (settings.port, settings.auth != Auth::Disabled);
        let held =
            listeners::port(port, everywhere).map_err(|source| StepError::Port { port, source })?;
        Ok(Rc::clone(self.port.get_or_init(|| held)))
    }

    async fn start_control(&self) -> Result<(), StepError> {
        let settings = self.settings();
        let run = &self.ground.paths.run;
        let auth = run.join("control/auth.json");
        let proxy = settings.trusted_proxy_secret.as_ref();
        control::write_auth(&auth, &settings.auth, proxy).map_err(StepError::Auth)?;
        let group = self.users()?.control.gid;
        let health = listeners::health(&run.join("control/health.sock"), group)
            .map_err(StepError::Health)?;
        let service = control::service(&self.parts.bin, settings, run, &auth);
        let lent = vec![
            (control::LISTEN_FD, self.hold_port()?),
            (control::HEALTH_FD, health),
        ];
        self.parts.supervisor.add_lending(service, lent);
        if self.parts.supervisor.start(control::NAME).await? {
            Ok(())
        } else {
            Err(StepError::NotReady(control::NAME.to_owned()))
        }
    }

    /// Starts what the user configured. All at once: each waits for those that it needs.
    async fn start_services(&self) -> Result<(), StepError> {
        let environment = self.environment()?;
        let accounts = Accounts::read(&self.ground.paths).ok();
        let mut starts = Vec::new();
        for service in &self.ground.configuration.services {
            let mut service = service.clone();
            let account = accounts.as_ref().and_then(|a| a.user(&service.user));
            if let Some(account) = account {
                service.environment = environment.service(&service, &account);
            }
            let (name, essential) = (service.name.clone(), service.essential);
            self.parts.supervisor.add(service);
            let supervisor = self.parts.supervisor.clone();
            starts.push(tokio::task::spawn_local(async move {
                let ready = supervisor.start(&name).await;
                (name, essential, ready)
            }));
        }
        for start in starts {
            if let Ok((name, essential, ready)) = start.await
                && !ready?
                && essential
            {
                return Err(StepError::NotReady(name));
            }
        }
        Ok(())
    }

    /// Says what a step changed and what is odd.
    fn tell(&self, name: &str, outcome: Outcome) {
        let logs = &self.parts.logs;
        for change in outcome.changes {
            logs.write(Level::Info, name, &change.to_string());
        }
        for warning in outcome.warnings {
            logs.write(Level::Warn, name, &warning);
        }
    }
}

/// Ends the box when the network that it joined is gone: it comes back with its holder only
/// for a container that is started anew.
async fn end_with(logs: Logs, supervisor: Supervisor, joined: Joined) {
    match joined.lost().await {
        Ok(()) => {
            let line = "the container that held the network has ended, and the network with it; \
                        start both anew, with compose by `up -d --wait --force-recreate`";
            logs.write(Level::Error, "egress", line);
            supervisor.lose("network");
        }
        Err(error) => {
            let line = format!("whether the network is still there cannot be watched: {error}");
            logs.write(Level::Warn, "egress", &line);
        }
    }
}

/// Holds the redirector down while the upstream is silent, and takes it to another address.
/// The connect bridge needs no such thing: it answers its clients itself.
fn gate(parts: &Parts, egress: &Egress) -> impl Fn(Turn) + 'static {
    let supervisor = parts.supervisor.clone();
    let locked = egress.is_locked();
    move |turn| {
        let supervisor = supervisor.clone();
        if locked {
            tokio::task::spawn_local(async move {
                // The service is there: the boot added it.
                let _ = match turn {
                    Turn::Run => supervisor.start(REDIRECTOR).await.map(drop),
                    Turn::Hold => supervisor.stop(REDIRECTOR).await,
                    Turn::Renew => supervisor
                        .restart(RESOLVER)
                        .and_then(|()| supervisor.restart(REDIRECTOR)),
                };
            });
        }
    }
}

fn serve(parts: &Parts, relay: Relay) {
    let logs = parts.logs.clone();
    let variable = relay.variable;
    tokio::task::spawn_local(relay.serve(move |notice| {
        let (level, line) = match notice {
            Notice::Lost(why) => (Level::Warn, format!("{variable}: {why}")),
            Notice::Back => (Level::Info, format!("{variable}: the agent is back")),
            Notice::Full => {
                let line = format!("{variable}: too many connections, further ones are refused");
                (Level::Warn, line)
            }
        };
        logs.write(level, "agent", &line);
    }));
}

/// Turns users into ids for the supervisor. Read anew each time: `PUID` changes them at boot.
pub(super) fn look_up(ground: &Ground) -> Rc<LookUpIds> {
    let paths = ground.paths.clone();
    let switch = ground.facts.root();
    Rc::new(move |user, group| {
        if !switch {
            return Ok(None);
        }
        let accounts = Accounts::read(&paths).map_err(|e| crate::errors::chain(&e))?;
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
