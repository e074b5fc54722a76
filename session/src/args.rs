//! The command line.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

use cib_launcher::User;
use cib_protocol::session::State;
use nix::unistd::{Gid, Uid};

use crate::journal::SyncPolicy;
use crate::login;

/// What `--help` prints.
pub const HELP: &str = "\
cib-session keeps one session: it owns Claude and the session's journal.

Usage:
  cib-session run --dir DIR --runtime DIR [options]
  cib-session finish --dir DIR [--state STATE] [--sync POLICY]
  cib-session finish --all --sessions DIR
  cib-session purge --dir DIR --runtime DIR
  cib-session purge --home DIR
  cib-session hook [--socket PATH] [--run COMMAND]
  cib-session login --runtime DIR [options]
  cib-session launcher --fd N [options]
  cib-session --help | --version

run reads a session's spec (JSON) from standard input until its end, runs the session to its
end and exits. finish closes the record of a session whose keeper was killed. purge removes the
record of one that has ended, or what is in the home of its user, and says on standard output
what that came to (JSON); the empty folders are for whoever owns what they are in. hook is what
Claude runs for the keeper's own hooks, and around others, of which it tells how they went.
login keeps the user's login: it drives `claude auth` for whoever asks on its socket.
launcher starts, signals and reaps a session's processes for its keeper, and ends all of them
when that is gone. visit, store and watch are what the keeper runs as the session's user.

Options of run:
  --dir DIR             the session's directory: transcript.jsonl, lock
  --runtime DIR         where keeper.sock goes
  --ready-fd N          descriptor that gets a newline once a client may connect
  --sync POLICY         when frames have to be on the disk: none, batch or frame [none]
  --output-cap BYTES    how much of one tool's output is kept [1048576]
  --grace-ms MS         from asking Claude to end to killing it [5000]
  --start-ms MS         in which Claude has to answer after its start [60000]
  --claude PATH         the CLI [claude, found on PATH]
  --cgroup DIR          a directory of the control group that the session is in
  --launcher-fd N       socket of the session's launcher [it starts one, as its own user]
  --peer-uid UID        a user that may use keeper.sock beside root and the keeper's own

Options of launcher:
  --fd N                its end of a SOCK_SEQPACKET pair with the keeper
  --uid U --gid G       whom it starts things as [its own user]
  --groups A,B          further groups of that user
  --patience-ms MS      from asking what runs to end to killing it, without a keeper [3000]

Options of login:
  --runtime DIR         where login.sock goes
  --ready-fd N          descriptor that gets a newline once it may be asked
  --patience-ms MS      in which a person has to bring the code [600000]
  --idle-ms MS          without a request after which it goes [600000]
  --credential NAME     a variable with a credential that sessions have and it has not
  --claude PATH         the CLI [claude, found on PATH]

Options of finish:
  --state STATE         interrupted, stopped or failed [interrupted]
  --all                 every session below --sessions whose record is open, instead of --dir

Exit codes: 0 the session ended; 64 wrong usage; 70 Claude cannot be started, or an accident;
74 the journal cannot be opened or written; 75 another keeper has the session; 78 wrong spec.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// Run a session.
    Run(Run),
    /// Close a session's record.
    Finish(Finish),
    /// Close the record of every session below this directory that is open.
    Sweep(PathBuf),
    /// Remove the record of a session: its directory, and that of its sockets.
    Purge(PathBuf, PathBuf),
    /// Remove what is in this home.
    PurgeHome(PathBuf),
    /// Carry a hook's input to the keeper.
    Hook(Hook),
    /// Start things for a keeper.
    Launcher(Launch),
    /// Look after the user's files for a keeper.
    Visit,
    /// Write a file of the user's for a keeper.
    Store(PathBuf),
    /// Follow the user's files for a keeper.
    Watch,
    /// Keep logins, and tell the descriptor of that number when they can be asked about.
    Login(login::Options, Option<RawFd>),
}

/// Options of `run`.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// The session's directory.
    pub dir: PathBuf,
    /// Where the socket goes.
    pub runtime: PathBuf,
    /// Number of the descriptor that hears of readiness.
    pub ready_fd: Option<RawFd>,
    /// When frames have to be on the disk.
    pub sync: SyncPolicy,
    /// Bytes kept of one tool's output.
    pub output_cap: usize,
    /// Milliseconds from asking to killing.
    pub grace_ms: u64,
    /// Milliseconds until Claude has to answer.
    pub start_ms: u64,
    /// The CLI.
    pub claude: PathBuf,
    /// The directories of the session's control group; with v1 there are several.
    pub cgroup: Vec<PathBuf>,
    /// Number of the launcher's socket.
    pub launcher_fd: Option<RawFd>,
    /// Users that may use the keeper's socket.
    pub peers: Vec<u32>,
}

/// Options of `launcher`.
#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    /// Number of the socket.
    pub fd: RawFd,
    /// Whom things are started as.
    pub user: Option<User>,
    /// Milliseconds from asking to killing.
    pub patience_ms: u64,
}

/// Options of `hook`.
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    /// The keeper's socket. Without one nobody is told, and there has to be something to run.
    pub socket: Option<PathBuf>,
    /// Somebody else's hook, a shell's command, to be run and told of.
    pub run: Option<OsString>,
}

/// Options of `finish`.
#[derive(Debug, PartialEq, Eq)]
pub struct Finish {
    /// The session's directory.
    pub dir: PathBuf,
    /// The state that it ends in.
    pub state: State,
    /// When frames have to be on the disk.
    pub sync: SyncPolicy,
}

/// A command line that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The first word is no command.
    #[error("unknown command `{0}`")]
    Command(String),
    /// There is no first word.
    #[error("no command given")]
    NoCommand,
    /// The command has no such option.
    #[error("unknown option `{0}`")]
    Option(String),
    /// The option has no value.
    #[error("{0} wants a value")]
    NoValue(String),
    /// The option's value cannot be read.
    #[error("{option}: {why}")]
    Value {
        /// The option.
        option: String,
        /// What is wrong with it.
        why: String,
    },
    /// The option has to be given.
    #[error("{0} has to be given")]
    Missing(&'static str),
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// If they are no command line of this program.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut args = args.into_iter();
    let command = args.next().ok_or(UsageError::NoCommand)?;
    match command.to_str() {
        Some("--help" | "-h" | "help") => Ok(Command::Help),
        Some("--version" | "-V") => Ok(Command::Version),
        Some("run") => run(args),
        Some("finish") => finish(args),
        Some("purge") => purge(args),
        Some("hook") => hook(args),
        Some("login") => login(args),
        Some("launcher") => launcher(args),
        Some("visit") => Ok(Command::Visit),
        Some("store") => store(args),
        Some("watch") => Ok(Command::Watch),
        _ => Err(UsageError::Command(command.to_string_lossy().into_owned())),
    }
}

fn run(mut args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (mut dir, mut runtime) = (None, None);
    let mut run = Run {
        dir: PathBuf::new(),
        runtime: PathBuf::new(),
        ready_fd: None,
        sync: SyncPolicy::None,
        output_cap: 1024 * 1024,
        grace_ms: 5000,
        start_ms: 60_000,
        claude: PathBuf::from("claude"),
        cgroup: Vec::new(),
        launcher_fd: None,
        peers: Vec::new(),
    };
    while let Some(option) = args.next() {
        let option = option.to_string_lossy().into_owned();
        let mut value = || {
            args.next()
                .ok_or_else(|| UsageError::NoValue(option.clone()))
        };
        match option.as_str() {
            "--dir" => dir = Some(PathBuf::from(value()?)),
            "--runtime" => runtime = Some(PathBuf::from(value()?)),
            "--cgroup" => run.cgroup.push(PathBuf::from(value()?)),
            "--claude" => run.claude = PathBuf::from(value()?),
            "--ready-fd" => run.ready_fd = Some(read(&option, &value()?)?),
            "--launcher-fd" => run.launcher_fd = Some(read(&option, &value()?)?),
            "--peer-uid" => run.peers.push(read(&option, &value()?)?),
            "--sync" => run.sync = read(&option, &value()?)?,
            "--output-cap" => run.output_cap = read(&option, &value()?)?,
            "--grace-ms" => run.grace_ms = read(&option, &value()?)?,
            "--start-ms" => run.start_ms = read(&option, &value()?)?,
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(UsageError::Option(option)),
        }
    }
    run.dir = dir.ok_or(UsageError::Missing("--dir"))?;
    run.runtime = runtime.ok_or(UsageError::Missing("--runtime"))?;
    Ok(Command::Run(run))
}

fn finish(mut args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut dir = None;
    let (mut all, mut sessions) = (false, None);
    let mut state = State::Interrupted;
    let mut sync = SyncPolicy::None;
    while let Some(option) = args.next() {
        let option = option.to_string_lossy().into_owned();
        let mut value = || {
            args.next()
                .ok_or_else(|| UsageError::NoValue(option.clone()))
        };
        match option.as_str() {
            "--dir" => dir = Some(PathBuf::from(value()?)),
            "--all" => all = true,
            "--sessions" => sessions = Some(PathBuf::from(value()?)),
            "--sync" => sync = read(&option, &value()?)?,
            "--state" => {
                let word = value()?.to_string_lossy().into_owned();
                state = [State::Interrupted, State::Stopped, State::Failed]
                    .into_iter()
                    .find(|state| state.as_str() == word)
                    .ok_or_else(|| UsageError::Value {
                        why: format!("`{word}` is none of interrupted, stopped, failed"),
                        option,
                    })?;
            }
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(UsageError::Option(option)),
        }
    }
    if all {
        let sessions = sessions.ok_or(UsageError::Missing("--sessions"))?;
        return Ok(Command::Sweep(sessions));
    }
    let dir = dir.ok_or(UsageError::Missing("--dir"))?;
    Ok(Command::Finish(Finish { dir, state, sync }))
}

fn purge(mut args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (mut dir, mut runtime, mut home) = (None, None, None);
    while let Some(option) = args.next() {
        let option = option.to_string_lossy().into_owned();
        let mut value = || {
            args.next()
                .ok_or_else(|| UsageError::NoValue(option.clone()))
        };
        match option.as_str() {
            "--dir" => dir = Some(PathBuf::from(value()?)),
            "--runtime" => runtime = Some(PathBuf::from(value()?)),
            "--home" => home = Some(PathBuf::from(value()?)),
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(UsageError::Option(option)),
        }
    }
    match (dir, runtime, home) {
        (None, None, Some(home)) => Ok(Command::PurgeHome(home)),
        // What is meant has to be clear: nothing comes back.
        (_, _, Some(_)) => Err(UsageError::Option("--home".to_owned())),
        (Some(dir), Some(runtime), None) => Ok(Command::Purge(dir, runtime)),
        (None, _, None) => Err(UsageError::Missing("--dir")),
        (Some(_), None, None) => Err(UsageError::Missing("--runtime")),
    }
}

fn login(mut args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (mut runtime, mut ready_fd) = (None, None);
    let mut claude = PathBuf::from("claude");
    let (mut patience_ms, mut idle_ms) = (600_000, 600_000);
    let mut credentials = Vec::new();
    while let Some(option) = args.next() {
        let option = option.to_string_lossy().into_owned();
        let mut value = || {
            args.next()
                .ok_or_else(|| UsageError::NoValue(option.clone()))
        };
        match option.as_str() {
            "--runtime" => runtime = Some(PathBuf::from(value()?)),
            "--claude" => claude = PathBuf::from(value()?),
            "--ready-fd" => ready_fd = Some(read(&option, &value()?)?),
            "--patience-ms" => patience_ms = read(&option, &value()?)?,
            "--idle-ms" => idle_ms = read(&option, &value()?)?,
            "--credential" => credentials.push(value()?.to_string_lossy().into_owned()),
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(UsageError::Option(option)),
        }
    }
    let options = login::Options {
        runtime: runtime.ok_or(UsageError::Missing("--runtime"))?,
        claude,
        patience_ms,
        idle_ms,
        credentials,
    };
    Ok(Command::Login(options, ready_fd))
}

fn launcher(mut args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (mut fd, mut uid, mut gid) = (None, None, None);
    let mut groups = Vec::new();
    let mut patience_ms = 3000;
    while let Some(option) = args.next() {
        let option = option.to_string_lossy().into_owned();
        let mut value = || {
            args.next()
                .ok_or_else(|| UsageError::NoValue(option.clone()))
        };
        match option.as_str() {
            "--fd" => fd = Some(read(&option, &value()?)?),
            "--uid" => uid = Some(read(&option, &value()?)?),
            "--gid" => gid = Some(read(&option, &value()?)?),
            "--groups" => {
                let list = value()?.to_string_lossy().into_owned();
                for word in list.split(',').filter(|word| !word.is_empty()) {
                    groups.push(Gid::from_raw(read(&option, OsStr::new(word))?));
                }
            }
            "--patience-ms" => patience_ms = read(&option, &value()?)?,
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(UsageError::Option(option)),
        }
    }
    let user = match (uid, gid) {
        (Some(uid), Some(gid)) => Some(User {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups,
        }),
        (Some(_), None) => return Err(UsageError::Missing("--gid")),
        (None, _) => None,
    };
    Ok(Command::Launcher(Launch {
        fd: fd.ok_or(UsageError::Missing("--fd"))?,
        user,
        patience_ms,
    }))
}

fn store(mut args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    match (args.next(), args.next()) {
        (Some(option), Some(file)) if option == "--file" => Ok(Command::Store(file.into())),
        _ => Err(UsageError::Missing("--file")),
    }
}

fn hook(mut args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (mut socket, mut run) = (None, None);
    while let Some(option) = args.next() {
        let option = option.to_string_lossy().into_owned();
        let value = args.next();
        match option.as_str() {
            "--socket" => socket = value.map(PathBuf::from),
            "--run" => run = value,
            _ => return Err(UsageError::Option(option)),
        }
    }
    if socket.is_none() && run.is_none() {
        return Err(UsageError::Missing("--socket"));
    }
    Ok(Command::Hook(Hook { socket, run }))
}

fn read<T>(option: &str, value: &OsStr) -> Result<T, UsageError>
where
    T: FromStr,
    T::Err: Display,
{
    let word = value.to_string_lossy();
    word.parse().map_err(|error: T::Err| UsageError::Value {
        option: option.to_owned(),
        why: format!("`{word}`: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn run_takes_its_options_in_any_order() {
        let command = parsed("run --sync batch --runtime /r --ready-fd 5 --dir /d").unwrap();
        let Command::Run(run) = command else {
            panic!("{command:?}");
        };
        assert_eq!(run.dir, PathBuf::from("/d"));
        assert_eq!(run.runtime, PathBuf::from("/r"));
        assert_eq!(run.ready_fd, Some(5));
        assert_eq!(run.sync, SyncPolicy::Batch);
        assert_eq!(run.claude, PathBuf::from("claude"));
    }

    #[test]
    fn a_purge_is_of_a_record_or_of_a_home_and_never_of_something_unsaid() {
        let [dir, runtime, home] = ["/d", "/r", "/h"].map(PathBuf::from);
        let record = Command::Purge(dir, runtime);
        assert_eq!(parsed("purge --runtime /r --dir /d"), Ok(record));
        assert_eq!(parsed("purge --home /h"), Ok(Command::PurgeHome(home)));
        assert!(parsed("purge").is_err());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (line, says) in [
            ("", "no command given"),
            ("walk", "unknown command `walk`"),
            ("run --dir /d", "--runtime has to be given"),
            ("run --dir", "--dir wants a value"),
            ("run --colour", "unknown option `--colour`"),
            ("finish", "--dir has to be given"),
            ("finish --all --dir /d", "--sessions has to be given"),
            ("purge --runtime /r", "--dir has to be given"),
            ("purge --dir /d", "--runtime has to be given"),
            ("purge --dir /d --home /h", "unknown option `--home`"),
            ("login --idle-ms 5", "--runtime has to be given"),
            ("launcher --uid 1", "--gid has to be given"),
            ("launcher", "--fd has to be given"),
            ("store", "--file has to be given"),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), says);
        }
        let error = parsed("run --sync often").unwrap_err().to_string();
        assert!(error.contains("none, batch or frame"), "{error}");
        let error = parsed("finish --dir /d --state idle").unwrap_err();
        assert!(error.to_string().contains("`idle` is none of"), "{error}");
    }
}
