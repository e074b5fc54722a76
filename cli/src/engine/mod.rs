//! The container engine, spoken to by its own program: `docker`, `podman` or `nerdctl`.
//!
//! Contexts, credential helpers, `ssh://` engines, machines and rootless engines work as the
//! person has set them up, because their own program does the work.

pub mod find;
pub mod forward;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::process::{self, Ran, RunError};
use crate::surroundings::Surroundings;
pub use find::{Candidate, Kind, NOT_INSTALLED, Tried};

/// How long an engine has to say its version.
const ANSWER: Duration = Duration::from_secs(5);

/// The same for Podman, which has no engine beside itself and looks at all its storage first.
const ANSWER_ALONE: Duration = Duration::from_secs(30);

/// How long an ordinary question may take; a machine under load is slow, not dead.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long fetching or building an image may take.
const DOWNLOAD: Duration = Duration::from_secs(3600);

/// An engine that has answered.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Who named it.
    pub origin: String,
    /// Its program.
    pub program: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its address, if not the one that the program takes by itself.
    pub host: Option<String>,
    /// What it calls its version.
    pub version: String,
    /// Whether it is on another machine: its ports and its folders are not this one's.
    pub remote: bool,
}

/// Why the engine did not do something.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No place has an engine.
    #[error("no container engine answers{}", listed(.tried))]
    None {
        /// Every place that was looked at, in order.
        tried: Vec<Tried>,
    },
    /// It says no.
    #[error("the engine refuses to {what}: {said}")]
    Refused {
        /// What was asked of it.
        what: String,
        /// What it said.
        said: String,
    },
    /// Its program was not run to its end.
    #[error("the engine did not {what}")]
    NotRun {
        /// What was asked of it.
        what: String,
        /// Why.
        #[source]
        source: RunError,
    },
    /// Its answer is not what it should be.
    #[error("the engine's answer to {what} makes no sense")]
    Answer {
        /// What was asked of it.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

fn listed(tried: &[Tried]) -> String {
    let line = |place: &Tried| format!("\n    {}: {}", place.place, place.why);
    tried.iter().map(line).collect()
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::None { tried } => {
                let remedy = find::remedy(tried);
                Self::new(Exit::Engine, error).remedy(remedy)
            }
            EngineError::Refused { said, .. } => {
                let remedy = find::remedy_of_refusal(said);
                let failure = Self::failed(error);
                match remedy {
                    Some(remedy) => failure.remedy(remedy),
                    None => failure,
                }
            }
            _ => Self::failed(error),
        }
    }
}

impl Engine {
    /// The first engine that answers. `socket` is what the configuration names, with its key.
    ///
    /// # Errors
    /// None answers; every place that was tried is in the error.
    pub fn find(
        around: &Surroundings,
        flag: Option<&str>,
        socket: Option<(&str, &str)>,
    ) -> Result<Self, EngineError> {
        let mut tried = Vec::new();
        for candidate in find::candidates(around, flag, socket) {
            match Self::ask(around, &candidate) {
                Ok(engine) => return Ok(engine),
                Err(why) => tried.push(Tried {
                    place: format!("{} ({})", candidate.origin, candidate.program),
                    why,
                }),
            }
        }
        Err(EngineError::None { tried })
    }

    fn ask(around: &Surroundings, candidate: &Candidate) -> Result<Self, String> {
        if let Some(socket) = candidate
            .host
            .as_deref()
            .and_then(|h| h.strip_prefix("unix://"))
            && !PathBuf::from(socket).exists()
        {
            return Err("there is no such socket".to_owned());
        }
        let program = around
            .program(&candidate.program)
            .ok_or_else(|| NOT_INSTALLED.to_owned())?;
        let kind = Kind::of(&program);
        let mut engine = Self {
            origin: candidate.origin.clone(),
            program,
            kind,
            host: candidate.host.clone(),
            version: String::new(),
            remote: false,
        };
        let mut command = engine.command();
        match kind {
            Kind::Podman => command.args(["info", "--format", "{{.Version.Version}}"]),
            _ => command.args(["version", "--format", "{{.Server.Version}}"]),
        };
        let answer = match kind {
            Kind::Podman => ANSWER_ALONE,
            _ => ANSWER,
        };
        let ran = process::run(&mut command, b"", answer).map_err(|error| error.to_string())?;
        let version = ran.text();
        if !ran.good() || version.is_empty() {
            let said = ran.complaint();
            let last = said.lines().last().unwrap_or("it says no version");
            return Err(last.to_owned());
        }
        engine.version = crate::text::line(&version);
        engine.remote = engine.is_remote(around);
        Ok(engine)
    }

    /// Whether its address is one of another machine.
    fn is_remote(&self, around: &Surroundings) -> bool {
        let variable = match self.kind {
            Kind::Podman => "CONTAINER_HOST",
            _ => "DOCKER_HOST",
        };
        let address = self.host.clone();
        let address = address.or_else(|| around.variable(variable).map(str::to_owned));
        let address = match address {
            None if self.kind == Kind::Docker => self.of_context(around),
            address => address,
        };
        address.is_some_and(|address| find::is_remote(&address))
    }

    /// The address of docker's context, where a person has chosen one: that is seldom, and to ask
    /// costs a start of docker.
    fn of_context(&self, around: &Surroundings) -> Option<String> {
        let named = around.variable("DOCKER_CONTEXT").map(str::to_owned);
        let named = named.or_else(|| find::chosen_context(around))?;
        if named == "default" {
            return None;
        }
        let format = "{{.Endpoints.docker.Host}}";
        let words = ["context", "inspect", "--format", format];
        self.ask_for("describe its context", &words).ok()
    }

    /// Its program, which is going to speak to this engine.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(host) = &self.host {
            let variable = match self.kind {
                Kind::Podman => "CONTAINER_HOST",
                _ => "DOCKER_HOST",
            };
            command.env(variable, host);
        }
        command
    }

    /// What another start of `cib` takes to find the same engine: as `--engine` has it.
    #[must_use]
    pub fn word(&self) -> String {
        match &self.host {
            Some(host) => host.clone(),
            None => self.program.display().to_string(),
        }
    }

    /// Runs its program, whatever comes of it.
    ///
    /// # Errors
    /// It cannot be run to its end.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        what: &str,
        arguments: &[S],
        input: &[u8],
    ) -> Result<Ran, EngineError> {
        self.run_within(what, self.command(), arguments, input, PATIENCE)
    }

    fn run_within<S: AsRef<OsStr>>(
        &self,
        what: &str,
        mut command: Command,
        arguments: &[S],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Ran, EngineError> {
        command.args(arguments);
        process::run(&mut command, input, deadline).map_err(|source| EngineError::NotRun {
            what: what.to_owned(),
            source,
        })
    }

    /// Runs its program, which has to succeed, and returns what it said.
    ///
    /// # Errors
    /// It cannot be run to its end, or says no.
    pub fn ask_for<S: AsRef<OsStr>>(
        &self,
        what: &str,
        arguments: &[S],
    ) -> Result<String, EngineError> {
        self.tell(what, arguments, b"")
    }

    /// As [`Engine::ask_for`], with variables for its program besides its words.
    ///
    /// # Errors
    /// The same.
    pub fn ask_with<S: AsRef<OsStr>>(
        &self,
        what: &str,
        arguments: &[S],
        variables: &[(String, String)],
    ) -> Result<String, EngineError> {
        let mut command = self.command();
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        good(
            what,
            &self.run_within(what, command, arguments, b"", PATIENCE)?,
        )
    }

    /// As [`Engine::ask_for`], with something to read for its program.
    ///
    /// # Errors
    /// The same.
    pub fn tell<S: AsRef<OsStr>>(
        &self,
        what: &str,
        arguments: &[S],
        input: &[u8],
    ) -> Result<String, EngineError> {
        let ran = self.run(what, arguments, input)?;
        good(what, &ran)
    }

    /// What the engine knows of containers, volumes or images; those that are not there are left
    /// out.
    ///
    /// # Errors
    /// Its answer is no JSON, or there is none.
    pub fn inspect(&self, arguments: &[&str]) -> Result<Vec<Value>, EngineError> {
        const WHAT: &str = "describe what it has";
        let ran = self.run(WHAT, arguments, b"")?;
        // One that is gone by now makes a failure of a good answer about all others.
        match serde_json::from_slice(&ran.stdout) {
            Ok(values) => Ok(values),
            Err(_) if !ran.good() => good(WHAT, &ran).map(|_| Vec::new()),
            Err(source) => Err(EngineError::Answer {
                what: WHAT.to_owned(),
                source,
            }),
        }
    }

    /// Whether the engine has an image, and what it says of it.
    ///
    /// # Errors
    /// Its answer is no JSON.
    pub fn image(&self, name: &str) -> Result<Option<Value>, EngineError> {
        const WHAT: &str = "describe an image";
        let ran = self.run(WHAT, &["image", "inspect", name], b"")?;
        if !ran.good() {
            return Ok(None);
        }
        let values: Vec<Value> =
            serde_json::from_slice(&ran.stdout).map_err(|source| EngineError::Answer {
                what: WHAT.to_owned(),
                source,
            })?;
        Ok(values.into_iter().next())
    }

    /// Fetches or builds an image, as the arguments say.
    ///
    /// # Errors
    /// It cannot.
    pub fn make_image(&self, what: &str, arguments: &[String]) -> Result<String, EngineError> {
        let ran = self.run_within(what, self.command(), arguments, b"", DOWNLOAD)?;
        good(what, &ran)
    }
}

fn good(what: &str, ran: &Ran) -> Result<String, EngineError> {
    if ran.good() {
        return Ok(ran.text());
    }
    let said = ran.complaint();
    Err(EngineError::Refused {
        what: what.to_owned(),
        said: if said.is_empty() {
            format!("exit code {}", ran.code)
        } else {
            said
        },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn around(path: &std::path::Path) -> Surroundings {
        Surroundings {
            variables: [("PATH".to_owned(), path.display().to_string())].into(),
            ..Surroundings::default()
        }
    }

    fn program(folder: &std::path::Path, name: &str, script: &str) {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_first_engine_that_answers_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        program(
            folder.path(),
            "docker",
            "echo Cannot connect to the Docker daemon >&2; exit 1",
        );
        program(folder.path(), "podman", "echo 5.4.2");
        let engine = Engine::find(&around(folder.path()), None, None).unwrap();
        assert_eq!(
            (engine.kind, engine.version.as_str()),
            (Kind::Podman, "5.4.2")
        );
    }

    #[test]
    fn without_an_engine_every_place_is_named_with_a_remedy_and_exit_69() {
        let folder = tempfile::tempdir().unwrap();
        let mut around = around(folder.path());
        around
            .variables
            .insert("HOME".into(), "/nonexistent".into());
        let failure = Failure::from(Engine::find(&around, None, None).unwrap_err());
        let text = failure.error.to_string();
        for place in [
            "docker's current context (docker): not installed",
            "podman (podman): not installed",
            "/nonexistent/.orbstack/run/docker.sock (docker): there is no such socket",
            "/run/podman/podman.sock (podman)",
        ] {
            assert!(text.contains(place), "{place} is not in {text}");
        }
        assert_eq!(failure.exit.code(), 69);
        assert!(failure.remedy.is_some());
    }

    #[test]
    fn a_refusal_carries_what_the_engine_said_without_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        program(
            folder.path(),
            "docker",
            "case $1 in version) echo 28;; *) printf 'no \\033[2J such thing' >&2; exit 125;; esac",
        );
        let engine = Engine::find(&around(folder.path()), Some("docker"), None).unwrap();
        let error = engine.ask_for("make a thing", &["create"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the engine refuses to make a thing: no \\u{1b}[2J such thing"
        );
    }
}
