//! Setup commands as coder, in `/workspace`, through the one reaper.

use std::path::PathBuf;
use std::time::Duration;

use cib_base::errors::chain;

use crate::process::{Processes, Run, RunError};
use crate::spawn::{Command, Ids};
use crate::steps::setup::{Ended, Job, Runner};

/// Name of their lines in the log.
const NAME: &str = "setup";

/// Runs setup commands.
pub(super) struct AsCoder {
    pub(super) processes: Processes,
    pub(super) ids: Option<Ids>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) workspace: PathBuf,
}

impl Runner for AsCoder {
    async fn run(&self, job: &Job, limit: Duration) -> Ended {
        let Some((program, args)) = job.command.split_first() else {
            return Ended::NotStarted("it is empty".to_owned());
        };
        let mut command = Command::new(program)
            .args(args.iter().cloned())
            .env(self.environment.iter().cloned())
            .workdir(&self.workspace)
            .log(NAME);
        command.ids.clone_from(&self.ids);
        match self.processes.run(command, Run::within(limit)).await {
            Ok(output) => Ended::Exit(output.exit),
            Err(RunError::Deadline { .. }) => Ended::TooLong,
            Err(error @ RunError::Spawn(_)) => Ended::NotStarted(chain(&error)),
        }
    }
}
