//! What the agent could do to its own box, tried one by one with the agent's rights.
//!
//! An attack says what it got. What it did to the box without getting anything (a hung process,
//! a line lost from a record) is for the test outside to see: it looks at the box after each.

mod exhaust;
mod files;
mod matrix;
mod plant;
mod processes;
mod sockets;
mod table;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use matrix::{Cage, Matrix};
pub use table::{Attack, attacks, plants};

/// Programs of the box that the agent must not touch, by the name that the kernel gives them.
pub const PROGRAMS: [&str; 6] = [
    "cib-init",
    "cib-control",
    "cib-session",
    "cib-resolver",
    "cib-connect",
    "redsocks",
];

/// What the attacks aim at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// `CIB_DATA_DIR`.
    pub data: PathBuf,
    /// `/run/cib`.
    pub run: PathBuf,
    /// A live session that is not the attacker's.
    pub session: String,
    /// The API's port.
    pub port: u16,
    /// Files that `_FILE` variables name.
    pub secret_files: Vec<PathBuf>,
    /// Texts that the agent must not find anywhere.
    pub secrets: Vec<String>,
}

/// What came of an attack for the process that tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It got this, which it must not.
    Got(String),
    /// Everything that it tried was refused, for the last time with this.
    Refused(String),
    /// It was done, and what it did to others shows from outside.
    Done,
}

/// One attack's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The attack's name.
    pub attack: String,
    /// What it is about: files, processes, sockets, ….
    pub kind: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// Collects what the parts of an attack got.
#[derive(Debug, Default)]
struct Loot {
    got: Vec<String>,
    refused: Option<String>,
}

impl Loot {
    /// Loot of an attack that, without any, ended so.
    fn unless(refused: &str) -> Self {
        Self {
            got: Vec::new(),
            refused: Some(refused.to_owned()),
        }
    }

    /// Notes the result of one try: success is loot.
    fn take<T, E: Into<io::Error>>(&mut self, what: impl FnOnce() -> String, tried: Result<T, E>) {
        match tried {
            Ok(_) => self.got.push(what()),
            Err(error) => self.refused = Some(error.into().to_string()),
        }
    }

    /// The whole attack's outcome.
    fn outcome(self) -> Outcome {
        match (self.got.is_empty(), self.refused) {
            (false, _) => Outcome::Got(self.got.join(", ")),
            (true, Some(refused)) => Outcome::Refused(refused),
            (true, None) => Outcome::Done,
        }
    }
}

impl Aim {
    /// The options of `cib-testkit attack` that say the same.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec![
            "--data".to_owned(),
            self.data.display().to_string(),
            "--run".to_owned(),
            self.run.display().to_string(),
            "--session".to_owned(),
            self.session.clone(),
            "--port".to_owned(),
            self.port.to_string(),
        ];
        for file in &self.secret_files {
            words.extend(["--secret-file".to_owned(), file.display().to_string()]);
        }
        for secret in &self.secrets {
            words.extend(["--secret".to_owned(), secret.clone()]);
        }
        words
    }

    /// The victim's folder with its record.
    fn record(&self) -> PathBuf {
        self.data.join("sessions").join(&self.session)
    }

    /// The victim's folder with its socket.
    fn runtime(&self) -> PathBuf {
        self.run.join("sessions").join(&self.session)
    }

    /// Files of the box that nobody but their owner may change, and folders in which nobody
    /// else may make or remove a name.
    fn own_files(&self) -> Vec<PathBuf> {
        let record = self.record();
        vec![
            record.join("transcript.jsonl"),
            record.join("lock"),
            record.join("hooks.json"),
            record,
            self.data.join("sessions"),
            self.data.join("locks"),
            self.data.join("control"),
            self.data.clone(),
            self.runtime().join("keeper.sock"),
            self.runtime(),
            self.run.join("sessions"),
            self.run.join("init.sock"),
            self.run.join("control"),
            self.run.join("control/auth.json"),
            self.run.join("redsocks"),
            self.run.join("resolver"),
            self.run.clone(),
            PathBuf::from("/etc/claude-in-box"),
            PathBuf::from("/etc/claude-in-box/init.d"),
            PathBuf::from("/etc/passwd"),
            PathBuf::from("/etc/resolv.conf"),
        ]
    }
}

/// Runs an attack in this process.
#[must_use]
pub fn run(attack: &Attack, aim: &Aim) -> Report {
    Report {
        attack: attack.name.to_owned(),
        kind: attack.kind.to_owned(),
        outcome: (attack.attempt)(aim),
    }
}

/// A name under which an attack may leave something in the agent's own world.
fn own(name: &str) -> PathBuf {
    Path::new("/tmp").join(format!("attack-{}-{name}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_have_names_of_their_own_and_there_are_many() {
        let mut names: Vec<_> = attacks()
            .iter()
            .chain(plants())
            .map(|attack| attack.name)
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "two attacks share a name");
        assert!(all >= 70, "there are only {all}");
    }

    #[test]
    fn loot_outweighs_a_refusal() {
        let mut loot = Loot::default();
        loot.take(|| "a".into(), Err::<(), _>(io::Error::other("no")));
        loot.take(|| "b".into(), Ok::<_, io::Error>(()));
        assert_eq!(loot.outcome(), Outcome::Got("b".into()));
        assert_eq!(Loot::default().outcome(), Outcome::Done);
    }
}
