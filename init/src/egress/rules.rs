//! The rules brought into force: each step of `cib_nft` run through the one reaper.

use std::collections::BTreeSet;

use cib_nft::{
    Counters, EgressPolicy, EnforceError, Enforced, Enforcement, Finished, Invocation, Listing,
    NftFailure, Table, VerifyError,
};

use crate::exit::Exit;
use crate::process::{Output, Processes, Run, RunError};
use crate::spawn::{Capabilities, Command};

/// `nft` reads or writes a few kilobytes; a box so slow that this is not enough is not safe
/// to go on with.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Why the rules do not stand.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// `nft` could not be run.
    #[error("cannot run nft")]
    Run(#[from] RunError),
    /// The kernel refused them, or has something else.
    #[error(transparent)]
    Enforce(#[from] EnforceError),
    /// A table cannot be read.
    #[error(transparent)]
    Nft(#[from] NftFailure),
}

/// Brings a policy into force: applied in one transaction, read back and compared.
///
/// # Errors
/// The promise cannot be kept; what stood before still stands.
pub async fn enforce(
    processes: &Processes,
    policy: EgressPolicy,
    devices: &BTreeSet<String>,
) -> Result<Enforced, RulesError> {
    let mut enforcement = Enforcement::new(policy, devices);
    loop {
        let Some(invocation) = enforcement.next() else {
            if let Some(enforced) = enforcement.enforced() {
                return Ok(enforced);
            }
            continue;
        };
        enforcement.finished(&run(processes, invocation).await?)?;
    }
}

/// Whether the rules stand as they were enforced, and if not, in what they differ.
///
/// # Errors
/// They cannot be read.
pub async fn drift(
    processes: &Processes,
    enforced: &Enforced,
) -> Result<Option<VerifyError>, RulesError> {
    for ruleset in &enforced.rulesets {
        let finished = run(processes, ruleset.table().list()).await?;
        if let Err(drift) = ruleset.verify(&Listing::read(&finished)?) {
            return Ok(Some(drift));
        }
    }
    Ok(None)
}

/// What was refused since the rules were applied.
///
/// # Errors
/// The counters cannot be read.
pub async fn counters(processes: &Processes) -> Result<Counters, RulesError> {
    let mut sum = Counters::default();
    for table in Table::ALL {
        let finished = run(processes, table.counters()).await?;
        // The kernel may have no egress hook, and then no such table.
        if let Ok(read) = finished.succeeded("read the counters").map(Counters::read) {
            sum.add(&read.unwrap_or_default());
        }
    }
    Ok(sum)
}

/// Takes our tables away.
///
/// # Errors
/// `nft` could not be run.
pub async fn undo(processes: &Processes) -> Result<(), RulesError> {
    for table in Table::ALL {
        run(processes, table.undo()).await?;
    }
    Ok(())
}

async fn run(processes: &Processes, invocation: Invocation) -> Result<Finished, RunError> {
    // An empty locale too: an absent table is recognised by what `nft` says in English.
    let command = Command::new(invocation.program)
        .args(invocation.args)
        .env([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")])
        .capabilities(Capabilities::Own);
    let mut run = Run::within(PATIENCE).stdin(invocation.stdin.unwrap_or_default());
    // A listing is longer than what a command usually has to say.
    run.capture = 1024 * 1024;
    processes
        .run(command, run)
        .await
        .map(|output| finished(&output))
}

fn finished(output: &Output) -> Finished {
    Finished {
        code: match output.exit {
            Exit::Code(code) => i32::from(code),
            Exit::Signal(signal) => 128 + signal,
        },
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
