//! The rules brought into force: each step of `cib_nft` run through the one reaper.

use std::collections::BTreeSet;
use std::io;
use std::panic::resume_unwind;
use std::thread;

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
    /// There is no thread to make or read them in.
    #[error("cannot start a thread for the rules")]
    Thread(#[source] io::Error),
    /// The kernel refused them, or has something else.
    #[error(transparent)]
    Enforce(#[from] EnforceError),
    /// A table cannot be read.
    #[error(transparent)]
    Nft(#[from] NftFailure),
}

/// Brings a policy into force: applied in one transaction, read back and compared. With the
/// generation of the kernel's rules up to which nothing but this has changed them, if it can be
/// known.
///
/// # Errors
/// The promise cannot be kept; what stood before still stands.
pub async fn enforce(
    processes: &Processes,
    policy: EgressPolicy,
    devices: &BTreeSet<String>,
) -> Result<(Enforced, Option<u32>), RulesError> {
    let mut enforcement = aside(|| Enforcement::new(policy, devices))?;
    let mut generation = None;
    while let Some(invocation) = aside(|| enforcement.next())? {
        let applies = invocation.stdin.is_some();
        let finished = run(processes, invocation).await?;
        // What is read back from here on has everything up to this in it.
        if applies && finished.code == 0 {
            let now = cib_nft::watch::generation().await.ok();
            generation = match (generation, now) {
                (None, now) => now,
                // The other table's, and the count says that nobody came between.
                (Some(before), Some(now)) if now == u32::wrapping_add(before, 1) => Some(now),
                (before, _) => before,
            };
        }
        aside(|| enforcement.finished(&finished))??;
    }
    let enforced = aside(move || {
        let enforced = enforcement.enforced();
        enforced.expect("an enforcement without a next step is done")
    })?;
    Ok((enforced, generation))
}

/// Works in a thread of its own, and waits for it. As data, rules take hundreds of kilobytes in
/// thousands of pieces. The allocator keeps some of those that a thread gave back for that same
/// thread, and each holds a page of PID 1 for as long as the thread lives.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, RulesError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work);
        let done = thread.map_err(RulesError::Thread)?.join();
        Ok(done.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Whether the rules stand as they were enforced, and if not, in what they differ.
///
/// # Errors
/// They cannot be read.
pub async fn drift(
    processes: &Processes,
    enforced: &Enforced,
) -> Result<Option<VerifyError>, RulesError> {
    for table in enforced.tables() {
        let listing = Listing::read(&run(processes, table.list()).await?)?;
        let verify = || enforced.ruleset(table).verify(&listing);
        if let Err(drift) = aside(verify)? {
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
        if let Ok(listed) = finished.succeeded("read the counters") {
            sum.add(&aside(|| Counters::read(listed))?.unwrap_or_default());
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
