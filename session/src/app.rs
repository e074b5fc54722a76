//! From the command line to an exit code.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use cib_base::errors::chain;
use cib_base::log;
use cib_protocol::MAX_INPUT_LINE;
use cib_protocol::purge::Removal;
use cib_protocol::session::SessionSpec;
use clap::Parser as _;

use crate::args::{Command, CommandLine, Finish, Launcher, Login, Purge, Run};
use crate::finish::{FinishError, finish};
use crate::keeper::{self, Options, StartError};
use crate::lock::LockError;
use crate::purge::PurgeError;
use crate::sweep::sweep;
use crate::{home, hook, login, purge, sys, watch};

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
    log::begin(log::Format::Text, log::LevelFilter::INFO);
    let command = match CommandLine::try_parse_from(args) {
        Ok(line) => line.command,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { OK };
            return error.print().map_or(IO, |()| code);
        }
    };
    match command {
        Command::Run(run) => run_session(run),
        Command::Finish(finish) => finish_sessions(&finish),
        Command::Purge(Purge {
            home: Some(home), ..
        }) => as_user(|| tell(&purge::home(&home)?)),
        Command::Purge(Purge {
            dir: Some(dir),
            runtime: Some(runtime),
            ..
        }) => purge_record(&dir, &runtime),
        Command::Purge(_) => USAGE,
        Command::Hook(hook) => match &hook.run {
            None => {
                if let Some(socket) = &hook.socket {
                    hook::carry(socket);
                }
                OK
            }
            Some(command) => hook::run(hook.socket.as_deref(), command),
        },
        Command::Launcher(asked) => launcher(&asked),
        Command::Visit => as_user(home::answer_visit),
        Command::Store { file } => as_user(|| home::answer_store(&file)),
        Command::Watch => as_user(watch::run),
        Command::Login(asked) => keep_logins(asked),
    }
}

fn run_session(run: Run) -> u8 {
    let spec = match read_spec() {
        Ok(spec) => spec,
        Err(why) => {
            tracing::error!("no session spec on standard input: {why}");
            return CONFIG;
        }
    };
    let fds = [
        ("--ready-fd", run.ready_fd),
        ("--launcher-fd", run.launcher_fd),
    ];
    let [Ok(ready), Ok(launcher)] = fds.map(|(option, fd)| inherited(option, fd)) else {
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
        launcher,
        peers: run.peers,
    };
    let Err(error) = keeper::run(spec, options) else {
        return OK;
    };
    tracing::error!("{}", chain(&error));
    match error {
        StartError::Spec(_) => CONFIG,
        StartError::Locked(error) => lock_code(&error),
        StartError::Journal(_) | StartError::Meta(_) | StartError::Unwritten => IO,
        StartError::Home(_)
        | StartError::Claude { .. }
        | StartError::Socket { .. }
        | StartError::System { .. } => INTERNAL,
    }
}

fn keep_logins(asked: Login) -> u8 {
    let Ok(ready) = inherited("--ready-fd", asked.ready_fd) else {
        return USAGE;
    };
    let options = login::Options {
        runtime: asked.runtime,
        claude: asked.claude,
        patience_ms: asked.patience_ms,
        idle_ms: asked.idle_ms,
        credentials: asked.credentials,
    };
    match login::run(&options, ready) {
        Ok(()) => OK,
        Err(error) => {
            tracing::error!("logins cannot be kept: {error}");
            IO
        }
    }
}

/// A descriptor that this process was started with, if one was promised.
fn inherited(option: &str, number: Option<RawFd>) -> Result<Option<OwnedFd>, ()> {
    let Some(number) = number else {
        return Ok(None);
    };
    sys::inherited(number).map(Some).ok_or_else(|| {
        tracing::error!("{option} {number}: no such descriptor was passed");
    })
}

fn launcher(asked: &Launcher) -> u8 {
    let Ok(Some(socket)) = inherited("--fd", Some(asked.fd)) else {
        return USAGE;
    };
    let code = sys::Code::find().unwrap_or_default();
    let options = cib_launcher::Options {
        socket,
        user: asked.user(),
        patience: Duration::from_millis(asked.patience_ms),
    };
    match cib_launcher::serve(options, || code.release()) {
        Ok(()) => OK,
        Err(error) => {
            tracing::error!("nothing can be launched: {error}");
            INTERNAL
        }
    }
}

/// Does for a keeper what only the session's user may do. That user's other processes get no
/// hold of this one by its descriptors or its memory. Why it fails is said where the keeper
/// listens.
fn as_user(what: impl FnOnce() -> io::Result<()>) -> u8 {
    let hidden = nix::sys::prctl::set_dumpable(false).map_err(io::Error::from);
    match hidden.and_then(|()| what()) {
        Ok(()) => OK,
        Err(error) => {
            // The keeper sees the code in any case.
            let _ = write!(io::stdout(), "{error}");
            IO
        }
    }
}

fn finish_sessions(asked: &Finish) -> u8 {
    if let Some(sessions) = &asked.sessions {
        let closed = sweep(sessions);
        if closed > 0 {
            tracing::info!("{closed} sessions were live when the box last ended: interrupted");
        }
        return OK;
    }
    let Some(dir) = &asked.dir else {
        return USAGE;
    };
    let Err(error) = finish(dir, asked.state, asked.sync) else {
        return OK;
    };
    tracing::error!("{}", chain(&error));
    match error {
        FinishError::Locked(error) => lock_code(&error),
        FinishError::NoMeta | FinishError::Nameless(_) => CONFIG,
        FinishError::Meta(_) | FinishError::Journal(_) | FinishError::Write(_) => IO,
    }
}

fn purge_record(dir: &Path, runtime: &Path) -> u8 {
    let done = match purge::record(dir, runtime) {
        Ok(done) => done,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            return match error {
                PurgeError::Locked(error) => lock_code(&error),
                PurgeError::Open(_) => IO,
            };
        }
    };
    match tell(&done) {
        Ok(()) => OK,
        Err(_) => IO,
    }
}

/// Says what a removal came to.
fn tell(done: &Removal) -> io::Result<()> {
    let text = serde_json::to_string(done)?;
    io::stdout().write_all(text.as_bytes())
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
