//! The settings without which Claude's first start asks things: theme, trust, key, risks.
//!
//! Only what is missing is added. A file is rewritten only if something is missing in it, its
//! other values stay byte for byte as they are and in their order, and it is replaced as a
//! whole. A file that is not JSON is the user's problem to solve and is left alone.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::json::{self, Object};

/// How much of an API key the CLI remembers as approved: its last characters.
const KEY_TAIL: usize = 20;

/// What the CLI remembers grows with the projects that it has seen, but not to this.
const LARGEST: u64 = 32 * 1024 * 1024;

/// The variable in which Claude finds an API key.
const API_KEY: &str = "ANTHROPIC_API_KEY";

/// Why a file could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It cannot be read or replaced.
    #[error("cannot complete {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It holds something else than a JSON object.
    #[error("{} is no JSON object and was left alone", path.display())]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
}

/// Completes the files of this user, with whose environment Claude will be started in `workdir`.
/// What fails is told, because Claude may well start without it.
#[must_use]
pub fn seed(workdir: &Path) -> Vec<String> {
    let Some(files) = Files::find() else {
        return vec!["Claude may ask its first questions: it has no home".to_owned()];
    };
    let key = env::var(API_KEY).ok();
    let wanted = [
        (&files.state, state(key.as_deref(), workdir)),
        (&files.settings, settings()),
    ];
    let completed = wanted.map(|(path, wanted)| complete(path, &wanted));
    completed
        .into_iter()
        .filter_map(Result::err)
        .map(|error| cib_base::errors::chain(&error))
        .collect()
}

/// Where the CLI keeps what it remembers and what it is told.
struct Files {
    state: PathBuf,
    settings: PathBuf,
}

impl Files {
    fn find() -> Option<Self> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        if let Some(dir) = set("CLAUDE_CONFIG_DIR").map(PathBuf::from) {
            return Some(Self {
                state: dir.join(".claude.json"),
                settings: dir.join("settings.json"),
            });
        }
        let home = set("HOME").map(PathBuf::from)?;
        Some(Self {
            state: home.join(".claude.json"),
            settings: home.join(".claude/settings.json"),
        })
    }
}

/// What has to stand in `.claude.json`. Trust in `/` covers every directory of the box but those
/// in a repository of git, where the CLI asks for the repository's own; so what is above the workdir
/// is trusted by name as well.
fn state(key: Option<&str>, workdir: &Path) -> Value {
    let real = fs::canonicalize(workdir);
    let mut projects = json!({"/": {"hasTrustDialogAccepted": true}});
    for folder in real.iter().flat_map(|real| real.ancestors()) {
        projects[folder.to_string_lossy().as_ref()] = json!({"hasTrustDialogAccepted": true});
    }
    let mut wanted = json!({"hasCompletedOnboarding": true, "projects": projects});
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        let from = key.len().saturating_sub(KEY_TAIL);
        let tail = key.get(from..).unwrap_or(key);
        wanted["customApiKeyResponses"] = json!({"approved": [tail], "rejected": []});
    }
    wanted
}

/// What has to stand in `settings.json`.
fn settings() -> Value {
    json!({"theme": "dark", "skipDangerousModePermissionPrompt": true})
}

/// Adds to a file what is missing in it.
fn complete(path: &Path, wanted: &Value) -> Result<(), SeedError> {
    let io = |source| SeedError::Io {
        path: path.to_owned(),
        source,
    };
    let target = behind_link(path);
    // The agent may have put a pipe there, which nobody must wait for, or no end of nothing.
    let text = match cib_foreign::read_to_string(&target, LARGEST) {
        Ok(text) if text.trim().is_empty() => "{}".to_owned(),
        Ok(text) => text,
        Err(error) if error.is_absent() => "{}".to_owned(),
        Err(error) => return Err(io(io::Error::other(error))),
    };
    let parsed = merge(&text, wanted).map_err(|source| SeedError::NotAnObject {
        path: path.to_owned(),
        source,
    })?;
    match parsed {
        Some(merged) => replace(&target, &merged).map_err(io),
        None => Ok(()),
    }
}

/// The file itself: a link stays a link, because it leads to a volume, which may be empty.
fn behind_link(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    match (fs::read_link(path), path.parent()) {
        (Ok(target), Some(dir)) => dir.join(target),
        _ => path.to_owned(),
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    match put(path, text) {
        // A file that is mounted alone keeps its name whatever is beside it.
        Err(error) if path.exists() => rewrite(path, text).map_err(|_| error),
        outcome => outcome,
    }
}

/// Writes a file where it stands, without a moment in which it is empty.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let mut file = cib_foreign::own::open_as(OpenOptions::new().write(true), path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// Puts a new file into the place of another.
fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mode = fs::metadata(path).map(|meta| meta.permissions());
    let new = path.with_extension(format!("cib-{}", std::process::id()));
    let mut how = OpenOptions::new();
    how.write(true).create(true).truncate(true).mode(0o600);
    let mut file = cib_foreign::own::open_as(&mut how, &new)?;
    file.write_all(text.as_bytes())?;
    if let Ok(mode) = mode {
        file.set_permissions(mode)?;
    }
    fs::rename(&new, path).inspect_err(|_| {
        // That it stays behind is not worth a second error.
        let _ = fs::remove_file(&new);
    })
}

/// The object with what it lacks of `wanted`; `None` if it lacks nothing.
fn merge(text: &str, wanted: &Value) -> Result<Option<String>, serde_json::Error> {
    let mut object: Object<'_> = serde_json::from_str(text)?;
    let mut changed = false;
    for (key, wanted) in wanted.as_object().into_iter().flatten() {
        let there = object.fields.iter_mut().find(|(name, _)| name == key);
        let Some((_, there)) = there else {
            let value = serde_json::value::to_raw_value(wanted)?;
            object.fields.push((key.clone(), json::Part::Owned(value)));
            changed = true;
            continue;
        };
        if let Some(better) = better(there.get(), wanted)? {
            *there = json::Part::Owned(better);
            changed = true;
        }
    }
    Ok(changed.then(|| object.pretty()))
}

/// A value with what it lacks: fields of objects, items of lists. Any other value is the
/// user's choice.
fn better(text: &str, wanted: &Value) -> Result<Option<Box<RawValue>>, serde_json::Error> {
    match wanted {
        Value::Object(_) => match merge(text, wanted) {
            Ok(merged) => merged.map(RawValue::from_string).transpose(),
            // Not an object: somebody knows why.
            Err(_) => Ok(None),
        },
        Value::Array(wanted) => {
            let Ok(mut items) = serde_json::from_str::<Vec<Value>>(text) else {
                return Ok(None);
            };
            let before = items.len();
            for item in wanted {
                if !items.contains(item) {
                    items.push(item.clone());
                }
            }
            if items.len() == before {
                return Ok(None);
            }
            serde_json::value::to_raw_value(&items).map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_home_gets_everything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/.claude.json");
        let work = dir.path().canonicalize().unwrap().join("work");
        fs::create_dir(&work).unwrap();
        complete(&path, &state(Some("sk-ant-0123456789abcdefghij"), &work)).unwrap();
        let written: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut projects = json!({});
        for folder in work.ancestors() {
            projects[folder.to_str().unwrap()] = json!({"hasTrustDialogAccepted": true});
        }
        assert!(projects.get("/").is_some());
        assert_eq!(
            written,
            json!({
                "hasCompletedOnboarding": true,
                "projects": projects,
                "customApiKeyResponses": {"approved": ["0123456789abcdefghij"], "rejected": []},
            })
        );
    }

    #[test]
    fn what_the_user_has_stays_as_it_is() {
        let text = r#"{"zeta": 1.50, "hasCompletedOnboarding":false,
            "projects": {"/w": {"a" : [ 1 ]}}, "customApiKeyResponses":{"approved":["x"]}}"#;
        let merged = merge(text, &state(Some("key"), Path::new("/")))
            .unwrap()
            .unwrap();
        assert!(merged.contains(r#""zeta": 1.50"#), "{merged}");
        assert!(merged.contains(r#""/w": {"a" : [ 1 ]}"#), "{merged}");
        assert!(merged.contains(r#"["x","key"]"#), "{merged}");
        assert!(
            merged.contains(r#""hasCompletedOnboarding": false"#),
            "{merged}"
        );
        assert!(merged.find("zeta") < merged.find("projects"), "{merged}");
        assert_eq!(
            merge(&merged, &state(Some("key"), Path::new("/"))).unwrap(),
            None
        );
    }

    #[test]
    fn a_file_that_is_no_object_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        for text in ["[1]", "{ broken", "null"] {
            fs::write(&path, text).unwrap();
            let error = complete(&path, &settings()).unwrap_err();
            assert!(error.to_string().contains("left alone"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_link_to_a_volume_stays_a_link_and_the_mode_stays() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "{}").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        complete(&link, &settings()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = fs::metadata(&real).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(fs::read_to_string(&real).unwrap().contains("theme"));
    }

    #[test]
    fn a_pipe_in_a_files_place_is_not_waited_for_and_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        complete(&path, &settings()).unwrap_err();
        assert!(!fs::metadata(&path).unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_replaced_is_written_where_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        fs::write(&path, "{\"a\": \"longer than what comes\"}").unwrap();
        // The name that a new file would have is taken by a folder.
        let taken = path.with_extension(format!("cib-{}", std::process::id()));
        fs::create_dir(taken).unwrap();
        replace(&path, "{}").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
    }

    #[test]
    fn a_link_to_an_empty_volume_is_written_through() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join(".claude.json");
        fs::create_dir(dir.path().join(".claude")).unwrap();
        symlink(".claude/.claude.json", &link).unwrap();
        complete(&link, &settings()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let real = fs::read_to_string(dir.path().join(".claude/.claude.json")).unwrap();
        assert!(real.contains("theme"), "{real}");
    }
}
