//! From the command line to an exit code.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{OwnedFd, RawFd};

use cib_protocol::MAX_INPUT_LINE;
use cib_protocol::session::SessionSpec;

use crate::args::{self, Command, Finish, HELP, Run};
use crate::finish::{FinishError, finish};
use crate::keeper::{self, Options, StartError};
use crate::lock::LockError;
use crate::{hook, log, login, sys};

/// Everything went as it should.
const OK: u8 = 0;
/// The command line is wrong (`EX_USAGE`).
const USAGE: u8 = 64;
/// An accident (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;
/// Something cannot be read or written (`EX_IOERR`).
const IO: u8 = 74;
/// Another keeper has the session (`EX_TEMPFAIL`).
const LOCKED: u8 = 75;
/// The spec is wrong (`EX_CONFIG`).
const CONFIG: u8 = 78;

/// Runs the program and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    match args::parse(args) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Version) => print(concat!("cib-session ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Run(run)) => run_session(run),
        Ok(Command::Finish(finish)) => finish_session(&finish),
        Ok(Command::Hook(hook)) => match &hook.run {
            None => {
                hook::carry(&hook.socket);
                OK
            }
            Some(command) => hook::run(&hook.socket, command),
        },
        Ok(Command::Login(options, ready_fd)) => keep_logins(&options, ready_fd),
        Err(error) => {
            log!("{error}; see cib-session --help");
            USAGE
        }
    }
}

fn print(text: &str) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => OK,
        Err(_) => IO,
    }
}

fn run_session(run: Run) -> u8 {
    let spec = match read_spec() {
        Ok(spec) => spec,
        Err(why) => {
            log!("no session spec on standard input: {why}");
            return CONFIG;
        }
    };
    let Ok(ready) = inherited(run.ready_fd) else {
        return USAGE;
    };
    let options = Options {
        dir: run.dir,
        runtime: run.runtime,
        ready,
        sync: run.sync,
        grace_ms: run.grace_ms,
        start_ms: run.start_ms,
        output_cap: run.output_cap,
        claude: run.claude,
        cgroup: run.cgroup,
    };
    let Err(error) = keeper::run(spec, options) else {
        return OK;
    };
    log!("{}", chain(&error));
    match error {
        StartError::Spec(_) => CONFIG,
        StartError::Locked(error) => lock_code(&error),
        StartError::Journal(_) | StartError::Meta(_) | StartError::Unwritten => IO,
        StartError::Claude { .. } | StartError::Socket { .. } | StartError::System { .. } => {
            INTERNAL
        }
    }
}

fn keep_logins(options: &login::Options, ready_fd: Option<RawFd>) -> u8 {
    let Ok(ready) = inherited(ready_fd) else {
        return USAGE;
    };
    match login::run(options, ready) {
        Ok(()) => OK,
        Err(error) => {
            log!("logins cannot be kept: {error}");
            IO
        }
    }
}

/// The descriptor that hears of readiness, if one was promised.
fn inherited(number: Option<RawFd>) -> Result<Option<OwnedFd>, ()> {
    let Some(number) = number else {
        return Ok(None);
    };
    sys::inherited(number).map(Some).ok_or_else(|| {
        log!("--ready-fd {number}: no such descriptor was passed");
    })
}

fn finish_session(asked: &Finish) -> u8 {
    let Err(error) = finish(&asked.dir, asked.state, asked.sync) else {
        return OK;
    };
    log!("{}", chain(&error));
    match error {
        FinishError::Locked(error) => lock_code(&error),
        FinishError::NoMeta | FinishError::Nameless(_) => CONFIG,
        FinishError::Meta(_) | FinishError::Journal(_) | FinishError::Write(_) => IO,
    }
}

fn lock_code(error: &LockError) -> u8 {
    match error {
        LockError::Held(_) => LOCKED,
        LockError::Io { .. } => IO,
        LockError::Haunted { .. } => INTERNAL,
    }
}

fn read_spec() -> Result<SessionSpec, String> {
    let mut text = Vec::new();
    let most = MAX_INPUT_LINE as u64;
    let mut input = io::stdin().lock().take(most + 1);
    input
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > most {
        return Err(format!("it is longer than {most} bytes"));
    }
    // The parser's own message may quote a value, and a value may be a secret.
    crate::json::from_bytes(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "{:?} error at line {line} column {column}",
            error.classify()
        )
    })
}

/// An error with everything that caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
