//! Which of the box's subcommands was asked for, and who does it. What is the bare init's never
//! comes here: `cib_bare` has the whole command line.

use cib_bare::Process;

use crate::commands;
use crate::sys::signal;

/// What `cib-init` does besides running a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subcommand {
    /// Boot the box.
    Box,
    /// Print the plan.
    Plan,
    /// Validate.
    Check,
    /// Show the running box.
    Status,
    /// Exit code for the engine.
    Healthcheck,
    /// One service.
    Service,
    /// The way out.
    Egress,
    /// Which Claude Code runs here.
    ClaudeVersion,
    /// A shell with the restrictions of the box.
    Exec,
}

impl Subcommand {
    fn named(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"box" => Self::Box,
            b"plan" => Self::Plan,
            b"check" => Self::Check,
            b"status" => Self::Status,
            b"healthcheck" => Self::Healthcheck,
            b"svc" => Self::Service,
            b"egress" => Self::Egress,
            b"claude-version" => Self::ClaudeVersion,
            b"exec" => Self::Exec,
            _ => return None,
        })
    }
}

/// Does what the process's arguments ask for, and returns its exit code. Without a subcommand
/// that is the box: called as `init`, it was started without arguments.
#[must_use]
pub fn main() -> u8 {
    let process = Process::given();
    let subcommand = process.argument(1).and_then(Subcommand::named);
    let subcommand = subcommand.unwrap_or(Subcommand::Box);
    // The box and `exec` take signals from a queue; the others die of them as anybody does.
    if !matches!(subcommand, Subcommand::Box | Subcommand::Exec) {
        signal::set_mask(Process::mask());
    }
    let words: Vec<String> = process
        .arguments(2)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    match subcommand {
        Subcommand::Box => boot(&words),
        Subcommand::Plan => commands::plan(&words),
        Subcommand::Check => commands::check(),
        Subcommand::Status => commands::status(&words),
        Subcommand::Healthcheck => commands::healthcheck(),
        Subcommand::Service => commands::service(&words),
        Subcommand::Egress => commands::egress(&words),
        Subcommand::ClaudeVersion => commands::claude_version(),
        Subcommand::Exec => commands::exec(&words),
    }
}

/// Boots the box, or does a piece of its work in another process than PID 1.
fn boot(words: &[String]) -> u8 {
    if rustix::process::getpid().is_init() || words.is_empty() {
        return crate::boot::run();
    }
    signal::set_mask(Process::mask());
    crate::helper::main(words).unwrap_or_else(crate::boot::run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_is_one_that_the_bare_init_leaves_to_the_box() {
        let words = [
            "box",
            "plan",
            "check",
            "status",
            "healthcheck",
            "svc",
            "egress",
            "claude-version",
            "exec",
            "run",
            "",
            "init",
        ];
        for word in words.map(str::as_bytes) {
            let named = Subcommand::named(word).is_some();
            assert_eq!(cib_bare::is_subcommand(word), named);
        }
    }
}
