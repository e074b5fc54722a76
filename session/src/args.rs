//! The command line.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

use cib_launcher::User;
use cib_protocol::session::State;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgGroup, Args, Parser, Subcommand};
use nix::unistd::{Gid, Uid};

use crate::journal::SyncPolicy;

/// Keeps one session: owns Claude and the session's journal.
#[derive(Debug, Parser)]
#[command(
    name = "cib-session",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 the session ended; 64 wrong usage; 70 Claude cannot be started, \
                  or an accident; 74 the journal cannot be opened or written; 75 another keeper \
                  has the session; 78 wrong spec."
)]
pub struct CommandLine {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Read a session's spec (JSON) from standard input until its end, run the session to its
    /// end, and exit.
    Run(Run),
    /// Close the record of a session whose keeper was killed.
    Finish(Finish),
    /// Remove the record of a session that has ended, or what is in the home of its user, and
    /// say on standard output what that came to (JSON). The empty folders are for whoever owns
    /// what they are in.
    Purge(Purge),
    /// Carry what one of the keeper's own hooks was told to the keeper, or run another one and
    /// tell the keeper how it went.
    Hook(Hook),
    /// Keep the user's login: drive `claude auth` for whoever asks on its socket.
    Login(Login),
    /// Start, signal and reap a session's processes for its keeper, and end all of them when
    /// that is gone.
    Launcher(Launcher),
    /// Look after the user's files for a keeper.
    Visit,
    /// Write a file of the user's for a keeper.
    Store {
        /// The file.
        #[arg(long)]
        file: PathBuf,
    },
    /// Follow the user's files for a keeper.
    Watch,
}

/// Options of `run`.
#[derive(Debug, PartialEq, Eq, Args)]
pub struct Run {
    /// The session's directory: transcript.jsonl, lock.
    #[arg(long)]
    pub dir: PathBuf,
    /// Where keeper.sock goes.
    #[arg(long, value_name = "DIR")]
    pub runtime: PathBuf,
    /// Descriptor that gets a newline once a client may connect.
    #[arg(long, value_name = "N")]
    pub ready_fd: Option<RawFd>,
    /// When frames have to be on the disk: none, batch or frame.
    #[arg(long, value_name = "POLICY", default_value = "none")]
    pub sync: SyncPolicy,
    /// How much of one tool's output is kept.
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub output_cap: usize,
    /// Milliseconds from asking Claude to end to killing it.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub grace_ms: u64,
    /// Milliseconds in which Claude has to answer after its start.
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    pub start_ms: u64,
    /// The CLI, found on PATH.
    #[arg(long, value_name = "PATH", default_value = "claude")]
    pub claude: PathBuf,
    /// A directory of the control group that the session is in; with version 1 there are
    /// several.
    #[arg(long, value_name = "DIR")]
    pub cgroup: Vec<PathBuf>,
    /// Socket of the session's launcher. Without one the keeper starts one, as its own user.
    #[arg(long, value_name = "N")]
    pub launcher_fd: Option<RawFd>,
    /// A user that may use keeper.sock beside root and the keeper's own.
    #[arg(long = "peer-uid", value_name = "UID")]
    pub peers: Vec<u32>,
}

/// Options of `finish`.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct Finish {
    /// The session's directory.
    #[arg(long, group = "which")]
    pub dir: Option<PathBuf>,
    /// Every session below --sessions whose record is open.
    #[arg(long, group = "which", requires = "sessions")]
    pub all: bool,
    /// Where the sessions' directories are.
    #[arg(long, value_name = "DIR", requires = "all")]
    pub sessions: Option<PathBuf>,
    /// The state that it ends in.
    #[arg(
        long,
        default_value = State::Interrupted.as_str(),
        conflicts_with = "all",
        value_parser = PossibleValuesParser::new(ENDS.map(|state| state.as_str())).map(end)
    )]
    pub state: State,
    /// When frames have to be on the disk: none, batch or frame.
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "none",
        conflicts_with = "all"
    )]
    pub sync: SyncPolicy,
}

/// The states in which a session can have ended.
const ENDS: [State; 3] = [State::Interrupted, State::Stopped, State::Failed];

#[expect(
    clippy::needless_pass_by_value,
    reason = "what the words of the command line are given to takes them so"
)]
fn end(word: String) -> State {
    let named = ENDS.into_iter().find(|state| state.as_str() == word);
    named.unwrap_or(State::Interrupted)
}

/// Options of `purge`. What is meant has to be clear: nothing comes back.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct Purge {
    /// The session's directory.
    #[arg(long, group = "which", requires = "runtime")]
    pub dir: Option<PathBuf>,
    /// That of its sockets.
    #[arg(long, value_name = "DIR", requires = "dir", conflicts_with = "home")]
    pub runtime: Option<PathBuf>,
    /// The home of its user.
    #[arg(long, value_name = "DIR", group = "which")]
    pub home: Option<PathBuf>,
}

/// Options of `hook`.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub struct Hook {
    /// The keeper's socket. Without one nobody is told.
    #[arg(long, value_name = "PATH", group = "what")]
    pub socket: Option<PathBuf>,
    /// Somebody else's hook, a shell's command, to be run and told of.
    #[arg(
        long,
        value_name = "COMMAND",
        group = "what",
        allow_hyphen_values = true
    )]
    pub run: Option<OsString>,
}

/// Options of `login`.
#[derive(Debug, PartialEq, Eq, Args)]
pub struct Login {
    /// Where login.sock goes.
    #[arg(long, value_name = "DIR")]
    pub runtime: PathBuf,
    /// Descriptor that gets a newline once it may be asked.
    #[arg(long, value_name = "N")]
    pub ready_fd: Option<RawFd>,
    /// Milliseconds in which a person has to bring the code.
    #[arg(long, value_name = "MS", default_value_t = 600_000)]
    pub patience_ms: u64,
    /// Milliseconds without a request after which it goes.
    #[arg(long, value_name = "MS", default_value_t = 600_000)]
    pub idle_ms: u64,
    /// A variable with a credential that sessions have and it has not.
    #[arg(long = "credential", value_name = "NAME")]
    pub credentials: Vec<String>,
    /// The CLI, found on PATH.
    #[arg(long, value_name = "PATH", default_value = "claude")]
    pub claude: PathBuf,
}

/// Options of `launcher`.
#[derive(Debug, PartialEq, Eq, Args)]
pub struct Launcher {
    /// Its end of a `SOCK_SEQPACKET` pair with the keeper.
    #[arg(long, value_name = "N")]
    pub fd: RawFd,
    /// Whose processes it starts, for whoever looks at it.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Whom it starts things as. [default: its own user]
    #[arg(long, requires = "gid")]
    pub uid: Option<u32>,
    /// That user's group.
    #[arg(long, requires = "uid")]
    pub gid: Option<u32>,
    /// Further groups of that user.
    #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "uid")]
    pub groups: Vec<u32>,
    /// Milliseconds from asking what runs to end to killing it, without a keeper.
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    pub patience_ms: u64,
}

impl Launcher {
    /// Whom things are started as.
    #[must_use]
    pub fn user(&self) -> Option<User> {
        Some(User {
            uid: Uid::from_raw(self.uid?),
            gid: Gid::from_raw(self.gid?),
            groups: self.groups.iter().copied().map(Gid::from_raw).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let words = line.split_whitespace();
        let parsed = CommandLine::try_parse_from(std::iter::once("cib-session").chain(words));
        match parsed {
            Ok(parsed) => Ok(parsed.command),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        CommandLine::command().debug_assert();
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
        let [dir, runtime, home] = ["/d", "/r", "/h"].map(|path| Some(PathBuf::from(path)));
        let record = Command::Purge(Purge {
            dir,
            runtime,
            home: None,
        });
        assert_eq!(parsed("purge --runtime /r --dir /d"), Ok(record));
        let homes = Command::Purge(Purge {
            dir: None,
            runtime: None,
            home,
        });
        assert_eq!(parsed("purge --home /h"), Ok(homes));
        for line in [
            "purge",
            "purge --dir /d",
            "purge --runtime /r",
            "purge --dir /d --home /h",
            "purge --dir /d --runtime /r --home /h",
            "purge --runtime /r --home /h",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_hooks_command_may_look_like_an_option() {
        let command = parsed("hook --run -x").unwrap();
        let run = Some(OsString::from("-x"));
        assert_eq!(command, Command::Hook(Hook { socket: None, run }));
    }

    #[test]
    fn whom_a_launcher_starts_things_as_is_a_user_with_a_group() {
        let user = |line: &str| match parsed(line).unwrap() {
            Command::Launcher(launcher) => launcher.user(),
            other => panic!("{other:?}"),
        };
        assert_eq!(user("launcher --fd 3"), None);
        let coder = user("launcher --fd 3 --uid 1000 --gid 1000 --groups 27,44").unwrap();
        assert_eq!(coder.uid.as_raw(), 1000);
        assert_eq!(coder.groups, [27, 44].map(Gid::from_raw));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (line, says) in [
            ("walk", "walk"),
            ("run --dir /d", "--runtime"),
            ("run --dir", "--dir"),
            ("run --colour", "--colour"),
            ("finish", "--dir"),
            ("finish --all", "--sessions"),
            ("finish --all --dir /d", "--all"),
            ("purge --runtime /r", "--dir"),
            ("purge --dir /d", "--runtime"),
            ("purge --dir /d --home /h", "--home"),
            ("login --idle-ms 5", "--runtime"),
            ("launcher --fd 3 --uid 1", "--gid"),
            ("launcher", "--fd"),
            ("store", "--file"),
            ("hook", "--socket"),
            ("run --sync often", "none, batch or frame"),
            (
                "finish --dir /d --state idle",
                "interrupted, stopped, failed",
            ),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
