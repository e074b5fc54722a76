//! The boot plan as data: which steps there are, what each needs, how long it may take, and
//! what its failure means. Built from the configuration alone, without touching anything.

mod step;
mod table;

use std::time::Duration;

use serde::Serialize;

use crate::config::{Configuration, Service, graph};
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
    /// The plan for a configuration. `own` are the box's own services that start last, such as
    /// control; `setup_jobs` is how many setup commands there are.
    #[must_use]
    pub fn build(configuration: &Configuration, own: &[Service], setup_jobs: usize) -> Self {
        let services: Vec<&Service> = own.iter().chain(&configuration.services).collect();
        // `StepId::ALL` is an order in which everything needed comes first; a test proves it.
        let steps = StepId::ALL
            .iter()
            .map(|id| step(*id, configuration, &services, setup_jobs));
        let planned = ordered(&services)
            .into_iter()
            .map(|service| PlannedService {
                name: service.name.clone(),
                user: service.user.clone(),
                needs: service.needs.clone(),
                essential: service.essential,
            });
        Self {
            steps: steps.collect(),
            services: planned.collect(),
        }
    }

    /// The step of this id.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }
}

/// Services after what they need. A graph with a fault, which the configuration refuses before
/// it comes here, keeps its order.
fn ordered<'a>(services: &[&'a Service]) -> Vec<&'a Service> {
    let nodes: Vec<graph::Node<'_>> = services
        .iter()
        .map(|service| graph::Node {
            name: &service.name,
            needs: service.needs.iter().map(String::as_str).collect(),
        })
        .collect();
    match graph::order(&nodes) {
        Ok(order) => order.into_iter().map(|index| services[index]).collect(),
        Err(_) => services.to_vec(),
    }
}

fn step(id: StepId, configuration: &Configuration, services: &[&Service], jobs: usize) -> Step {
    let setup = &configuration.settings.setup;
    let seconds = Duration::from_secs;
    let internal = OnFailure::Ends {
        code: exit::INTERNAL,
    };
    let (deadline, on_failure) = match id {
        StepId::ReadConfig => (seconds(5), OnFailure::Ends { code: exit::CONFIG }),
        // A name is looked up in this step, which may take ten seconds.
        StepId::CloseEgress => (seconds(20), internal),
        StepId::Redirect | StepId::Redsocks | StepId::Resolver | StepId::Connect => {
            (seconds(15), internal)
        }
        StepId::ProveEgress => (seconds(20), internal),
        // Every file of a large home may have another owner.
        StepId::Users => (seconds(120), internal),
        StepId::Keys => (seconds(20), OnFailure::Degrades),
        StepId::Git | StepId::Agent => (seconds(5), OnFailure::Degrades),
        StepId::Journals => (seconds(30), OnFailure::Degrades),
        StepId::Setup => {
            let each = setup.timeout.saturating_add(seconds(1));
            let all = each.saturating_mul(u32::try_from(jobs.max(1)).unwrap_or(u32::MAX));
            (
                all,
                match setup.on_failure {
                    OnSetupFailure::Stop => internal,
                    OnSetupFailure::Continue => OnFailure::Degrades,
                },
            )
        }
        StepId::Services => {
            let ready = services.iter().map(|service| service.readiness.timeout);
            (ready.sum::<Duration>().max(seconds(10)), internal)
        }
    };
    let skipped = skipped(id, configuration, services, jobs);
    Step {
        id,
        what: what(id, configuration, jobs),
        needs: id.needs(),
        deadline,
        on_failure,
        skipped,
    }
}

/// Why there is nothing to do, if there is not.
fn skipped(
    id: StepId,
    configuration: &Configuration,
    services: &[&Service],
    jobs: usize,
) -> Option<String> {
    let settings = &configuration.settings;
    let agents = &settings.keys.agents;
    let env = settings.egress.mode == ProxyMode::Env;
    match id {
        _ if id.is_egress() && settings.egress.upstream.is_none() => {
            Some("CIB_PROXY_URL is not set".to_owned())
        }
        StepId::Redirect | StepId::Redsocks | StepId::Resolver if env => {
            Some("CIB_PROXY_MODE=env".to_owned())
        }
        StepId::Connect if !env => Some("CIB_PROXY_MODE is not env".to_owned()),
        StepId::Agent if agents.ssh.is_none() && agents.gpg.is_none() => {
            Some("neither SSH_AUTH_SOCK nor CIB_GPG_AGENT is set".to_owned())
        }
        StepId::Setup if jobs == 0 => Some("there are no setup commands".to_owned()),
        StepId::Services if services.is_empty() => Some("there are no services".to_owned()),
        _ => None,
    }
}

/// What a step does here, for people.
fn what(id: StepId, configuration: &Configuration, jobs: usize) -> String {
    let settings = &configuration.settings;
    let upstream = settings.egress.upstream.as_ref();
    let upstream = upstream.map_or_else(|| "no proxy".to_owned(), |u| u.endpoint().to_string());
    match id {
        StepId::ReadConfig => "read the environment and the configuration files".to_owned(),
        StepId::CloseEgress => format!("refuse every packet, and find out where {upstream} is"),
        StepId::Redirect => {
            "take every connection to redsocks, and prove that it gets there".to_owned()
        }
        StepId::Redsocks => {
            format!(
                "start redsocks on port {}, towards {upstream}",
                settings.egress.redsocks_port
            )
        }
        StepId::Resolver => "start the resolver".to_owned(),
        StepId::Connect => format!("start the bridge that speaks HTTP CONNECT, towards {upstream}"),
        StepId::ProveEgress => {
            "prove that only the proxy can be reached, and that it answers".to_owned()
        }
        StepId::Users => {
            let ids = [
                ("PUID", settings.container.puid),
                ("PGID", settings.container.pgid),
            ];
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
        StepId::Keys => "owners and modes of ~/.ssh and ~/.gnupg".to_owned(),
        StepId::Git => "configure git and ssh".to_owned(),
        StepId::Agent => "relay the mounted agents to coder".to_owned(),
        StepId::Journals => "close the journals of sessions that were interrupted".to_owned(),
        StepId::Setup => {
            let once = match settings.setup.run {
                SetupRun::Once => ", each once for this volume",
                SetupRun::Always => "",
            };
            let commands = if jobs == 1 { "command" } else { "commands" };
            format!("run {jobs} setup {commands} as coder{once}")
        }
        StepId::Services => {
            "start the services, each when those that it needs are ready".to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
