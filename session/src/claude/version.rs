//! Asking the CLI for its version.

use std::io;
use std::process::Command;

use crate::runner::Runner;

/// Bytes of the longest version.
const MOST: usize = 4096;

/// What `claude --version` prints, for instance `2.1.330 (Claude Code)`. The command is the
/// CLI with its environment and without arguments.
///
/// # Errors
/// If it cannot be executed, or does not answer in time.
pub fn ask(runner: &mut Runner, mut command: Command) -> io::Result<String> {
    let said = runner.errand(command.arg("--version"), b"", MOST)?;
    Ok(String::from_utf8_lossy(&said.output).trim().to_owned())
}
