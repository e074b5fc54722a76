//! Running invocations, for tests and tools. Init has its own way: it alone may wait.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use crate::enforcement::{EnforceError, Enforced, Enforcement};
use crate::invocation::{Finished, Invocation};

/// Runs an invocation to its end.
pub trait Runner {
    /// Runs it.
    ///
    /// # Errors
    /// It could not be started or spoken to.
    fn run(&mut self, invocation: &Invocation) -> io::Result<Finished>;
}

/// Runs invocations as children of this process, and waits for each. Never in init.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocking;

/// Why a policy could not be brought into force.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The program could not be run.
    #[error("cannot run nft")]
    Run(#[source] io::Error),
    /// It ran in vain.
    #[error(transparent)]
    Enforce(#[from] EnforceError),
}

/// Brings a policy into force, from the first step to the last.
///
/// # Errors
/// A step could not be run, or the promise cannot be kept.
pub fn enforce(
    mut enforcement: Enforcement,
    runner: &mut impl Runner,
) -> Result<Enforced, RunError> {
    while let Some(invocation) = enforcement.next() {
        let finished = runner.run(&invocation).map_err(RunError::Run)?;
        enforcement.finished(&finished)?;
    }
    Ok(enforcement
        .enforced()
        .expect("an enforcement without a next step is done"))
}

impl Runner for Blocking {
    fn run(&mut self, invocation: &Invocation) -> io::Result<Finished> {
        let path =
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
        let mut child = Command::new(invocation.program)
            .args(&invocation.args)
            .env_clear()
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let (Some(mut pipe), Some(text)) = (child.stdin.take(), &invocation.stdin) {
            pipe.write_all(text.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        Ok(Finished::from_output(
            output.status,
            &output.stdout,
            &output.stderr,
        ))
    }
}
