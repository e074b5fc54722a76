//! The command line.

mod speaking;
mod standing;
mod start;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

pub use speaking::{Login, Logs, Send, Tokens};
pub use standing::{Config, ConfigVerb, Offload, OffloadInstall, OffloadVerb, Runner, Update};
pub use start::Start;

pub use crate::task::args::Task;

/// Boxes for the repository at hand: Claude Code with a copy of it, behind a wall.
///
/// In a Git repository `cib` alone, or with options of `start`, is `cib start`: a new branch, a box
/// with a copy of everything, Claude in it. What it commits comes back with `cib fetch`, `cib diff`
/// and `cib apply`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cib",
    version,
    max_term_width = 100,
    infer_subcommands = false,
    args_conflicts_with_subcommands = false,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong command line; 4 a credential is missing; 69 no engine; 78 configuration; 130 interrupted. exec, shell and attach end as the other side does."
)]
pub struct CommandLine {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do; `start` without one.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What holds for every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// The result as JSON on standard output, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what went wrong
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Never ask; fail and name the flag that answers
    #[arg(long, global = true)]
    pub no_input: bool,
    /// docker, podman, nerdctl, a program, a socket or an address [CIB_ENGINE]
    #[arg(long, global = true, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// The project's configuration [default: claude-run.config.json, .cib/config.json or cib.toml
    /// at the repository's top]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Act as if started in this folder
    #[arg(short = 'C', global = true, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// A box by its name, or a beginning of it that no other has; without one the only box of this
/// repository.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// Name or id of a box, or a beginning of it [default: the only one of this repository]
    #[arg(value_name = "BOX")]
    pub name: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Start a box with a copy of this repository, and Claude in it
    Start(Box<Start>),
    /// List boxes
    #[command(visible_alias = "ls")]
    List(List),
    /// Attach this terminal to a session
    Attach(Attach),
    /// Open a box's page in the browser
    Open(Open),
    /// Reach a port of a box from this machine, until Ctrl-C
    Port(Port),
    /// Stop boxes in order; what is in them stays
    Stop(Stop),
    /// Show what a box says
    Logs(Logs),
    /// Remove a box, unless it has commits that are nowhere else
    Rm(Remove),
    /// Remove boxes that do not run, unless they have commits that are nowhere else
    Clean(Clean),
    /// Bring over what a box has committed, as refs of this repository
    Fetch(Fetch),
    /// Show what a box has done
    Diff(Diff),
    /// Make a branch of what a box has committed
    #[command(visible_alias = "pull")]
    Apply(Apply),
    /// Push a box's branch from this machine
    Push(Push),
    /// Push a box's branch and open a pull request
    Pr(Pr),
    /// Tell of each commit in a box as it is made
    Watch(Watch),
    /// Run a command in a box, with the restrictions of the agent
    Exec(Exec),
    /// A shell in a box, with the restrictions of the agent
    Shell(Which),
    /// Copy files to a box or from it: SOURCE and TARGET are paths or BOX:PATH
    Cp(Copy),
    /// Say something to Claude in a box
    Send(Send),
    /// Say something to Claude in a box, and wait for the answer
    Ask(Send),
    /// Show a box: its sessions, what they do and ask, its credential
    Status(Which),
    /// Log Claude in, in a box
    Login(Login),
    /// Tokens of a box for other devices
    Tokens(Tokens),
    /// Send tasks to a box, to Kubernetes or to a Swarm, and follow them
    #[command(subcommand)]
    Task(Task),
    /// Have plans that are approved in Claude on this machine carried out in boxes
    Offload(Offload),
    /// A box of this repository that stays, with a shell to work in
    #[command(subcommand)]
    Runner(Runner),
    /// Replace this program by a newer one that is signed
    #[command(visible_alias = "update")]
    SelfUpdate(Update),
    /// Show the configuration, and where each value stands
    Config(Config),
    /// Look at everything that boxes need, and say what helps
    Doctor,
    /// Print what completes this command line in a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or that of a command
    Man {
        /// The command
        command: Option<String>,
    },
}

/// Reads a command line. One that names no command is `start`'s, with all that this can be told.
///
/// # Errors
/// It makes no sense, or asks for help.
pub fn parse(arguments: &[OsString]) -> Result<CommandLine, clap::Error> {
    let first = first_word(arguments);
    let as_start = || {
        let mut words = arguments.to_vec();
        words.insert(1, "start".into());
        CommandLine::try_parse_from(words)
    };
    match first.as_deref() {
        // All that comes behind it is a prompt.
        Some("--") => as_start(),
        Some(word) if word.starts_with('-') => match CommandLine::try_parse_from(arguments) {
            Err(error) if error.kind() == ErrorKind::UnknownArgument => as_start(),
            parsed => parsed,
        },
        _ => CommandLine::try_parse_from(arguments),
    }
}

/// What comes behind the options that hold for every command.
fn first_word(arguments: &[OsString]) -> Option<String> {
    let command = CommandLine::command();
    let mut words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let global = command.get_arguments().find(|known| {
            let long = known.get_long().map(|long| format!("--{long}"));
            let short = known.get_short().map(|short| format!("-{short}"));
            [long, short].contains(&Some(word.split('=').next().unwrap_or_default().to_owned()))
        });
        match global {
            None => return Some(word.into_owned()),
            Some(known) if known.get_action().takes_values() && !word.contains('=') => {
                let _ = words.next();
            }
            Some(_) => {}
        }
    }
    None
}

/// `list`
#[derive(Clone, Debug, Default, Args)]
pub struct List {
    /// Those that do not run, too
    #[arg(long, short)]
    pub all: bool,
    /// Names alone, as `--quiet` has it
    #[arg(long)]
    pub names: bool,
    /// Those of other repositories, too
    #[arg(long)]
    pub all_repos: bool,
    /// The JSON schema of what --json prints
    #[arg(long)]
    pub schema: bool,
}

/// `attach`
#[derive(Clone, Debug, Default, Args)]
pub struct Attach {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// A session's id, or a beginning of it [default: the newest that lives]
    #[arg(long)]
    pub session: Option<String>,
    /// `tty`: make a terminal of a session that has none
    #[arg(long, value_parser = ["tty"])]
    pub driver: Option<String>,
    /// What leaves the session as it is [CIB_DETACH_KEYS] [default: ctrl-]]
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Type nothing
    #[arg(long)]
    pub read_only: bool,
    /// Called as claude-run, this terminal instead of the browser; else it is always this terminal
    #[arg(long, hide = true)]
    pub no_web: bool,
}

/// `open`
#[derive(Clone, Debug, Default, Args)]
pub struct Open {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// Print the address instead
    #[arg(long)]
    pub print: bool,
}

/// `port`
#[derive(Clone, Debug, Default, Args)]
pub struct Port {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// The port in the box [default: that of its page and API]
    #[arg(long, value_name = "PORT")]
    pub inside: Option<u16>,
    /// The port here, on the loopback address [default: one that is free]
    #[arg(long, value_name = "PORT")]
    pub here: Option<u16>,
}

/// `stop`
#[derive(Clone, Debug, Default, Args)]
pub struct Stop {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// All boxes that run, of every repository
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// Seconds until what has not ended is killed
    #[arg(long, short, default_value_t = 15)]
    pub time: u32,
}

/// `rm`
#[derive(Clone, Debug, Default, Args)]
pub struct Remove {
    /// Name or id of the box, or a beginning of it
    #[arg(value_name = "BOX", required = true)]
    pub name: String,
    /// Also if it runs, and whatever is lost with it
    #[arg(long, short)]
    pub force: bool,
    /// Keep its volumes
    #[arg(long)]
    pub keep_volumes: bool,
    /// Its volumes go as well, which is so unless they are kept
    #[arg(long, hide = true, conflicts_with = "keep_volumes")]
    pub volumes: bool,
}

/// `clean`
#[derive(Clone, Debug, Default, Args)]
pub struct Clean {
    /// Those alone that were made so long ago, or before: 7d, 12h, 2w; a number alone is days
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub older: Option<jiff::SignedDuration>,
    /// Also those that run, and whatever is lost with them
    #[arg(long, short)]
    pub force: bool,
    /// Those of other repositories, too
    #[arg(long)]
    pub all_repos: bool,
    /// Keep their volumes
    #[arg(long)]
    pub keep_volumes: bool,
    /// Their volumes go as well, which is so unless they are kept
    #[arg(long, hide = true, conflicts_with = "keep_volumes")]
    pub volumes: bool,
    /// Also the images of this project's that no box has any more, but the one that a start takes
    #[arg(long)]
    pub images: bool,
    /// Do not ask before anything goes
    #[arg(long, short)]
    pub yes: bool,
}

/// A time that has passed: a number of days, or one with its unit.
fn age(text: &str) -> Result<jiff::SignedDuration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let hours = match &text[digits.len()..] {
        "h" => 1,
        "" | "d" => 24,
        "w" => 7 * 24,
        _ => return Err("a number of days, or one with h, d or w behind it".to_owned()),
    };
    let count: u32 = digits.parse().map_err(|_| "that is no number".to_owned())?;
    Ok(jiff::SignedDuration::from_hours(i64::from(count) * hours))
}

/// `fetch`
#[derive(Clone, Debug, Default, Args)]
pub struct Fetch {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// All branches, not only the box's own
    #[arg(long)]
    pub all_branches: bool,
    /// Bytes that are taken of the box, at most
    #[arg(long, value_name = "BYTES", default_value_t = crate::git::helper::MAX_FETCH_DEFAULT)]
    pub max_fetch: u64,
}

/// `diff`
#[derive(Clone, Debug, Default, Args)]
pub struct Diff {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// Files and how much of them, instead of lines
    #[arg(long)]
    pub stat: bool,
    /// What is not committed as well
    #[arg(long)]
    pub wip: bool,
    /// What this commit of the box's changes, alone
    #[arg(long, value_name = "ID", conflicts_with = "wip")]
    pub commit: Option<String>,
    /// Print it, whatever the terminal
    #[arg(long)]
    pub no_pager: bool,
}

/// `apply`
#[derive(Clone, Debug, Default, Args)]
pub struct Apply {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// The branch here [default: as in the box]
    #[arg(long)]
    pub branch: Option<String>,
    /// Merge it into what is checked out
    #[arg(long, conflicts_with_all = ["checkout", "patch"])]
    pub merge: bool,
    /// Check it out
    #[arg(long, conflicts_with = "patch")]
    pub checkout: bool,
    /// Take what is not committed in the box into the working tree and index
    #[arg(long)]
    pub patch: bool,
    /// Although it changes what acts by itself
    #[arg(long, short)]
    pub yes: bool,
}

/// Where and how a branch is pushed
#[derive(Clone, Debug, Default, Args)]
pub struct Push {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// The remote [default: the box's, else remote.pushDefault, else origin]
    #[arg(long)]
    pub remote: Option<String>,
    /// Although it changes what acts by itself
    #[arg(long, short)]
    pub yes: bool,
    /// Although it is the remote's default branch
    #[arg(long)]
    pub allow_default: bool,
}

/// `pr`
#[derive(Clone, Debug, Default, Args)]
pub struct Pr {
    /// Where and how it is pushed
    #[command(flatten)]
    pub push: Push,
    /// The branch that it is to go into [default: the remote's default branch]
    #[arg(long)]
    pub base: Option<String>,
    /// Its title [default: the first commit's]
    #[arg(long)]
    pub title: Option<String>,
    /// Its text [default: the commits' messages]
    #[arg(long)]
    pub body: Option<String>,
    /// Not yet to be merged
    #[arg(long)]
    pub draft: bool,
}

/// `watch`
#[derive(Clone, Debug, Default, Args)]
pub struct Watch {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// Push what is committed, unless it changes what acts by itself
    #[arg(long)]
    pub auto_push: bool,
    /// Push it, and open a pull request
    #[arg(long)]
    pub auto_pr: bool,
    /// Do not, whatever the configuration says
    #[arg(long, conflicts_with_all = ["auto_push", "auto_pr"])]
    pub no_push: bool,
    /// End after so many commits
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// `exec`
#[derive(Clone, Debug, Default, Args)]
pub struct Exec {
    /// Folder that it runs in [default: /workspace]
    #[arg(long, short, value_name = "DIR")]
    pub workdir: Option<String>,
    /// A variable
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// As coder, which is so without it, as root, or as another user of the box's
    #[arg(long, short, value_name = "USER", conflicts_with = "root")]
    pub user: Option<String>,
    /// As the container's root, past the agent's restrictions
    #[arg(long)]
    pub root: bool,
    /// Name or id of the box, or a beginning of it
    #[arg(value_name = "BOX", required = true)]
    pub name: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `cp`
#[derive(Clone, Debug, Default, Args)]
pub struct Copy {
    /// A path, or BOX:PATH
    pub source: String,
    /// A path, or BOX:PATH
    pub target: String,
    /// Bytes that are taken of the box, at most
    #[arg(long, value_name = "BYTES", default_value_t = crate::git::helper::MAX_FETCH_DEFAULT)]
    pub max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_wrong_word_is_told_its_neighbour_and_ends_with_2() {
        let error = CommandLine::try_parse_from(["cib", "sart"]).unwrap_err();
        assert!(error.to_string().contains("start"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_command_line_without_a_command_is_that_of_start() {
        let read = |words: &[&str]| {
            let words: Vec<OsString> = std::iter::once(&"cib")
                .chain(words)
                .map(OsString::from)
                .collect();
            parse(&words)
        };
        for words in [
            &["--no-web", "-n", "a-name", "--", "a", "prompt"][..],
            &[
                "-qC",
                "/x",
                "--no-web",
                "--name=a-name",
                "--",
                "a",
                "prompt",
            ],
            &[
                "--engine", "podman", "-n", "a-name", "--no-web", "--", "a", "prompt",
            ],
            &[
                "--json",
                "--config=list",
                "--no-web",
                "-n",
                "a-name",
                "--",
                "a",
                "prompt",
            ],
        ] {
            let Some(Command::Start(start)) = read(words).unwrap().command else {
                unreachable!("{words:?} is start");
            };
            assert!(start.no_web, "{words:?}");
            assert_eq!(start.name.as_deref(), Some("a-name"));
            assert_eq!(start.prompt, ["a", "prompt"]);
        }
        for prompt in ["a prompt", "list"] {
            let alone = read(&["--", prompt]).unwrap();
            assert!(matches!(alone.command, Some(Command::Start(_))), "{prompt}");
        }
        assert!(read(&["--json"]).unwrap().command.is_none());
        // A command keeps its own faults, and help is help.
        for (words, said) in [
            (&["list", "--no-web"][..], "list"),
            (&["--engine", "podman", "ls", "-n", "x"], "-n"),
            (&["--no-wbe"], "--no-web"),
            (&["--help"], "Commands:"),
        ] {
            let error = read(words).unwrap_err().to_string();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }

    #[test]
    fn what_follows_the_box_belongs_to_the_command() {
        let line =
            CommandLine::try_parse_from(["cib", "exec", "box", "ls", "--json", "-l"]).unwrap();
        let Some(Command::Exec(exec)) = line.command else {
            unreachable!("it is exec");
        };
        assert_eq!(exec.command, ["ls", "--json", "-l"]);
    }
}
