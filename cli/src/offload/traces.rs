//! Files of a person's that an offload has changed, and how each becomes what it was.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cib_foreign::own;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::settings::{self, SettingsError};
use crate::surroundings::Surroundings;

/// Bytes of a file that is changed, at most.
const MOST: u64 = 4 << 20;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Settings of Claude's.
    Settings,
    /// What git leaves alone in a working tree.
    Exclusions,
}

/// One file that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// The working tree that it is of; none if it is the person's own.
    pub top: Option<PathBuf>,
    /// What was in it before; nothing if it was not there.
    before: Option<String>,
    /// What was in it afterwards.
    after: String,
    /// Whether its folder was made for it.
    folder: bool,
}

/// Why a file is not changed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// There is no place for what was in it.
    #[error("there is no HOME, and so no place for what was in the file before")]
    NoHome,
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] cib_foreign::ForeignError),
    /// It cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// It.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It is no settings file.
    #[error("{} cannot be changed", path.display())]
    Settings {
        /// It.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SettingsError,
    },
}

impl From<TraceError> for crate::failure::Failure {
    fn from(error: TraceError) -> Self {
        let exit = match error {
            TraceError::Settings { .. } => crate::failure::Exit::Configuration,
            _ => crate::failure::Exit::Failed,
        };
        Self::new(exit, error)
    }
}

/// All that is known of changed files.
#[derive(Clone, Debug)]
pub struct Traces {
    folder: PathBuf,
}

impl Traces {
    /// Those of this person.
    ///
    /// # Errors
    /// There is no home.
    pub fn of(around: &Surroundings) -> Result<Self, TraceError> {
        let folder = around.state().ok_or(TraceError::NoHome)?;
        Ok(Self {
            folder: folder.join("offload/files"),
        })
    }

    fn place(&self, path: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let digest = Sha256::digest(path.as_os_str().as_bytes());
        self.folder
            .join(format!("{}.json", cib_base::hex::encode(&digest)))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Trace> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let read = |path| serde_json::from_str(&own::read_to_string(path).ok()?).ok();
        entries.filter_map(|entry| read(entry.path())).collect()
    }

    /// Changes a file and remembers what was in it. `change` makes the new text of the old.
    ///
    /// # Errors
    /// The file is then as it was.
    pub fn change(
        &self,
        kind: Kind,
        path: &Path,
        top: Option<&Path>,
        change: impl FnOnce(Option<&str>) -> Result<String, SettingsError>,
    ) -> Result<(), TraceError> {
        let fault = |source| TraceError::File {
            path: path.to_owned(),
            source,
        };
        let now = read(path)?;
        let known = self.all().into_iter().find(|trace| trace.path == path);
        let after = change(now.as_deref()).map_err(|source| TraceError::Settings {
            path: path.to_owned(),
            source,
        })?;
        if now.as_ref() == Some(&after) {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        let made = !parent.is_dir();
        // What somebody changed since it was put in is what it was before.
        let kept = known.filter(|trace| now.as_ref() == Some(&trace.after));
        let trace = Trace {
            kind,
            path: path.to_owned(),
            top: top.map(Path::to_owned),
            folder: kept.as_ref().map_or(made, |trace| trace.folder),
            before: match kept {
                Some(trace) => trace.before,
                None => now.map(|now| cleaned(kind, &now)),
            },
            after,
        };
        let mut folder = fs::DirBuilder::new();
        folder.mode(0o700).recursive(true);
        folder.create(&self.folder).map_err(fault)?;
        let text = serde_json::to_string(&trace).unwrap_or_default();
        cib_base::files::replace(&self.place(path), text.as_bytes()).map_err(fault)?;
        fs::create_dir_all(parent).map_err(fault)?;
        put(path, &trace.after).map_err(fault)
    }

    /// Makes a file what it was, byte by byte if nobody has changed it since, else without what
    /// was put in; whether there was something to take out.
    ///
    /// # Errors
    /// The file is then as it is.
    pub fn undo(&self, kind: Kind, path: &Path) -> Result<bool, TraceError> {
        let fault = |source| TraceError::File {
            path: path.to_owned(),
            source,
        };
        let known = self.all().into_iter().find(|trace| trace.path == path);
        let Some(now) = read(path)? else {
            self.forget(path);
            return Ok(false);
        };
        let less = cleaned(kind, &now);
        let before = known.as_ref().and_then(|trace| trace.before.clone());
        let untouched = known
            .as_ref()
            .is_some_and(|trace| trace.after == now || cleaned(kind, &trace.after) == less);
        let wanted = if untouched { before } else { Some(less) };
        let is_nothing = |text: &String| matches!(text.trim(), "" | "{}");
        let wanted = match (&known, wanted) {
            // It was not there before, and nothing of anybody else's is in it.
            (Some(trace), Some(text)) if trace.before.is_none() && is_nothing(&text) => None,
            (_, wanted) => wanted,
        };
        let changed = wanted.as_ref() != Some(&now);
        match &wanted {
            _ if !changed => {}
            Some(text) => put(path, text).map_err(fault)?,
            None => fs::remove_file(path).map_err(fault)?,
        }
        if let (Some(trace), Some(parent)) = (&known, path.parent())
            && trace.folder
        {
            // Somebody else may have put something there.
            let _ = fs::remove_dir(parent);
        }
        self.forget(path);
        Ok(changed)
    }

    fn forget(&self, path: &Path) {
        // There may be nothing to forget.
        let _ = fs::remove_file(self.place(path));
    }
}

/// A text without what is ours in it; one in which nothing is stays as it is, byte by byte.
fn cleaned(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Exclusions => settings::included(text),
        Kind::Settings if !settings::has(text) => text.to_owned(),
        Kind::Settings => settings::without(text)
            .and_then(|all| settings::written(&all))
            .unwrap_or_else(|_| text.to_owned()),
    }
}

fn read(path: &Path) -> Result<Option<String>, TraceError> {
    match cib_foreign::read_to_string(path, MOST) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Replaces a file of a person's as a whole, with the mode that it has.
///
/// # Errors
/// The kernel's answer; the file is then as it was.
pub fn put(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mode = path
        .symlink_metadata()
        .map_or(0o644, |about| about.permissions().mode() & 0o777);
    let mut new = tempfile::Builder::new()
        .prefix(".cib-")
        .tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    new.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> (Self, Traces) {
            let home = tempfile::tempdir().unwrap();
            let around = Surroundings {
                variables: [("HOME".to_owned(), home.path().display().to_string())].into(),
                ..Surroundings::default()
            };
            let traces = Traces::of(&around).unwrap();
            (Self(home), traces)
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("repo/.claude/settings.local.json")
        }

        fn install(&self, traces: &Traces, command: &str) {
            std::fs::create_dir_all(self.0.path().join("repo")).unwrap();
            let command = format!("[ -n \"${{CIB_SESSION-}}\" ] || {command} offload hook");
            traces
                .change(Kind::Settings, &self.file(), None, |text| {
                    settings::with(text, &command)
                })
                .unwrap();
        }
    }

    #[test]
    fn a_hand_made_file_is_afterwards_what_it_was_byte_by_byte_and_in_its_mode() {
        for text in [
            "{\"b\":1,   \"a\": {\n\n}}",
            "{}",
            "{\"hooks\": {}}",
            "{ \"hooks\": {\"PostToolUse\": [], \"PreToolUse\": [{\"matcher\": \"*\", \"hooks\": []}]} }\n\n",
        ] {
            let (home, traces) = Home::new();
            std::fs::create_dir_all(home.file().parent().unwrap()).unwrap();
            std::fs::write(home.file(), text).unwrap();
            std::fs::set_permissions(home.file(), Permissions::from_mode(0o640)).unwrap();
            // Twice, by a program that was moved in between.
            home.install(&traces, "/a/cib");
            home.install(&traces, "/b/cib");
            let now = std::fs::read_to_string(home.file()).unwrap();
            assert!(now.contains("/b/cib") && !now.contains("/a/cib"), "{now}");
            assert!(traces.undo(Kind::Settings, &home.file()).unwrap());
            assert_eq!(std::fs::read_to_string(home.file()).unwrap(), text);
            let mode = home.file().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640);
            assert_eq!(traces.all(), []);
        }
    }

    #[test]
    fn a_file_that_was_not_there_is_gone_with_its_folder() {
        let (home, traces) = Home::new();
        home.install(&traces, "/a/cib");
        assert!(traces.undo(Kind::Settings, &home.file()).unwrap());
        assert_eq!(
            std::fs::read_dir(home.0.path().join("repo"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn what_somebody_has_put_in_since_stays() {
        let (home, traces) = Home::new();
        std::fs::create_dir_all(home.file().parent().unwrap()).unwrap();
        std::fs::write(home.file(), "{\"z\": 1, \"a\": 2}").unwrap();
        home.install(&traces, "/a/cib");
        let now = std::fs::read_to_string(home.file()).unwrap();
        std::fs::write(home.file(), now.replacen('{', "{\"permissions\": {},", 1)).unwrap();
        traces.undo(Kind::Settings, &home.file()).unwrap();
        let left = std::fs::read_to_string(home.file()).unwrap();
        assert_eq!(
            left,
            "{\n  \"permissions\": {},\n  \"z\": 1,\n  \"a\": 2\n}\n"
        );
    }

    #[test]
    fn what_is_known_of_a_file_can_be_lost() {
        let (home, traces) = Home::new();
        home.install(&traces, "/a/cib");
        std::fs::remove_dir_all(home.0.path().join(".local")).unwrap();
        assert!(traces.undo(Kind::Settings, &home.file()).unwrap());
        assert_eq!(std::fs::read_to_string(home.file()).unwrap(), "{}\n");
        assert!(!traces.undo(Kind::Settings, &home.file()).unwrap());
    }

    #[test]
    fn a_link_in_a_files_place_is_not_followed() {
        let (home, traces) = Home::new();
        let other = home.0.path().join("other.json");
        std::fs::write(&other, "{}").unwrap();
        std::fs::create_dir_all(home.file().parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&other, home.file()).unwrap();
        let change = traces.change(Kind::Settings, &home.file(), None, |text| {
            settings::with(text, "c")
        });
        assert!(change.is_err());
        assert_eq!(std::fs::read_to_string(other).unwrap(), "{}");
    }
}
