//! Boxes: what the engine's labels say of them, and how they are reached.
//!
//! The truth about a box is in its container's labels. What is kept beside them on this machine
//! can be lost without losing a box.

pub mod state;

use std::process::Command;

use serde::Serialize;
use serde_json::Value;

use crate::engine::{Engine, EngineError};
use crate::failure::{Exit, Failure};
use crate::text;

/// What every label begins with.
pub const LABEL: &str = "claude-in-box";

/// The port of the API in a box.
pub const PORT: u16 = 8080;

/// The capabilities that init needs to be init of other users' processes.
pub const CAPABILITIES: [&str; 6] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "SETGID",
    "SETUID",
];

/// The box's own program, where it stands. A name alone would be looked for by the engine in the container's
/// `PATH`, as root; that may name folders which the agent writes.
pub const INIT: &str = "/usr/bin/cib-init";

/// The variables of a command in a box: none of the container's, which hold what is not for it.
pub const PLAIN: [&str; 4] = [
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "HOME=/home/coder",
    "USER=coder",
    "LANG=C.UTF-8",
];

/// A box that the engine has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its container's id.
    pub id: String,
    /// What its container does: `running`, `exited`, `created`, …
    pub state: String,
    /// Its image.
    pub image: String,
    /// The digest of the repository's place.
    pub repository: String,
    /// The repository's working tree.
    pub path: String,
    /// Its branch.
    pub branch: String,
    /// The commit that it began with.
    pub base: String,
    /// The tree that it began with, files that git does not know included.
    pub tree: String,
    /// The remote that its branch is pushed to.
    pub remote: Option<String>,
    /// The container that holds its network, if that is not its own.
    pub holder: Option<String>,
    /// Whether it is its repository's runner.
    pub runner: bool,
    /// Whether `cib watch` pushes nothing of it by itself.
    pub no_push: bool,
    /// Whether `cib watch` opens no pull request of it by itself.
    pub no_pr: bool,
    /// The version of `cib` that made it.
    pub version: String,
    /// When it was made, as the engine says it.
    pub created: String,
    /// The port of its API on this machine's loopback, while it runs.
    pub port: Option<u16>,
}

/// The volumes of a box, each with where it is mounted.
#[must_use]
pub fn volumes(name: &str) -> [(String, &'static str); 4] {
    [
        (format!("{name}-workspace"), "/workspace"),
        (format!("{name}-data"), "/var/lib/claude-in-box"),
        (format!("{name}-home"), "/home/coder/.claude"),
        (format!("{name}-secrets"), "/run/secrets"),
    ]
}

/// All boxes of an engine.
#[derive(Clone, Debug)]
pub struct Boxes(pub Vec<Found>);

/// Why no box was chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// There is none.
    #[error("there is no box of this repository")]
    None,
    /// None has that name.
    #[error("there is no box `{}`", text::line(.0))]
    NoSuch(String),
    /// Several could be meant.
    #[error("several boxes could be meant: {}", .0.join(", "))]
    Several(Vec<String>),
    /// It does not run.
    #[error("the box `{0}` does not run")]
    Stopped(String),
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        let (exit, remedy) = match &error {
            SelectError::None => (
                Exit::Failed,
                "`cib start` makes one; `cib list --all-repos` shows those of others".to_owned(),
            ),
            SelectError::NoSuch(_) => (
                Exit::Failed,
                "`cib list -a --all-repos` shows them all".to_owned(),
            ),
            SelectError::Several(_) => (Exit::Usage, "name one".to_owned()),
            SelectError::Stopped(name) => (Exit::Failed, format!("cib start --again {name}")),
        };
        Self::new(exit, error).remedy(remedy)
    }
}

impl Boxes {
    /// All that the engine has, the newest first.
    ///
    /// # Errors
    /// The engine does not say.
    pub fn of(engine: &Engine) -> Result<Self, EngineError> {
        let filter = format!("label={LABEL}.cib=1");
        let ids = engine.ask_for(
            "list its containers",
            &["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter],
        )?;
        let ids: Vec<&str> = ids.lines().filter(|id| !id.is_empty()).collect();
        if ids.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let mut arguments = vec!["container", "inspect"];
        arguments.extend(ids);
        let mut boxes: Vec<Found> = engine
            .inspect(&arguments)?
            .iter()
            .filter_map(Found::from_inspect)
            .collect();
        held(engine, &mut boxes)?;
        boxes.sort_by(|a, b| b.created.cmp(&a.created));
        Ok(Self(boxes))
    }

    /// The one box of a name, by itself: in one question less than among all.
    ///
    /// # Errors
    /// The engine does not say.
    pub fn one(engine: &Engine, name: &str) -> Result<Self, EngineError> {
        // A box's container has its name.
        let about = engine.inspect(&["container", "inspect", name])?;
        let mut boxes: Vec<Found> = about.iter().filter_map(Found::from_inspect).collect();
        held(engine, &mut boxes)?;
        Ok(Self(boxes))
    }

    /// The box of exactly this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &str) -> Result<&Found, SelectError> {
        let found = self.0.iter().find(|found| found.name == name);
        found.ok_or_else(|| SelectError::NoSuch(name.to_owned()))
    }

    /// The box that a person means: by its name, by a beginning of its name or id that no other
    /// has; without a word the only one of the repository, and of those the only one that runs.
    ///
    /// # Errors
    /// None, or several, could be meant.
    pub fn choose(
        &self,
        word: Option<&str>,
        repository: Option<&str>,
    ) -> Result<&Found, SelectError> {
        let Some(word) = word else {
            let ours = |found: &&Found| repository.is_none_or(|id| found.repository == id);
            let ours: Vec<&Found> = self.0.iter().filter(ours).collect();
            let running: Vec<&Found> = ours.iter().copied().filter(|found| found.runs()).collect();
            return match (&ours[..], &running[..]) {
                ([], _) => Err(SelectError::None),
                ([one], _) | (_, [one]) => Ok(one),
                _ => Err(SelectError::Several(names(&ours))),
            };
        };
        if let Some(found) = self
            .0
            .iter()
            .find(|found| found.name == word || found.id == word)
        {
            return Ok(found);
        }
        let begins = |found: &&Found| {
            found.name.starts_with(word) || (word.len() >= 4 && found.id.starts_with(word))
        };
        let meant: Vec<&Found> = self.0.iter().filter(begins).collect();
        match meant[..] {
            [] => Err(SelectError::NoSuch(word.to_owned())),
            [one] => Ok(one),
            _ => Err(SelectError::Several(names(&meant))),
        }
    }
}

/// The port of a container's API on this machine.
fn port(about: &Value) -> Option<u16> {
    let ports = about.pointer(&format!("/NetworkSettings/Ports/{PORT}~1tcp"))?;
    ports.get(0)?.get("HostPort")?.as_str()?.parse().ok()
}

/// Finds the ports of boxes whose network is another container's.
fn held(engine: &Engine, boxes: &mut [Found]) -> Result<(), EngineError> {
    let mut arguments = vec!["container", "inspect"];
    let names: Vec<String> = boxes
        .iter()
        .filter_map(|found| found.holder.clone())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    arguments.extend(names.iter().map(String::as_str));
    for about in engine.inspect(&arguments)? {
        let name = about["Name"].as_str().unwrap_or_default();
        let name = name.trim_start_matches('/');
        let of = boxes
            .iter_mut()
            .filter(|found| found.holder.as_deref() == Some(name));
        of.for_each(|found| found.port = port(&about));
    }
    Ok(())
}

/// Whether a box can have this name: one that engines take, and that is one folder.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && (2..=100).contains(&name.len())
        && name.chars().all(character)
        && !name.contains("..")
        && !name.ends_with(".lock")
        && !name.ends_with('.')
}

fn names(boxes: &[&Found]) -> Vec<String> {
    boxes.iter().map(|found| found.name.clone()).collect()
}

impl Found {
    /// Reads what an engine says of a container.
    fn from_inspect(value: &Value) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer)?.as_str().map(text::line);
        let label = |name: &str| {
            let labels = value.pointer("/Config/Labels")?;
            let value = labels.get(format!("{LABEL}.{name}"))?.as_str()?;
            Some(text::line(value)).filter(|value| !value.is_empty())
        };
        Some(Self {
            name: label("name").filter(|name| is_name(name))?,
            id: text("/Id")?,
            state: text("/State/Status")?,
            image: text("/Config/Image").unwrap_or_default(),
            repository: label("repo").unwrap_or_default(),
            path: label("path").unwrap_or_default(),
            branch: label("branch").unwrap_or_default(),
            base: label("base").unwrap_or_default(),
            tree: label("tree").unwrap_or_default(),
            remote: label("remote"),
            holder: label("holder").filter(|name| is_name(name)),
            runner: label("runner").is_some(),
            no_push: label("no-push").is_some(),
            no_pr: label("no-pr").is_some(),
            version: label("version").unwrap_or_default(),
            created: text("/Created").unwrap_or_default(),
            port: port(value),
        })
    }

    /// Whether its processes run.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// It, if it runs.
    ///
    /// # Errors
    /// It does not.
    pub fn running(&self) -> Result<&Self, SelectError> {
        if self.runs() {
            Ok(self)
        } else {
            Err(SelectError::Stopped(self.name.clone()))
        }
    }

    /// A command in the box as `coder`, with the restrictions of all that the agent runs and none
    /// of the container's variables. A box that does not run lends its image and its volume to a
    /// container that has no network and ends with the command.
    #[must_use]
    pub fn command(&self, engine: &Engine, words: &[&str]) -> Command {
        let mut command = engine.command();
        if self.runs() {
            command
                .args(["exec", "--interactive", "--user", "0", &self.id])
                .args([INIT, "exec", "--", "/usr/bin/env", "-i"])
                .args(PLAIN);
        } else {
            let volume = format!("{}-workspace:/workspace", self.name);
            command
                .args(aside(&[&volume]))
                .args(["env", &self.image, "-i"])
                .args(PLAIN);
        }
        command.args(words);
        command
    }

    /// git in the box.
    #[must_use]
    pub fn git(&self, engine: &Engine, arguments: &[&str]) -> Command {
        let mut words = vec!["git"];
        words.extend(arguments);
        self.command(engine, &words)
    }

    /// A script in the box, with its arguments.
    #[must_use]
    pub fn shell(&self, engine: &Engine, script: &str, arguments: &[&str]) -> Command {
        let mut words = vec!["sh", "-c", script, "sh"];
        words.extend(arguments);
        self.command(engine, &words)
    }
}

/// What starts a container beside a box on volumes of its, up to its entry point, which comes
/// next, then the image.
#[must_use]
pub fn aside<'a>(volumes: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["run", "--rm", "--interactive", "--pull", "never"];
    words.extend(["--network", "none", "--cap-drop", "ALL"]);
    words.extend(["--security-opt", "no-new-privileges", "--user", "1000:1000"]);
    for volume in volumes {
        words.extend(["--volume", volume]);
    }
    words.push("--entrypoint");
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(name: &str, repository: &str, state: &str) -> Found {
        let value = json!({
            "Id": format!("{name}0123456789"), "Created": "2026-11-29T19:48:11Z",
            "State": {"Status": state},
            "Config": {"Image": "i", "Labels": {
                "claude-in-box.name": name, "claude-in-box.repo": repository,
                "claude-in-box.branch": "claude/x", "claude-in-box.remote": "",
            }},
            "NetworkSettings": {"Ports": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}]}},
        });
        Found::from_inspect(&value).unwrap()
    }

    #[test]
    fn what_an_engine_says_is_read_and_made_fit_to_be_shown() {
        let one = found("ab", "a\u{1b}b", "running");
        assert_eq!(one.repository, "a\\u{1b}b");
        assert_eq!(
            (one.port, one.remote.as_deref(), one.runs()),
            (Some(49153), None, true)
        );
        assert_eq!(Found::from_inspect(&json!({"Id": "x"})), None);
        for name in ["", "a", "../x", "-a", "a/b", "a..b", "a.lock", ".a"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn without_a_word_the_only_box_of_the_repository_is_meant() {
        let boxes = Boxes(vec![
            found("alpha", "r", "exited"),
            found("beta", "r", "running"),
            found("gamma", "other", "running"),
        ]);
        assert_eq!(boxes.choose(None, Some("r")).unwrap().name, "beta");
        assert_eq!(boxes.choose(None, Some("other")).unwrap().name, "gamma");
        assert!(matches!(
            boxes.choose(None, Some("none")),
            Err(SelectError::None)
        ));
        assert!(matches!(
            boxes.choose(None, None),
            Err(SelectError::Several(_))
        ));
    }

    #[test]
    fn a_word_is_a_name_or_a_beginning_that_no_other_has() {
        let boxes = Boxes(vec![
            found("one", "r", "running"),
            found("one-more", "r", "running"),
            found("two", "r", "running"),
        ]);
        let name = |word| {
            boxes
                .choose(Some(word), Some("r"))
                .map(|found| found.name.clone())
        };
        assert_eq!(name("one").unwrap(), "one");
        assert_eq!(name("t").unwrap(), "two");
        assert_eq!(name("one-more0123").unwrap(), "one-more");
        assert!(matches!(name("on"), Err(SelectError::Several(_))));
        let failure = Failure::from(name("x").unwrap_err());
        assert_eq!(failure.exit.code(), 1);
        assert_eq!(Failure::from(name("on").unwrap_err()).exit.code(), 2);
    }
}
