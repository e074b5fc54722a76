//! Decides whether the bare init or a subcommand of the box was asked for, and calls it.
//!
//! Called as `init` (the image's `/init`), every word that is no option is a command to run,
//! so that `docker run IMAGE status` runs a program named `status`. Called by any other name,
//! the box's subcommands come first, and `--` in front makes a command of anything.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::sys::start;
use crate::{bare, commands};

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
    fn named(word: &OsStr) -> Option<Self> {
        Some(match word.to_str()? {
            "box" => Self::Box,
            "plan" => Self::Plan,
            "check" => Self::Check,
            "status" => Self::Status,
            "healthcheck" => Self::Healthcheck,
            "svc" => Self::Service,
            "egress" => Self::Egress,
            "claude-version" => Self::ClaudeVersion,
            "exec" => Self::Exec,
            _ => return None,
        })
    }

    /// What arguments ask for, the program's own name first; `None` if that is the bare init's
    /// to do.
    fn asked(arguments: &[OsString]) -> Option<Self> {
        let name = arguments
            .first()
            .and_then(|name| Path::new(name).file_name());
        match arguments.get(1) {
            None if name == Some(OsStr::new("init")) => Some(Self::Box),
            Some(word) if name != Some(OsStr::new("init")) => Self::named(word),
            _ => None,
        }
    }
}

/// Does what the process's arguments ask for, and returns its exit code. Every signal must be
/// blocked.
#[must_use]
pub fn main() -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Some(subcommand) = Subcommand::asked(&arguments) else {
        return bare::main(arguments.get(1..).unwrap_or_default());
    };
    // The box and `exec` take signals from a queue; the others die of them as anybody does.
    if !matches!(subcommand, Subcommand::Box | Subcommand::Exec) {
        let _ = start::mask().thread_set_mask();
    }
    let words = arguments.iter().skip(2);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
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
    if std::process::id() == 1 || words.is_empty() {
        return crate::boot::run();
    }
    let _ = start::mask().thread_set_mask();
    crate::helper::main(words).unwrap_or_else(crate::boot::run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Option<Subcommand> {
        let words: Vec<_> = line.split_ascii_whitespace().map(OsString::from).collect();
        Subcommand::asked(&words)
    }

    #[test]
    fn the_name_decides_whether_a_word_is_a_subcommand_or_a_command() {
        assert_eq!(asked("/init"), Some(Subcommand::Box));
        assert_eq!(asked("/init status"), None);
        assert_eq!(asked("/usr/bin/cib-init status"), Some(Subcommand::Status));
        assert_eq!(asked("cib-init box"), Some(Subcommand::Box));
        assert_eq!(asked("cib-init -- status"), None);
        assert_eq!(asked("cib-init run"), None);
        assert_eq!(asked("cib-init"), None);
        assert_eq!(asked(""), None);
    }
}
