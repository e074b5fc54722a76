//! The steps of the plan, carried out.

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use cib_redsocks::probe::Health;

use crate::boot::Ground;
use crate::boot::control;
use crate::boot::handler::{Phase, Running};
use crate::boot::progress::{Overdue, Progress};
use crate::boot::setup::AsCoder;
use crate::egress::{Egress, EgressError};
use crate::environment::{Auth, ProxyMode};
use crate::logs::{Level, Logs};
use crate::process::Processes;
use crate::session::directory::Directories;
use crate::session::{KeeperSettings, Keepers};
use crate::socket::{self, ListenError};
use crate::spawn::Ids;
use crate::steps::accounts::{Account, Accounts};
use crate::steps::agent::{self, Notice, Relay};
use crate::steps::child_env::{Additions, ChildEnvironment};
use crate::steps::keys::{self, Keys};
use crate::steps::setup::{self, JobsError, SetupError};
use crate::steps::users::{self, Users, UsersError};
use crate::steps::{FileError, Outcome, git};
use crate::supervisor::actor::{LookUpIds, Runtime};
use crate::supervisor::{NoSuchService, Supervisor};

/// The plan's steps, in order.
pub(super) const STEPS: [&str; 10] = [
    "close-egress",
    "redirect",
    "prove-egress",
    "users",
    "keys",
    "git",
    "agent",
    "setup",
    "control",
    "services",
];

/// Steps that only touch files and the kernel take milliseconds; a board with a slow card
/// takes longer.
const SOON: Duration = Duration::from_secs(30);
/// Setup commands have limits of their own, each.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Name of the redirector's service.
const REDIRECTOR: &str = "redsocks";

/// Why the box could not boot.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootError {
    #[error("step took too long")]
    Overdue(#[from] Overdue),
    #[error("cannot make {}", path.display())]
    Run {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
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
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Service(#[from] NoSuchService),
    #[error("`{0}` did not become ready; its lines above say why")]
    NotReady(String),
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

/// What has been brought up so far, for whoever takes it down.
#[derive(Default)]
pub(super) struct Booted {
    pub(super) keepers: Option<Keepers>,
    pub(super) egress: Option<Egress>,
}

/// Carries out the plan.
pub(super) async fn boot(
    ground: &Ground,
    parts: &Parts,
    booted: &mut Booted,
) -> Result<(), BootError> {
    let settings = &ground.configuration.settings;
    let warnings: Vec<String> = ground
        .configuration
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    for warning in &warnings {
        parts.logs.write(Level::Warn, "init", warning);
    }
    if settings.auth == Auth::Disabled {
        let line = "CIB_AUTH_DISABLED is set: everybody on the box's loopback is let in; \
                    for local development alone";
        parts.logs.write(Level::Warn, "init", line);
    }
    let run = &ground.paths.run;
    std::fs::create_dir_all(run).map_err(|source| BootError::Run {
        path: run.clone(),
        source,
    })?;
    let egress = Egress::new(
        &settings.egress,
        parts.processes.clone(),
        parts.logs.clone(),
        run,
    );
    booted.egress.clone_from(&egress);
    let health = way_out(parts, egress.as_ref()).await?;
    let (users, keys) = people(ground, parts).await?;
    let relays = agents(ground, parts, &users, &keys);
    let environment = child_environment(ground, &relays, &keys);
    relay(parts, relays);
    set_up(ground, parts, &users, &environment).await?;
    let keepers = keepers(ground, parts, &users, &environment);
    booted.keepers = Some(keepers.clone());
    let left = keepers.finish_left_behind().await;
    if left > 0 {
        let line = format!("{left} sessions were live when the box last ended: interrupted");
        parts.logs.write(Level::Info, "session", &line);
    }
    let listener = socket::listen(&run.join("init.sock"))?;
    let running = Running {
        phase: Rc::clone(&parts.phase),
        progress: parts.progress.clone(),
        supervisor: parts.supervisor.clone(),
        keepers,
        egress: egress.clone(),
        logs: parts.logs.clone(),
        warnings,
    };
    tokio::task::spawn_local(socket::serve(listener, Rc::new(running)));
    if let (Some(egress), Some(health)) = (&egress, health) {
        egress.watch(health, gate(parts, egress));
    }
    services(ground, parts, &environment).await?;
    let took = crate::sys::start::uptime_us() / 1000;
    parts.logs.write(
        Level::Info,
        "init",
        &format!("the box is up after {took} ms"),
    );
    Ok(())
}

/// Closes egress, opens the way through the upstream, and proves both.
async fn way_out(parts: &Parts, egress: Option<&Egress>) -> Result<Option<Health>, BootError> {
    let progress = &parts.progress;
    let Some(egress) = egress else {
        for step in &STEPS[..3] {
            progress.skip(step, "CIB_PROXY_URL is not set");
        }
        let line = "CIB_PROXY_URL is not set: the box reaches the network directly";
        parts.logs.write(Level::Warn, "egress", line);
        return Ok(None);
    };
    let close = async { Ok::<_, BootError>(egress.close().await?) };
    let mut warnings = progress.step(STEPS[0], SOON, close).await?;
    let redirect = async {
        let opened = egress.open().await?;
        for service in egress.configure(&parts.bin)? {
            let name = service.name.clone();
            parts.supervisor.add(service);
            // One that is not ready yet is started again for as long as it takes; the rules
            // stand without it.
            let supervisor = parts.supervisor.clone();
            if !supervisor.start(&name).await? {
                return Err(BootError::NotReady(name));
            }
        }
        Ok::<_, BootError>(opened)
    };
    warnings.extend(progress.step(STEPS[1], SOON, redirect).await?);
    warnings.dedup();
    for warning in warnings {
        parts.logs.write(Level::Warn, "egress", &warning);
    }
    let prove = async { Ok::<_, BootError>(egress.prove().await?) };
    let health = progress.step(STEPS[2], SOON, prove).await?;
    Ok(Some(health))
}

/// Holds the redirector down while the upstream is silent. The connect bridge needs no such
/// thing: it answers its clients itself.
fn gate(parts: &Parts, egress: &Egress) -> impl Fn(bool) + 'static {
    let supervisor = parts.supervisor.clone();
    let locked = egress.is_locked();
    move |open| {
        let supervisor = supervisor.clone();
        if locked {
            tokio::task::spawn_local(async move {
                // The service is there: the boot added it.
                let _ = if open {
                    supervisor.start(REDIRECTOR).await.map(drop)
                } else {
                    supervisor.stop(REDIRECTOR).await
                };
            });
        }
    }
}

/// Users, keys and git.
async fn people(ground: &Ground, parts: &Parts) -> Result<(Users, Keys), BootError> {
    let settings = &ground.configuration.settings;
    let paths = &ground.paths;
    let prepared = async { Ok(users::prepare(paths, &settings.container, &ground.facts)?) };
    let (users, outcome) = parts
        .progress
        .step::<_, BootError>(STEPS[3], SOON, prepared)
        .await?;
    tell(parts, "init", outcome);
    let prepared = async { Ok(keys::prepare(paths, &settings.keys, &users)?) };
    let (keys, outcome) = parts
        .progress
        .step::<_, BootError>(STEPS[4], SOON, prepared)
        .await?;
    tell(parts, "init", outcome);
    let prepared = async { Ok(git::prepare(paths, &settings.git, &settings.keys, &keys)?) };
    let outcome = parts
        .progress
        .step::<_, BootError>(STEPS[5], SOON, prepared)
        .await?;
    tell(parts, "init", outcome);
    Ok((users, keys))
}

fn agents(ground: &Ground, parts: &Parts, users: &Users, keys: &Keys) -> Vec<Relay> {
    let wanted = &ground.configuration.settings.keys.agents;
    if wanted.ssh.is_none() && wanted.gpg.is_none() {
        parts.progress.skip(STEPS[6], "no agent was mounted");
        return Vec::new();
    }
    let (relays, outcome) = agent::open(&ground.paths, wanted, users, keys);
    parts
        .progress
        .explain(STEPS[6], format!("{} relayed", relays.len()));
    tell(parts, "agent", outcome);
    relays
}

fn relay(parts: &Parts, relays: Vec<Relay>) {
    for relay in relays {
        let logs = parts.logs.clone();
        let variable = relay.variable;
        tokio::task::spawn_local(relay.serve(move |notice| match notice {
            Notice::Lost(why) => logs.write(Level::Warn, "agent", &format!("{variable}: {why}")),
            Notice::Back => {
                logs.write(
                    Level::Info,
                    "agent",
                    &format!("{variable}: the agent is back"),
                );
            }
        }));
    }
}

fn child_environment(ground: &Ground, relays: &[Relay], keys: &Keys) -> ChildEnvironment {
    let settings = &ground.configuration.settings;
    let bridge = settings.egress.upstream.is_some() && settings.egress.mode == ProxyMode::Env;
    let ssh = relays
        .iter()
        .find(|relay| relay.variable == "SSH_AUTH_SOCK");
    let additions = Additions {
        ssh_agent: ssh.map(|relay| relay.socket.clone()),
        gnupg_home: keys.gnupg_home.clone(),
        bridge_port: bridge.then_some(cib_redsocks::connect::CONNECT_PORT),
    };
    ChildEnvironment::new(&ground.environment, settings, &additions)
}

async fn set_up(
    ground: &Ground,
    parts: &Parts,
    users: &Users,
    environment: &ChildEnvironment,
) -> Result<(), BootError> {
    let settings = &ground.configuration.settings.setup;
    let (jobs, outcome) = setup::jobs(settings, &ground.paths)?;
    tell(parts, "setup", outcome);
    if jobs.is_empty() {
        parts.progress.skip(STEPS[7], "there are no setup commands");
        return Ok(());
    }
    let runner = AsCoder {
        processes: parts.processes.clone(),
        ids: ids(&users.coder, users.switch),
        environment: environment.coder(&users.coder).into_iter().collect(),
        workspace: ground.paths.workspace.clone(),
    };
    let work = async { Ok(setup::run(&jobs, settings, &ground.paths, &runner).await?) };
    let outcome = parts
        .progress
        .step::<_, BootError>(STEPS[7], LONG, work)
        .await?;
    tell(parts, "setup", outcome);
    Ok(())
}

fn keepers(
    ground: &Ground,
    parts: &Parts,
    users: &Users,
    environment: &ChildEnvironment,
) -> Keepers {
    let sessions = &ground.configuration.settings.sessions;
    let sync = sessions.journal_sync.word();
    let environment = environment.keeper(&users.coder);
    let settings = KeeperSettings {
        program: parts.bin.join("cib-session"),
        options: ["--sync", sync].map(OsString::from).into(),
        ids: ids(&users.coder, users.switch),
        environment: environment
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect(),
    };
    let directories = Directories {
        data: ground.paths.data.clone(),
        runtime: ground.paths.run.clone(),
        coder: users.coder.uid,
        control: users.control.gid,
        switch: users.switch,
    };
    Keepers::new(
        settings,
        directories,
        parts.runtime.hierarchy.clone(),
        parts.processes.clone(),
        parts.logs.clone(),
    )
}

/// Control, then what the user configured.
async fn services(
    ground: &Ground,
    parts: &Parts,
    environment: &ChildEnvironment,
) -> Result<(), BootError> {
    let settings = &ground.configuration.settings;
    let run = &ground.paths.run;
    let auth = run.join("control/auth.json");
    control::write_auth(&auth, &settings.auth).map_err(BootError::Auth)?;
    parts
        .supervisor
        .add(control::service(&parts.bin, settings, run, &auth));
    let start = async {
        if parts.supervisor.start(control::NAME).await? {
            Ok(())
        } else {
            Err(BootError::NotReady(control::NAME.to_owned()))
        }
    };
    parts.progress.step(STEPS[8], SOON, start).await?;
    if ground.configuration.services.is_empty() {
        parts.progress.skip(STEPS[9], "none are configured");
        return Ok(());
    }
    let mut names = Vec::new();
    for service in &ground.configuration.services {
        let mut service = service.clone();
        if let Some(account) = Accounts::read(&ground.paths)
            .ok()
            .and_then(|a| a.user(&service.user))
        {
            service.environment = environment.service(&service, &account);
        }
        names.push((service.name.clone(), service.essential));
        parts.supervisor.add(service);
    }
    let start = async {
        let starts: Vec<_> = names
            .into_iter()
            .map(|(name, essential)| {
                let supervisor = parts.supervisor.clone();
                tokio::task::spawn_local(async move {
                    let ready = supervisor.start(&name).await;
                    (name, essential, ready)
                })
            })
            .collect();
        for start in starts {
            if let Ok((name, essential, ready)) = start.await
                && !ready?
                && essential
            {
                return Err(BootError::NotReady(name));
            }
        }
        Ok(())
    };
    parts.progress.step(STEPS[9], LONG, start).await
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

fn ids(account: &Account, switch: bool) -> Option<Ids> {
    switch.then(|| ids_of(account))
}

fn ids_of(account: &Account) -> Ids {
    Ids {
        uid: account.uid,
        gid: account.gid,
        groups: account.groups.clone(),
    }
}

/// Says what a step changed and what is odd.
fn tell(parts: &Parts, name: &str, outcome: Outcome) {
    for change in outcome.changes {
        parts.logs.write(Level::Info, name, &change.to_string());
    }
    for warning in outcome.warnings {
        parts.logs.write(Level::Warn, name, &warning);
    }
}
