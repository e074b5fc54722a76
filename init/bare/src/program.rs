//! The command line: what was asked for, and whether that is the bare init's to do.
//!
//! Called as `init` (the image's `/init`), every word that is no option is a command to run,
//! so that `docker run IMAGE status` runs a program named `status`. Called by any other name,
//! the box's subcommands come first, and `--` in front makes a command of anything.

use crate::options::{Asked, Options, OptionsError};
use crate::sys::kernel;
use crate::sys::process::Process;
use crate::text::equal;
use crate::{exit, init};

const HELP: &[u8] = b"\
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
const VERSION: &[u8] = concat!("cib-init ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();

/// What the box does when it is called by this word, and not the bare init.
pub(crate) fn is_subcommand(word: &[u8]) -> bool {
    equal(word, b"box")
        || equal(word, b"plan")
        || equal(word, b"check")
        || equal(word, b"status")
        || equal(word, b"healthcheck")
        || equal(word, b"svc")
        || equal(word, b"egress")
        || equal(word, b"claude-version")
        || equal(word, b"exec")
}

/// Does what the arguments ask for and returns the exit code; `None` if it is the box's to do.
pub(crate) fn begin(process: Process) -> Option<u8> {
    let name = process.argument(0).unwrap_or_default();
    let name = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if equal(name, b"init") {
        if process.count() <= 1 {
            return None;
        }
    } else if process.argument(1).is_some_and(is_subcommand) {
        return None;
    }
    let mut options = Options::new();
    Some(match options.read(process.arguments(1)) {
        Ok(Asked::Run) => init::run(&options, process),
        Ok(Asked::Help) => print(HELP),
        Ok(Asked::Version) => print(VERSION),
        Err(error) => {
            explain(&error);
            exit::USAGE
        }
    })
}

fn explain(error: &OptionsError<'_>) {
    match error {
        OptionsError::NoCommand => {
            say_plainly(b"no command: say what to run, as in `cib-init -- sleep 10`");
        }
        OptionsError::Unknown([dashes, name]) => {
            let remedy = b"`: put `--` in front of a command that begins with `-`";
            say(&[b"unknown option `", dashes, name, remedy]);
        }
        OptionsError::NoValue([dashes, name]) => {
            say(&[b"option `", dashes, name, b"` needs a value"]);
        }
        OptionsError::BadValue {
            option: [dashes, name],
            value,
            expected,
        } => {
            let is_not = b"` is not a value of `";
            say(&[b"`", value, is_not, dashes, name, b"`: ", expected]);
        }
    }
    let usage = b"usage: cib-init [OPTIONS] [--] COMMAND [ARGUMENT...]; see cib-init --help\n";
    let _ = kernel::write(libc::STDERR_FILENO, usage);
}

/// Writes one line to standard error, in one call so that it is not torn.
pub(crate) fn say(pieces: &[&[u8]]) {
    let mut line: [&[u8]; 9] = [b""; 9];
    let (who, end): ([&[u8]; 1], [&[u8]; 1]) = ([b"cib-init: "], [b"\n"]);
    for (to, from) in line.iter_mut().zip(who.iter().chain(pieces).chain(&end)) {
        *to = from;
    }
    // Nobody is left to tell if this fails.
    kernel::write_pieces(libc::STDERR_FILENO, &line);
}

/// As [`say`] for what is known beforehand: a constant list of pieces would hold addresses.
#[inline(never)]
pub(crate) fn say_plainly(text: &[u8]) {
    say(&[text]);
}

/// Writes to standard output; a reader that went away is no failure.
fn print(text: &[u8]) -> u8 {
    let mut rest = text;
    while !rest.is_empty() {
        match kernel::write(libc::STDOUT_FILENO, rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(kernel::Errno(libc::EINTR)) => {}
            Err(kernel::Errno(libc::EPIPE)) => break,
            Err(_) => return exit::INTERNAL,
        }
    }
    exit::OK
}
