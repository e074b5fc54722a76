//! The command line: what was asked for, and who does it.
//!
//! Called as `init` (the image's `/init`), every word that is no option is a command to run,
//! so that `docker run IMAGE status` runs a program named `status`. Called by any other name,
//! the subcommands of [`Subcommand`] come first, and `--` in front makes a command of anything.

use std::ffi::CStr;
use std::io::{self, Write};

use crate::bare::{self, Options, Parsed};
use crate::commands;
use crate::exit;
use crate::sys::signal;
use crate::sys::start::{self, Arguments};

const HELP: &str = "\
cib-init: PID 1 of claude-in-box

As a bare init:
  cib-init [OPTIONS] [--] COMMAND [ARGUMENT...]

  -g, --group              send signals to the command's whole process group
  -r, --rewrite FROM:TO    send TO instead of FROM; 0 drops it (repeatable)
  -e, --remap-exit CODE    exit with 0 if the command exits with CODE (repeatable)
      --grace SECONDS      what descendants get between SIGTERM and SIGKILL once the
                           command has ended (default 8)
  -p, --parent-death SIG   have SIG sent to cib-init when its parent dies
  -v, --verbose            say each signal that is passed on
  -c, --single-child       signals go to the command alone (the default)
  -s, --subreaper          accepted for tini's sake: always so where it is needed
  -h, --help               print this
  -V, --version            print the version

  Exits with the command's code, 128+n if signal n ended it, 127 if there is no such
  command, 126 if it cannot be executed, 64 if the options are wrong.

As the box (what /init without arguments does):
  cib-init box             boot, then supervise
  cib-init plan            print the boot plan and do nothing
  cib-init check           validate environment and configuration, and change nothing
  cib-init status [--json] services, steps and egress of the running box
  cib-init healthcheck     exit with 0 if the box is healthy
  cib-init svc start|stop|restart|logs SERVICE
  cib-init egress status|test|doctor
  cib-init claude-version  which of the image's Claude Codes runs here
  cib-init exec [-u USER] [--] [COMMAND...]
                           a shell or command with the restrictions of the box

  Called as `init`, every word is a command; these need the name `cib-init`.
";

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

/// Does what the process's arguments ask for, and returns its exit code.
#[must_use]
pub fn main() -> u8 {
    let arguments = Arguments::of_process();
    let as_init = is_init(arguments.at(0).unwrap_or_default());
    if as_init && arguments.count() <= 1 {
        return run(Subcommand::Box, arguments);
    }
    if !as_init
        && let Some(subcommand) = arguments
            .at(1)
            .and_then(|word| Subcommand::named(word.to_bytes()))
    {
        return run(subcommand, arguments);
    }
    match Options::parse(arguments.from(1)) {
        Ok(Parsed::Run(options)) => bare::run(&options, arguments),
        Ok(Parsed::Help) => print(HELP),
        Ok(Parsed::Version) => print(concat!("cib-init ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => usage(&error),
    }
}

fn is_init(program: &CStr) -> bool {
    program.to_bytes().rsplit(|b| *b == b'/').next() == Some(b"init")
}

fn run(subcommand: Subcommand, arguments: Arguments) -> u8 {
    // The box and `exec` take signals from a queue; the others die of them as anybody does.
    if !matches!(subcommand, Subcommand::Box | Subcommand::Exec) {
        signal::set_mask(start::inherited_mask());
    }
    let words: Vec<String> = arguments
        .from(2)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    match subcommand {
        Subcommand::Box => crate::boot::run(),
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

fn usage(error: &dyn std::error::Error) -> u8 {
    let _ = writeln!(
        io::stderr(),
        "cib-init: {error}\nusage: cib-init [OPTIONS] [--] COMMAND [ARGUMENT...]; see cib-init --help"
    );
    exit::USAGE
}

/// Writes to standard output; a reader that went away is no failure.
fn print(text: &str) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit::INTERNAL,
        _ => exit::OK,
    }
}
