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

use crate::boot;
use crate::environment::{Environment, LogFormat, LogLevel, Purpose};
use crate::exit;
use crate::logs::Logs;
use crate::process::Processes;
use crate::signals::Signals;
use crate::spawn::{Capabilities, Command, Ids, Leads, Sink, Stdin};
use crate::steps::accounts::{Account, Accounts, CODER};
use crate::steps::child_env::{Additions, ChildEnvironment};

/// Runs a command as a user, or that user's shell if the command is empty; its exit code.
#[must_use]
pub fn exec(user: &str, command: Vec<OsString>) -> u8 {
    let environment = Environment::of_process().read_for(Purpose::Inside, Vec::new());
    let survey = match boot::survey_of(environment) {
        Ok(survey) => survey,
        Err((faults, warnings)) => return boot::refuse(&faults, &warnings),
    };
    let account = match Accounts::read(&survey.paths) {
        Ok(accounts) => accounts.user(user),
        Err(error) => return complain(&chain(&error)),
    };
    let Some(account) = account else {
        return complain(&format!("there is no user `{user}` in this box"));
    };
    if !survey.facts.root() && survey.facts.uid != account.uid {
        return complain("only root can become another user: docker exec -u 0");
    }
    let agent = survey.paths.ssh_agent();
    let additions = Additions {
        ssh_agent: agent.exists().then_some(agent),
        claude_version: survey.claude.map(|choice| choice.version),
        ..Additions::default()
    };
    let environment = ChildEnvironment::new(
        &survey.environment,
        &survey.configuration.settings,
        &additions,
    );
    let mut variables = if account.name == CODER {
        environment.coder(&account)
    } else {
        environment.plain(&account)
    };
    if let Some(terminal) = survey.environment.get("TERM") {
        variables.insert("TERM".to_owned(), terminal.to_owned());
    }
    let workspace = survey.paths.workspace;
    let workdir = if workspace.is_dir() {
        workspace
    } else {
        PathBuf::from("/")
    };
    let command = words(command, &account, survey.facts.root())
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

fn words(mut words: Vec<OsString>, account: &Account, root: bool) -> Command {
    if words.is_empty() {
        words = vec![account.shell.clone().into(), "-l".into()];
    }
    let arguments = words.split_off(1);
    let mut command = Command::new(&words[0])
        .args(arguments)
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

fn complain(fault: &str) -> u8 {
    let _ = writeln!(io::stderr(), "cib-init: {fault}");
    exit::INTERNAL
}
