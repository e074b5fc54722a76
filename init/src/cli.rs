//! Decides whether the bare init or a subcommand of the box was asked for, and calls it.
//!
//! Called as `init` (the image's `/init`), every word that is no option is a command to run,
//! so that `docker run IMAGE status` runs a program named `status`; but for `task`, which boots the
//! box for one task. Called by any other name,
//! the box's subcommands come first, and `--` in front makes a command of anything.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;

use cib_protocol::init::InitRequest;
use clap::{Parser, Subcommand};

use crate::environment::{Environment, Purpose};
use crate::steps::accounts::CODER;
use crate::sys::start;
use crate::{bare, commands, exit, job};

/// What a person asks of a box, or of its configuration.
#[derive(Debug, Parser)]
#[command(
    name = "cib-init",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(subcommand)]
    asked: Asked,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
enum Asked {
    /// Boot the box, as PID 1
    Box,
    /// Boot the box, do one task, and end; `task --help` says more
    Task,
    /// Print the boot plan, and do nothing of it
    Plan {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Validate configuration and environment, and change nothing
    Check,
    /// Show the running box: its steps, services, way out and sessions
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Exit with 0 if the box works and with 1 if it does not, and say why
    Healthcheck,
    /// Start, stop or restart a service, or show its last lines
    Svc {
        #[command(subcommand)]
        verb: Service,
    },
    /// Show or test the way out
    Egress {
        #[command(subcommand)]
        verb: Egress,
    },
    /// Print which of the image's versions of Claude Code runs here
    ClaudeVersion,
    /// Give an account another password, read from a terminal unseen or from standard input; its
    /// sign-ins end
    Passwd {
        /// The account; needless where there is only one
        name: Option<String>,
    },
    /// Join standard input and output with a port of the box's loopback
    Relay {
        /// The port
        port: u16,
    },
    /// Run a command, or a shell, in the running box with the restrictions of the box
    Exec {
        /// Whom it runs as
        #[arg(short, long, default_value = CODER)]
        user: String,
        /// The command and its arguments; the user's shell without one
        #[arg(trailing_var_arg = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
enum Service {
    /// Start it, and wait until it is ready
    Start {
        /// Its name
        service: String,
    },
    /// Stop it, and wait until it has ended
    Stop {
        /// Its name
        service: String,
    },
    /// Stop it and start it
    Restart {
        /// Its name
        service: String,
    },
    /// Show what it said last
    Logs {
        /// Its name
        service: String,
        /// How many lines
        #[arg(default_value_t = 200, value_parser = clap::value_parser!(u16).range(..=1000))]
        lines: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum Egress {
    /// Show the upstream, and what was refused
    Status,
    /// Test the whole way out, and what must not get out
    Test,
    /// As test, and say what to do about what is wrong
    Doctor,
}

/// The names of [`Asked`], which a start of the bare init is too short to have clap tell.
const SUBCOMMANDS: [&str; 12] = [
    "box",
    "task",
    "plan",
    "check",
    "status",
    "healthcheck",
    "svc",
    "egress",
    "claude-version",
    "passwd",
    "relay",
    "exec",
];

/// Whether arguments, the program's own name first, are for the box; if not, they are the bare
/// init's.
fn is_for_the_box(arguments: &[OsString]) -> bool {
    let name = arguments
        .first()
        .and_then(|name| Path::new(name).file_name());
    let is_init = name == Some(OsStr::new("init"));
    match arguments.get(1) {
        None => is_init,
        // The one word that is no command there either: a task is a container's main job.
        Some(word) if word == job::NAME => true,
        Some(word) => !is_init && SUBCOMMANDS.iter().any(|name| word == name),
    }
}

/// Does what the process's arguments ask for, and returns its exit code. Every signal must be
/// blocked.
#[must_use]
pub fn main() -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The box itself needs nobody who explains a command line.
    match arguments.get(1..).unwrap_or_default() {
        [word, words @ ..] if word == job::NAME && is_for_the_box(&arguments) => {
            return boot_for_task(words);
        }
        [word, words @ ..] if word == "box" && is_for_the_box(&arguments) => return boot(words),
        [] if is_for_the_box(&arguments) => return boot(&[]),
        words if !is_for_the_box(&arguments) => return bare::main(words),
        _ => {}
    }
    let asked = match CommandLine::try_parse_from(&arguments) {
        Ok(line) => line.asked,
        Err(error) => {
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            };
            return error.print().map_or(exit::INTERNAL, |()| code);
        }
    };
    // `exec` takes signals from a queue; the others die of them as anybody does.
    if !matches!(asked, Asked::Exec { .. }) {
        let _ = start::mask().thread_set_mask();
    }
    match asked {
        Asked::Box => boot(&[]),
        // Its words are read before these.
        Asked::Task => boot_for_task(&[]),
        Asked::Plan { json } => commands::plan(json),
        Asked::Check => commands::check(),
        Asked::Status { json } => commands::status(json),
        Asked::Healthcheck => commands::healthcheck(),
        Asked::Svc { verb } => service(verb),
        Asked::Egress { verb } => match verb {
            Egress::Status => commands::egress_status(),
            Egress::Test => commands::egress_test(false),
            Egress::Doctor => commands::egress_test(true),
        },
        Asked::ClaudeVersion => commands::claude_version(),
        Asked::Passwd { name } => commands::passwd(name),
        Asked::Relay { port } => commands::relay(port),
        Asked::Exec { user, command } => commands::exec(&user, command),
    }
}

fn service(verb: Service) -> u8 {
    commands::service(&match verb {
        Service::Start { service } => InitRequest::ServiceStart { service },
        Service::Stop { service } => InitRequest::ServiceStop { service },
        Service::Restart { service } => InitRequest::ServiceRestart { service },
        Service::Logs { service, lines } => InitRequest::Logs { service, lines },
    })
}

/// Boots the box for a task, whose options the words are; the exit code.
fn boot_for_task(words: &[OsString]) -> u8 {
    start::count();
    let variables = match job::words(words) {
        Ok(job::Words::Task(variables)) => variables,
        Ok(job::Words::Help) => {
            return match io::stdout().write_all(job::help().as_bytes()) {
                Ok(()) => exit::OK,
                Err(_) => exit::INTERNAL,
            };
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "cib-init: {error}");
            return exit::USAGE;
        }
    };
    let environment = Environment::of_process().read_for(Purpose::Task, variables);
    crate::boot::run_in(environment)
}

/// Boots the box, or does a piece of its work in another process than PID 1.
fn boot(words: &[OsString]) -> u8 {
    start::count();
    if std::process::id() == 1 || words.is_empty() {
        return crate::boot::run();
    }
    let _ = start::mask().thread_set_mask();
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    crate::helper::main(&words).unwrap_or_else(crate::boot::run)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_subcommands_are_those_that_clap_reads() {
        let command = CommandLine::command();
        let known: Vec<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(known, SUBCOMMANDS);
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_ascii_whitespace().map(OsString::from).collect()
    }

    fn asked(line: &str) -> Asked {
        CommandLine::try_parse_from(words(line)).unwrap().asked
    }

    #[test]
    fn the_name_decides_whether_a_word_is_a_subcommand_or_a_command() {
        for line in [
            "/init",
            "/init task --prompt x",
            "/usr/bin/cib-init status",
            "cib-init box",
            "cib-init task",
        ] {
            assert!(is_for_the_box(&words(line)), "{line}");
        }
        for line in [
            "/init status",
            "/init -- task",
            "/init tasks",
            "cib-init -- status",
            "cib-init run",
            "cib-init --help",
            "cib-init",
            "",
        ] {
            assert!(!is_for_the_box(&words(line)), "{line}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_options_of_exec_end_where_the_command_begins() {
        let exec = |user: &str, command: &[&str]| Asked::Exec {
            user: user.to_owned(),
            command: command.iter().map(OsString::from).collect(),
        };
        let line = "cib-init exec -u cib ls -u x";
        assert_eq!(asked(line), exec("cib", &["ls", "-u", "x"]));
        assert_eq!(asked("cib-init exec -- -odd"), exec(CODER, &["-odd"]));
        assert_eq!(asked("cib-init exec"), exec(CODER, &[]));
        assert!(CommandLine::try_parse_from(words("cib-init exec -x")).is_err());
    }

    #[test]
    fn the_last_lines_of_a_service_are_200_unless_told_otherwise() {
        let logs = |lines| Asked::Svc {
            verb: Service::Logs {
                service: "control".to_owned(),
                lines,
            },
        };
        assert_eq!(asked("cib-init svc logs control"), logs(200));
        assert_eq!(asked("cib-init svc logs control 7"), logs(7));
        let many = words("cib-init svc logs control 1001");
        assert!(CommandLine::try_parse_from(many).is_err());
    }
}
