//! The commands, one a module, and what they share.

mod apply;
mod attach;
mod config;
mod diff;
mod doctor;
mod dry;
mod exec;
mod fetch;
mod forges;
mod habits;
mod holder;
mod image;
mod images;
mod inside;
mod list;
mod login;
mod making;
mod mounts;
mod news;
mod offload;
mod open;
mod plan;
mod port;
mod pr;
mod push;
mod remove;
mod renew;
mod runner;
mod start;
mod status;
mod stop;
mod talk;
mod tokens;
mod update;
mod watch;

use std::cell::OnceCell;
use std::io::{self, BufRead as _, Write as _};

use clap::CommandFactory as _;
use serde_json::Value;

use crate::api::Api;
use crate::args::{Command, CommandLine, Global, Start};
use crate::boxes::state::State;
use crate::boxes::{Boxes, Found, PORT, SelectError};
use crate::config::{Configuration, Origin};
use crate::engine::{Engine, forward};
use crate::failure::Failure;
use crate::git::{GitError, Repository};
use crate::output::Output;
use crate::surroundings::Surroundings;

/// What every command has at hand.
#[derive(Debug)]
pub struct Context<'a> {
    /// What the process was started with.
    pub around: &'a Surroundings,
    /// Where results go.
    pub output: &'a Output,
    /// What holds for every command.
    pub global: Global,
    /// Whether a person can be asked.
    pub can_ask: bool,
    /// The repository that the command was started in, once it was looked for and found.
    pub here: OnceCell<Repository>,
}

/// Does what a command line asks for; the exit code.
///
/// # Errors
/// A [`Failure`], which has one as well.
pub fn run(around: &Surroundings, output: &Output, line: CommandLine) -> Result<u8, Failure> {
    let mut around = around.clone();
    if let Some(folder) = &line.global.folder {
        around.folder = around.folder.join(folder);
    }
    let context = Context {
        around: &around,
        output,
        can_ask: around.can_ask && !line.global.no_input && !line.global.json,
        global: line.global,
        here: OnceCell::new(),
    };
    let command = line
        .command
        .unwrap_or_else(|| Command::Start(Box::<Start>::default()));
    match command {
        Command::Start(arguments) => start::run(&context, &arguments),
        Command::List(arguments) => list::run(&context, &arguments),
        Command::Attach(arguments) => attach::run(&context, &arguments),
        Command::Open(arguments) => open::run(&context, &arguments),
        Command::Port(arguments) => port::run(&context, &arguments),
        Command::Stop(arguments) => stop::stop(&context, &arguments),
        Command::Logs(arguments) => stop::logs(&context, &arguments),
        Command::Rm(arguments) => remove::rm(&context, &arguments),
        Command::Clean(arguments) => remove::clean(&context, &arguments),
        Command::Fetch(arguments) => fetch::run(&context, &arguments),
        Command::Diff(arguments) => diff::run(&context, &arguments),
        Command::Apply(arguments) => apply::run(&context, &arguments),
        Command::Push(arguments) => push::run(&context, &arguments),
        Command::Pr(arguments) => pr::run(&context, &arguments),
        Command::Watch(arguments) => watch::run(&context, &arguments),
        Command::Exec(arguments) => exec::exec(&context, &arguments),
        Command::Shell(which) => exec::shell(&context, &which),
        Command::Cp(arguments) => exec::copy(&context, &arguments),
        Command::Send(arguments) => talk::send(&context, &arguments),
        Command::Ask(arguments) => talk::ask(&context, &arguments),
        Command::Status(which) => status::run(&context, &which),
        Command::Login(arguments) => login::run(&context, &arguments),
        Command::Tokens(arguments) => tokens::run(&context, &arguments),
        Command::Task(verb) => crate::task::run(&context, &verb),
        Command::Offload(arguments) => offload::run(&context, &arguments),
        Command::Runner(verb) => runner::run(&context, &verb),
        Command::SelfUpdate(arguments) => update::run(&context, &arguments),
        Command::Config(arguments) => config::run(&context, &arguments),
        Command::Doctor => doctor::run(&context),
        Command::Completion { shell } => {
            let mut command = CommandLine::command();
            clap_complete::generate(shell, &mut command, "cib", &mut io::stdout());
            Ok(0)
        }
        Command::Man { command } => manual(command.as_deref()),
    }
}

fn manual(name: Option<&str>) -> Result<u8, Failure> {
    let mut command = CommandLine::command();
    command.build();
    let page = match name {
        None => command,
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::usage(format!("there is no command `{name}`")))?
        }
    };
    clap_mangen::Man::new(page).render(&mut io::stdout())?;
    Ok(0)
}

impl Context<'_> {
    /// The repository that the command was started in.
    ///
    /// # Errors
    /// There is none.
    pub fn repository(&self) -> Result<Repository, Failure> {
        Ok(self.found()?.clone())
    }

    fn found(&self) -> Result<&Repository, GitError> {
        if let Some(here) = self.here.get() {
            return Ok(here);
        }
        let found = Repository::find(self.around, &self.around.folder)?;
        Ok(self.here.get_or_init(|| found))
    }

    /// The configuration, with what flags of the command set.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn configuration(
        &self,
        flags: Vec<(&'static str, &str, Value)>,
    ) -> Result<Configuration, Failure> {
        let found = self.found().map(|found| found.top.clone());
        let top = found.unwrap_or_else(|_| self.around.folder.clone());
        let named = self.global.config.as_deref();
        Ok(Configuration::read(self.around, &top, named, flags)?)
    }

    /// The engine.
    ///
    /// # Errors
    /// None answers, or the configuration is wrong.
    pub fn engine(&self) -> Result<Engine, Failure> {
        let configuration = self.configuration(Vec::new())?;
        self.engine_of(&configuration)
    }

    /// The engine that a configuration names, unless something else does.
    ///
    /// # Errors
    /// None answers.
    pub fn engine_of(&self, configuration: &Configuration) -> Result<Engine, Failure> {
        let socket = configuration.path("dockerSocketPath", self.around);
        let socket = socket.map(|path| path.display().to_string());
        let named = match &configuration.valued("dockerSocketPath").origin {
            Origin::Default => None,
            _ => socket.as_deref().map(|path| ("dockerSocketPath", path)),
        };
        Ok(Engine::find(
            self.around,
            self.global.engine.as_deref(),
            named,
        )?)
    }

    /// The engine, and the box that a person means.
    ///
    /// # Errors
    /// There is no engine, or not one box that could be meant.
    pub fn choose(&self, word: Option<&str>) -> Result<(Engine, Found), Failure> {
        let engine = self.engine()?;
        let boxes = Boxes::of(&engine)?;
        let repository = match word {
            None if !self.around.as_before => Some(self.repository()?.id()),
            _ => None,
        };
        let found = match boxes.choose(word, repository.as_deref()) {
            Ok(found) => found.clone(),
            Err(SelectError::Several(names)) if self.can_ask => {
                let name = self.pick("Which box?", &names, "its name")?;
                boxes.named(&name)?.clone()
            }
            Err(error) => return Err(error.into()),
        };
        Ok((engine, found))
    }

    /// Has a person choose one of several words; `flag` is what answers for them.
    ///
    /// # Errors
    /// There is nobody to ask, or nothing is chosen.
    pub fn pick(&self, question: &str, words: &[String], flag: &str) -> Result<String, Failure> {
        let mut menu = String::new();
        for (at, word) in words.iter().enumerate() {
            menu.push_str(&format!("  {}  {word}\n", at + 1));
        }
        let answer = self.ask(&format!("{menu}{question} "), flag)?;
        let number = answer.parse::<usize>().ok();
        let chosen = number.and_then(|number| words.get(number.checked_sub(1)?));
        let chosen = chosen.or_else(|| words.iter().find(|word| **word == answer));
        chosen
            .cloned()
            .ok_or_else(|| Failure::usage("nothing was chosen").remedy(format!("say {flag}")))
    }

    /// The repository that a box is of: the one at hand, else the one that its label names.
    ///
    /// # Errors
    /// There is none, or another one.
    pub fn repository_of(&self, found: &Found) -> Result<Repository, Failure> {
        if let Ok(repository) = self.found()
            && repository.id() == found.repository
        {
            return Ok(repository.clone());
        }
        let there = Repository::find(self.around, std::path::Path::new(&found.path))?;
        if there.id() == found.repository {
            Ok(there)
        } else {
            let what = format!(
                "`{}` is a box of another repository than {}",
                found.name, found.path
            );
            Err(Failure::failed(what).remedy("go to its repository, and try again"))
        }
    }

    /// The API of a box that runs.
    ///
    /// # Errors
    /// It does not run, or its token is not known.
    pub fn api(&self, engine: &Engine, found: &Found) -> Result<Api, Failure> {
        found.running()?;
        let token = State::of(self.around, &found.name)?.token(engine, found)?;
        self.api_of(engine, found, token)
    }

    /// The API of a box with this token: at its port here, or through the engine's program if
    /// that is on another machine. That way lasts as long as this process.
    ///
    /// # Errors
    /// There is no way.
    pub fn api_of(&self, engine: &Engine, found: &Found, token: String) -> Result<Api, Failure> {
        let port = match found.port {
            None if engine.remote => Some(forward::begin(engine, &found.id, PORT, None)?),
            port => port,
        };
        Ok(Api::at(port, token)?)
    }

    /// Asks a person, if there is one; `flag` is what answers for them.
    ///
    /// # Errors
    /// There is nobody to ask.
    pub fn confirm(&self, question: &str, flag: &str) -> Result<bool, Failure> {
        let answer = self.ask(&format!("{question} [y/N] "), flag)?;
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks a person for a line; `flag` is what answers for them.
    ///
    /// # Errors
    /// There is nobody to ask.
    pub fn ask(&self, question: &str, flag: &str) -> Result<String, Failure> {
        if !self.can_ask {
            return Err(
                Failure::usage("an answer is needed, and nobody can be asked")
                    .remedy(format!("say {flag}")),
            );
        }
        let mut err = io::stderr().lock();
        write!(err, "{question}")?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }
}
