//! The subcommands with which a person looks at a box, or at its configuration.
//!
//! Each command asks the running box over its socket, except [`check`] and [`plan`], which
//! read the configuration that this process was given and touch nothing.

mod exec;
mod passwd;
mod relay;
mod render;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use cib_base::errors::chain;
use cib_protocol::init::{InitReply, InitRequest};

use crate::boot::{self, Survey};
use crate::claude;
use crate::config::{Configuration, DIRECTORY};
use crate::environment::{Environment, Place};
use crate::exit;
use crate::plan::Plan;
use crate::socket::client::ask_here;
use crate::steps::Paths;
use crate::steps::setup;

pub use exec::exec;
pub use passwd::passwd;
pub use relay::relay;

/// A box that is busy with its boot still answers within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Within the three seconds that the image's HEALTHCHECK gives.
const HEALTH_PATIENCE: Duration = Duration::from_millis(2500);
/// A service may take its whole time to become ready or to stop.
const SERVICE_PATIENCE: Duration = Duration::from_secs(120);

/// `cib-init check`: judges configuration and environment, and changes nothing.
#[must_use]
pub fn check() -> u8 {
    match boot::survey() {
        Ok(survey) => {
            for warning in &survey.configuration.warnings {
                let _ = writeln!(io::stderr(), "cib-init: warning: {warning}");
            }
            print("the configuration is good\n")
        }
        Err((faults, warnings)) => boot::refuse(&faults, &warnings),
    }
}

/// `cib-init plan [--json]`: prints the boot plan.
#[must_use]
pub fn plan(json: bool) -> u8 {
    let survey = match boot::survey() {
        Ok(survey) => survey,
        Err((faults, warnings)) => return boot::refuse(&faults, &warnings),
    };
    let plan = Plan::build(&survey.configuration, jobs(&survey));
    if json {
        return print_json(&plan);
    }
    print(&plan.to_string())
}

fn jobs(survey: &Survey) -> usize {
    // A script that cannot be read is the boot's to report; here it is only not counted.
    let settings = &survey.configuration.settings.setup;
    setup::jobs(settings, &survey.paths).map_or(0, |(jobs, _)| jobs.len())
}

/// `cib-init status [--json]`.
#[must_use]
pub fn status(json: bool) -> u8 {
    match request(&InitRequest::Status {}, PATIENCE) {
        Ok(InitReply::Status(status)) if json => print_json(&status),
        Ok(InitReply::Status(status)) => print(&render::status(&status, colours())),
        other => unexpected(other),
    }
}

/// `cib-init healthcheck`: 0 or 1, as the engine wants it.
#[must_use]
pub fn healthcheck() -> u8 {
    match request(&InitRequest::Healthcheck {}, HEALTH_PATIENCE) {
        Ok(InitReply::Health { healthy, detail }) => {
            let _ = print(&format!("{detail}\n"));
            u8::from(!healthy)
        }
        Err(_) => 1,
        Ok(other) => {
            let _ = unexpected(Ok(other));
            1
        }
    }
}

/// `cib-init claude-version`: the one of the image's versions that runs here, for the launcher
/// of that name. It needs nothing of a configuration but that one setting, and a fallback that
/// nobody asked for is told.
#[must_use]
pub fn claude_version() -> u8 {
    let variable = Place::variable(claude::VARIABLE);
    let settings = match Configuration::load(Path::new(DIRECTORY), &Environment::of_process()) {
        Ok(configuration) => configuration.settings,
        Err(mut refusal) => {
            refusal.faults.retain(|fault| fault.place == variable);
            if !refusal.faults.is_empty() {
                return boot::refuse(&refusal.faults, &[]);
            }
            *refusal.understood
        }
    };
    let paths = Paths::of_the_box(settings.container.data_dir.clone());
    match boot::claude(&settings, &paths) {
        Ok(Some(choice)) => {
            if choice.is_fallback() {
                let _ = writeln!(io::stderr(), "cib-init: {choice}");
            }
            print(&format!("{}\n", choice.version))
        }
        Ok(None) => {
            let _ = writeln!(
                io::stderr(),
                "cib-init: there is no Claude Code in this image"
            );
            exit::CONFIG
        }
        Err(fault) => boot::refuse(&[fault], &[]),
    }
}

/// `cib-init svc start|stop|restart|logs SERVICE`: what it asks of the box.
#[must_use]
pub fn service(wanted: &InitRequest) -> u8 {
    match request(wanted, SERVICE_PATIENCE) {
        Ok(InitReply::Done) => exit::OK,
        Ok(InitReply::Logs { lines }) => print(
            &lines
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        ),
        other => unexpected(other),
    }
}

/// `cib-init egress status`.
#[must_use]
pub fn egress_status() -> u8 {
    match request(&InitRequest::Status {}, PATIENCE) {
        Ok(InitReply::Status(status)) => print(&render::egress(&status.egress)),
        other => unexpected(other),
    }
}

/// `cib-init egress test`, and `doctor`, which says what to do.
#[must_use]
pub fn egress_test(remedies: bool) -> u8 {
    match request(&InitRequest::EgressTest {}, SERVICE_PATIENCE) {
        Ok(InitReply::EgressTest { checks }) => {
            let _ = print(&render::checks(&checks, remedies, colours()));
            if checks.iter().all(|check| check.passed) {
                exit::OK
            } else {
                1
            }
        }
        other => unexpected(other),
    }
}

fn request(wanted: &InitRequest, within: Duration) -> Result<InitReply, u8> {
    ask_here(wanted, within).map_err(|error| {
        let _ = writeln!(io::stderr(), "cib-init: {}", chain(&error));
        exit::INTERNAL
    })
}

fn unexpected(reply: Result<InitReply, u8>) -> u8 {
    match reply {
        Err(code) => code,
        Ok(InitReply::Refused { detail, .. }) => {
            let _ = writeln!(io::stderr(), "cib-init: {detail}");
            1
        }
        Ok(_) => {
            let _ = writeln!(io::stderr(), "cib-init: the box answered something else");
            exit::INTERNAL
        }
    }
}

fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn print_json(value: &impl serde::Serialize) -> u8 {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(_) => exit::INTERNAL,
    }
}

/// Writes to standard output; a reader that went away is no failure.
fn print(text: &str) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit::INTERNAL,
        _ => exit::OK,
    }
}
