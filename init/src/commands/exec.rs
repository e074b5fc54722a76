//! `cib-init exec`: a command in the running box with the restrictions of the box.
//!
//! `docker exec` gives whatever it starts the container's capabilities again, NET_ADMIN
//! included. This gives up all that coder's processes do not have, then runs the command.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;

use cib_base::errors::chain;
use tokio::task::LocalSet;

use super::usage;
use crate::boot;
use crate::environment::{LogFormat, LogLevel};
use crate::exit;
use crate::logs::Logs;
use crate::process::Processes;
use crate::signals::Signals;
use crate::spawn::{Capabilities, Command, Ids, Leads, Sink, Stdin};
use crate::steps::accounts::{Account, Accounts, CODER};
use crate::steps::child_env::{Additions, ChildEnvironment};

/// What is to be run, and as whom.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    user: String,
    /// Empty for the user's shell.
    command: Vec<String>,
}

/// Runs a command, or coder's shell; its exit code.
#[must_use]
pub fn exec(words: &[String]) -> u8 {
    let wanted = match parse(words) {
        Ok(wanted) => wanted,
        Err(fault) => return usage(fault),
    };
    let ground = match boot::survey() {
        Ok(ground) => ground,
        Err((faults, warnings)) => return boot::refuse(&faults, &warnings),
    };
    let account = match Accounts::read(&ground.paths) {
        Ok(accounts) => accounts.user(&wanted.user),
        Err(error) => return complain(&chain(&error)),
    };
    let Some(account) = account else {
        return complain(&format!("there is no user `{}` in this box", wanted.user));
    };
    if !ground.facts.root() && ground.facts.uid != account.uid {
        return complain("only root can become another user: docker exec -u 0");
    }
    let agent = ground.paths.ssh_agent();
    let additions = Additions {
        ssh_agent: agent.exists().then_some(agent),
        claude_version: ground.claude.map(|choice| choice.version),
        ..Additions::default()
    };
    let environment = ChildEnvironment::new(
        &ground.environment,
        &ground.configuration.settings,
        &additions,
    );
    let mut variables = if account.name == CODER {
        environment.coder(&account)
    } else {
        environment.plain(&account)
    };
    if let Some(terminal) = ground.environment.get("TERM") {
        variables.insert("TERM".to_owned(), terminal.to_owned());
    }
    let workspace = ground.paths.workspace;
    let workdir = if workspace.is_dir() {
        workspace
    } else {
        PathBuf::from("/")
    };
    let command = command(&wanted, &account, ground.facts.root())
        .env(variables)
        .workdir(workdir);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.to_string()),
    };
    LocalSet::new().block_on(&runtime, run(command))
}

fn command(wanted: &Wanted, account: &Account, root: bool) -> Command {
    let shell = [account.shell.display().to_string(), "-l".to_owned()];
    let words = if wanted.command.is_empty() {
        &shell[..]
    } else {
        &wanted.command[..]
    };
    let mut command = Command::new(&words[0])
        .args(words[1..].iter().map(OsString::from))
        .capabilities(if account.uid == 0 {
            Capabilities::Reduced
        } else {
            Capabilities::None
        });
    command.ids = root.then(|| Ids {
        uid: account.uid,
        gid: account.gid,
        groups: account.groups.clone(),
    });
    command.stdin = Stdin::Inherit;
    command.stdout = Sink::Inherit;
    command.stderr = Sink::Inherit;
    // It stays in the terminal's foreground group, which we are in as well: signals are
    // blocked here, so a Ctrl-C is the command's alone.
    command.leads = Leads::Nothing;
    command
}

async fn run(command: Command) -> u8 {
    let logs = Logs::new(LogFormat::Text, LogLevel::Error, true);
    let processes = Processes::new(Rc::new(logs));
    let mut signals = match Signals::of(&[libc::SIGCHLD]) {
        Ok(signals) => signals,
        Err(error) => return complain(&error.to_string()),
    };
    let mut child = match processes.spawn(command) {
        Ok(child) => child,
        Err(error) => {
            let _ = complain(&chain(&error));
            return exit::NOT_FOUND;
        }
    };
    if let Err(error) = child.executed().await {
        let _ = complain(&chain(&error));
    }
    loop {
        tokio::select! {
            ended = child.wait() => return ended.shell_code(),
            delivered = signals.next() => match delivered {
                Ok(_) => processes.reaper().drain().await,
                Err(error) => return complain(&error.to_string()),
            },
        }
    }
}

fn parse(words: &[String]) -> Result<Wanted, &'static str> {
    let mut user = CODER.to_owned();
    let mut rest = words;
    loop {
        match rest {
            [option, value, tail @ ..] if option == "-u" || option == "--user" => {
                user.clone_from(value);
                rest = tail;
            }
            [separator, tail @ ..] if separator == "--" => {
                return Ok(Wanted {
                    user,
                    command: tail.to_vec(),
                });
            }
            [option, ..] if option.starts_with('-') => {
                return Err("exec takes -u USER, then -- and a command");
            }
            command => {
                return Ok(Wanted {
                    user,
                    command: command.to_vec(),
                });
            }
        }
    }
}

fn complain(fault: &str) -> u8 {
    let _ = writeln!(io::stderr(), "cib-init: {fault}");
    exit::INTERNAL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Wanted, &'static str> {
        parse(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let wanted = parsed(&["-u", "cib", "ls", "-u", "x"]).unwrap();
        assert_eq!(wanted.user, "cib");
        assert_eq!(wanted.command, ["ls", "-u", "x"]);
        let wanted = parsed(&["--", "-odd"]).unwrap();
        assert_eq!(
            (wanted.user.as_str(), &wanted.command[..]),
            (CODER, &["-odd".to_owned()][..])
        );
        assert!(parsed(&["-x"]).is_err());
    }
}
