//! The boot plan as data: which steps there are, what each needs, how long it may take, and
//! what its failure means. Built from the configuration alone, without touching anything.

mod step;
mod table;

use std::time::Duration;

use serde::Serialize;

use crate::config::Configuration;
use crate::environment::{OnSetupFailure, ProxyMode, SetupRun};
use crate::exit;

pub use step::{OnFailure, Step, StepId};

/// Everything that a start does, in an order in which it can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// What [`StepId::Services`] starts, in order.
    pub services: Vec<PlannedService>,
}

/// A service as the plan shows it. Its command may hold secrets and is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedService {
    /// Its name.
    pub name: String,
    /// Its user.
    pub user: String,
    /// What is ready before it starts.
    pub needs: Vec<String>,
    /// Whether the box ends when it is given up.
    pub essential: bool,
}

impl Plan {
    /// The plan for a configuration with so many setup commands.
    #[must_use]
    pub fn build(configuration: &Configuration, setup_jobs: usize) -> Self {
        // `StepId::ALL` is an order in which everything needed comes first; a test proves it.
        let steps = StepId::ALL
            .iter()
            .map(|id| step(*id, configuration, setup_jobs));
        let services = configuration.services.iter().map(|service| PlannedService {
            name: service.name.clone(),
            user: service.user.clone(),
            needs: service.needs.clone(),
            essential: service.essential,
        });
        Self {
            steps: steps.collect(),
            services: services.collect(),
        }
    }

    /// The step of this id.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }
}

fn step(id: StepId, configuration: &Configuration, jobs: usize) -> Step {
    Step {
        id,
        what: what(id, configuration, jobs),
        needs: id.needs(),
        deadline: deadline(id, configuration, jobs),
        on_failure: on_failure(id, configuration),
        skipped: skipped(id, configuration, jobs),
    }
}

/// How long a step may take. Steps that only touch files take milliseconds; a board with a slow
/// card takes longer.
fn deadline(id: StepId, configuration: &Configuration, jobs: usize) -> Duration {
    const SOON: Duration = Duration::from_secs(30);
    match id {
        // Every file of a large home may have another owner.
        StepId::Users => 4 * SOON,
        // Somebody's whole history comes over somebody's line.
        StepId::Copy => Duration::from_secs(24 * 3600),
        StepId::Setup => {
            let each = configuration.settings.setup.timeout;
            let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
            each.saturating_mul(jobs).saturating_add(SOON)
        }
        StepId::Services => {
            let services = configuration.services.iter();
            let ready = services.map(|service| service.readiness.timeout);
            ready.fold(SOON, Duration::saturating_add)
        }
        _ => SOON,
    }
}

fn on_failure(id: StepId, configuration: &Configuration) -> OnFailure {
    let continues = configuration.settings.setup.on_failure == OnSetupFailure::Continue;
    match id {
        StepId::Setup if continues => OnFailure::Degrades,
        StepId::Agent | StepId::Journals => OnFailure::Degrades,
        StepId::ReadConfig
        | StepId::CloseEgress
        | StepId::Redirect
        | StepId::ProveEgress
        | StepId::Copy
        | StepId::Setup => OnFailure::Ends { code: exit::CONFIG },
        StepId::Users | StepId::Keys | StepId::Git | StepId::Control | StepId::Services => {
            OnFailure::Ends {
                code: exit::INTERNAL,
            }
        }
    }
}

/// Why there is nothing to do, if there is not.
fn skipped(id: StepId, configuration: &Configuration, jobs: usize) -> Option<String> {
    let settings = &configuration.settings;
    let agents = &settings.keys.agents;
    let joins = settings.egress.mode == ProxyMode::Join;
    let holds = settings.egress.mode == ProxyMode::Hold;
    let why = match id {
        StepId::CloseEgress | StepId::Redirect if joins => "another container holds the network",
        StepId::ProveEgress if joins => return None,
        _ if id.is_egress() && settings.egress.upstream.is_none() => "CIB_PROXY_URL is not set",
        _ if holds && id != StepId::ReadConfig && !id.is_egress() => {
            "CIB_PROXY_MODE=hold is for the way out alone"
        }
        StepId::Agent if agents.ssh.is_none() && agents.gpg.is_none() => "no agent was mounted",
        StepId::Copy if !settings.setup.await_copy => "CIB_AWAIT_COPY is not set",
        StepId::Setup if jobs == 0 => "there are no setup commands",
        StepId::Services if configuration.services.is_empty() => "none are configured",
        _ => return None,
    };
    Some(why.to_owned())
}

/// What a step does here, for people.
fn what(id: StepId, configuration: &Configuration, jobs: usize) -> String {
    let settings = &configuration.settings;
    let egress = &settings.egress;
    let upstream = egress.upstream.as_ref();
    let upstream = upstream.map_or_else(|| "no proxy".to_owned(), |u| u.endpoint().to_string());
    let env = egress.mode == ProxyMode::Env;
    match id {
        StepId::ReadConfig => "read the environment and the configuration files".to_owned(),
        StepId::CloseEgress if env => format!("find out where {upstream} is"),
        StepId::CloseEgress => format!("refuse every packet, and find out where {upstream} is"),
        StepId::Redirect if env => {
            format!("start the bridge that speaks HTTP CONNECT, towards {upstream}")
        }
        StepId::Redirect => format!(
            "take every connection to redsocks on port {}, every name to the resolver, and both \
             to {upstream}",
            egress.redsocks_port
        ),
        StepId::ProveEgress if egress.mode == ProxyMode::Join => {
            "prove that nothing leaves past what the other container holds".to_owned()
        }
        StepId::ProveEgress if env => "see whether the proxy answers; nothing is closed".to_owned(),
        StepId::ProveEgress => {
            "prove that nothing leaves past the proxy, and see whether it answers".to_owned()
        }
        StepId::Users => {
            let container = &settings.container;
            let ids = [("PUID", container.puid), ("PGID", container.pgid)];
            let ids: Vec<String> = ids
                .iter()
                .filter_map(|(name, id)| id.map(|id| format!("{name}={id}")))
                .collect();
            let ids = if ids.is_empty() {
                String::new()
            } else {
                format!(" ({})", ids.join(" "))
            };
            format!("give coder its ids{ids} and its files, and make the folders of the box")
        }
        StepId::Keys => "correct owners and modes of ~/.ssh and ~/.gnupg".to_owned(),
        StepId::Git => "configure git and ssh".to_owned(),
        StepId::Agent => "relay the mounted agents to coder".to_owned(),
        StepId::Copy => "wait until a copy was put into /workspace".to_owned(),
        StepId::Setup => {
            let once = match settings.setup.run {
                SetupRun::Once => ", each once for this volume",
                SetupRun::Always => "",
            };
            let commands = if jobs == 1 { "command" } else { "commands" };
            format!("run {jobs} setup {commands} as coder{once}")
        }
        StepId::Journals => {
            "close the journals of sessions that were interrupted, beside what follows".to_owned()
        }
        StepId::Control => {
            let devices = settings
                .tcp_port
                .map(|port| format!(", and devices on port {port}"));
            format!(
                "start control, which serves the API on port {}{}",
                settings.port,
                devices.unwrap_or_default()
            )
        }
        StepId::Services => {
            "start the configured services, each when those that it needs are ready".to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
