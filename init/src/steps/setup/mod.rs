//! Setup commands: what a derived image and the user want to be done before the box is ready.

mod jobs;
mod marker;

use std::future::Future;
use std::time::Duration;

use thiserror::Error;

pub use jobs::{Job, JobsError, jobs};
use marker::Markers;

use super::files::phrase;
use super::outcome::Outcome;
use super::paths::Paths;
use crate::environment::{OnSetupFailure, SetupRun, SetupSettings};
use crate::exit::Exit;

/// What runs a command as coder in `/workspace`, with its output in the log.
pub trait Runner {
    /// Runs one command; it is killed with everything it started after `limit`.
    fn run(&self, job: &Job, limit: Duration) -> impl Future<Output = Ended>;
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exit(Exit),
    /// It took too long and was killed.
    TooLong,
    /// It could not be started, and why.
    NotStarted(String),
}

/// A command failed, and the box is to stop then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{origin} {how}; correct it, or set CIB_SETUP_ON_FAILURE=continue")]
pub struct SetupError {
    /// Where the command stands.
    pub origin: String,
    /// How it ended, as a fragment.
    pub how: String,
}

/// Runs the commands in order. The text of a command is shown nowhere: it may hold a secret.
///
/// # Errors
///
/// The first command that failed, unless failures are to be ignored.
pub async fn run(
    jobs: &[Job],
    settings: &SetupSettings,
    paths: &Paths,
    runner: &impl Runner,
) -> Result<Outcome, SetupError> {
    let mut outcome = Outcome::default();
    let markers = match settings.run {
        SetupRun::Once => Some(Markers::new(paths)),
        SetupRun::Always => None,
    };
    for job in jobs {
        if markers.as_ref().is_some_and(|markers| markers.done(job)) {
            outcome.changed(job.origin.as_ref(), "was done on this volume already");
            continue;
        }
        let how = match runner.run(job, settings.timeout).await {
            Ended::Exit(exit) if exit.success() => {
                outcome.changed(job.origin.as_ref(), "done");
                if let Some(Err(error)) = markers.as_ref().map(|markers| markers.mark(job)) {
                    let why = phrase(&error);
                    outcome.warn(format!("{} will run again: {why}", job.origin));
                }
                continue;
            }
            Ended::Exit(exit) => format!("ended with {exit}"),
            Ended::TooLong => {
                let seconds = settings.timeout.as_secs_f32();
                format!("was still running after {seconds} s (CIB_SETUP_TIMEOUT) and was killed")
            }
            Ended::NotStarted(why) => format!("could not be started: {why}"),
        };
        let error = SetupError {
            origin: job.origin.clone(),
            how,
        };
        match settings.on_failure {
            OnSetupFailure::Stop => return Err(error),
            OnSetupFailure::Continue => outcome.warn(format!("{} {}", error.origin, error.how)),
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests;
