//! What is kept on this machine of a session that was handed over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use cib_foreign::own;
use serde::{Deserialize, Serialize};

use crate::surroundings::Surroundings;

/// Where a session that was handed over is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// On its way: the box is there, the conversation is not yet.
    Moving,
    /// In its box.
    Boxed,
    /// The box has carried the plan out, and what it committed is here.
    Done,
    /// Nothing came of it.
    Failed,
}

/// One session that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Claude's id of it, on this machine.
    pub session: String,
    /// The box.
    #[serde(rename = "box")]
    pub name: String,
    /// The branch of the box, and here.
    pub branch: String,
    /// The repository's working tree.
    pub top: PathBuf,
    /// The digest of the repository's place.
    pub repository: String,
    /// The engine, as `--engine` has it.
    pub engine: String,
    /// Where it is.
    pub place: Place,
    /// When it was handed over.
    pub at: String,
    /// The session in the box.
    pub inside: Option<String>,
    /// The commit that came back last.
    pub head: Option<String>,
    /// Where what was not committed is, if there was something.
    pub wip: Option<String>,
    /// Why nothing came of it, or what should be known of how it ended.
    pub why: Option<String>,
    /// Whether a person was told of that.
    #[serde(default)]
    pub told: bool,
    /// The session's file, while it has to be moved.
    pub transcript: Option<PathBuf>,
    /// The plan's file, while it has to be moved.
    pub plan_file: Option<PathBuf>,
    /// The call that the plan was approved by.
    pub call: String,
    /// The plan.
    pub plan: String,
}

/// Why a record is not kept.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is no place for it.
    #[error("there is no HOME, and so no place for what is known of an offload")]
    NoHome,
    /// The file cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// It.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The record cannot be written down.
    #[error("cannot write a record down")]
    Json(#[from] serde_json::Error),
}

impl From<RecordError> for crate::failure::Failure {
    fn from(error: RecordError) -> Self {
        Self::failed(error)
    }
}

/// All records of this machine.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Those of this person.
    ///
    /// # Errors
    /// There is no home.
    pub fn of(around: &Surroundings) -> Result<Self, RecordError> {
        let folder = around.state().ok_or(RecordError::NoHome)?;
        Ok(Self {
            folder: folder.join("offload/sessions"),
        })
    }

    fn path(&self, session: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{session}.{ending}"))
    }

    /// The record of a session, if it was handed over. `session` is a UUID.
    #[must_use]
    pub fn get(&self, session: &str) -> Option<Record> {
        let text = own::read_to_string(self.path(session, "json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// All that can be read, the newest first.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let sessions = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
        let mut all: Vec<Record> = sessions.filter_map(|session| self.get(&session)).collect();
        all.sort_by(|a, b| b.at.cmp(&a.at));
        all
    }

    /// Keeps a record.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn keep(&self, record: &Record) -> Result<(), RecordError> {
        self.make()?;
        let path = self.path(&record.session, "json");
        let text = serde_json::to_string(record)?;
        cib_base::files::replace(&path, text.as_bytes())
            .map_err(|source| RecordError::File { path, source })
    }

    fn make(&self) -> Result<(), RecordError> {
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.folder)
            .map_err(|source| RecordError::File {
                path: self.folder.clone(),
                source,
            })
    }

    /// Forgets a session.
    pub fn forget(&self, session: &str) {
        for ending in ["json", "lock", "log"] {
            // There may be nothing to forget.
            let _ = fs::remove_file(self.path(session, ending));
        }
    }

    /// The lock of whoever moves and watches a session; nothing if somebody has it. It is held as
    /// long as the file is open, in whichever process.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn lock(&self, session: &str) -> Result<Option<File>, RecordError> {
        self.make()?;
        let path = self.path(session, "lock");
        let file = self.opened(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(RecordError::File { path, source }),
        }
    }

    /// Where whoever watches a session says what goes wrong.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn log(&self, session: &str) -> Result<File, RecordError> {
        self.make()?;
        self.opened(&self.path(session, "log"))
    }

    fn opened(&self, path: &std::path::Path) -> Result<File, RecordError> {
        let mut how = OpenOptions::new();
        how.append(true).create(true).mode(0o600);
        own::open_as(&mut how, path).map_err(|source| RecordError::File {
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::offload) fn record(session: &str) -> Record {
        Record {
            session: session.into(),
            name: "a-box".into(),
            branch: "feature/auto".into(),
            top: "/w".into(),
            repository: "r".into(),
            engine: "docker".into(),
            place: Place::Moving,
            at: "2026-11-30T01:00:00Z".into(),
            inside: None,
            head: None,
            wip: None,
            why: None,
            told: false,
            transcript: None,
            plan_file: None,
            call: "toolu_1".into(),
            plan: "p".into(),
        }
    }

    #[test]
    fn a_record_is_kept_and_its_lock_is_held_by_one() {
        let home = tempfile::tempdir().unwrap();
        let around = Surroundings {
            variables: [("HOME".to_owned(), home.path().display().to_string())].into(),
            ..Surroundings::default()
        };
        let records = Records::of(&around).unwrap();
        assert_eq!(records.get("a"), None);
        let record = record("a");
        records.keep(&record).unwrap();
        assert_eq!(records.get("a"), Some(record.clone()));
        assert_eq!(records.all(), [record]);
        let held = records.lock("a").unwrap();
        assert!(held.is_some());
        assert!(records.lock("a").unwrap().is_none());
        drop(held);
        assert!(records.lock("a").unwrap().is_some());
        records.forget("a");
        assert_eq!(records.all(), []);
    }
}
