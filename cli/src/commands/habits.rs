//! A person's habits with Claude, for Claude in the box: instructions, agents, commands, skills, and
//! settings that run nothing. Neither logins nor conversations are among them.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Map, Value};

use super::Context;
use crate::boxes::Found;
use crate::config::Configuration;
use crate::credentials;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::{process, text};

/// Folders that go in.
const FOLDERS: [&str; 4] = ["agents", "commands", "output-styles", "skills"];

/// Settings that go in: what no program of this machine's is named by.
const SETTINGS: [&str; 8] = [
    "alwaysThinkingEnabled",
    "cleanupPeriodDays",
    "includeCoAuthoredBy",
    "language",
    "model",
    "outputStyle",
    "spinnerTipsEnabled",
    "theme",
];

/// Bytes of one file, and of all of them.
const MOST: (u64, u64) = (1 << 20, 16 << 20);

/// How deep folders may lie in each other, and how many files there may be.
const BOUNDS: (usize, usize) = (8, 2000);

/// Takes them, as `coder`, and leaves what is there.
const TAKE: &str = "mkdir -p /home/coder/.claude && exec tar -x --no-same-owner --skip-old-files -C /home/coder/.claude -f -";

/// What goes in.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// Names below `.claude`, with their contents.
    files: Vec<(String, Vec<u8>)>,
}

impl Habits {
    /// Those of this machine, unless the configuration keeps them here.
    pub(super) fn of(context: &Context<'_>, configuration: &Configuration) -> Self {
        let mut habits = Self::default();
        let folder = credentials::folder(context.around);
        let Some(folder) = folder.filter(|_| configuration.is("claudeSettings")) else {
            return habits;
        };
        if let Ok(text) = cib_foreign::read_to_string(&folder.join("settings.json"), MOST.0)
            && let Some(text) = reduced(&text)
        {
            habits.files.push(("settings.json".to_owned(), text));
        }
        habits.file(&folder, "CLAUDE.md");
        for name in FOLDERS {
            habits.folder(&folder, name, BOUNDS.0);
        }
        habits
    }

    /// What goes in, for a person; nothing if nothing does.
    pub(super) fn told(&self) -> Option<String> {
        let mut names: Vec<&str> = self
            .files
            .iter()
            .map(|(name, _)| name.split('/').next().unwrap_or(name))
            .collect();
        names.dedup();
        (!names.is_empty()).then(|| text::line(&names.join(", ")))
    }

    fn file(&mut self, folder: &Path, name: &str) {
        let whole: usize = self.files.iter().map(|(_, bytes)| bytes.len()).sum();
        let path = folder.join(name);
        let is_file = path.symlink_metadata().is_ok_and(|about| about.is_file());
        if !is_file || self.files.len() >= BOUNDS.1 {
            return;
        }
        let Ok(text) = cib_foreign::read_to_string(&path, MOST.0) else {
            return;
        };
        if (whole + text.len()) as u64 <= MOST.1 {
            self.files.push((name.to_owned(), text.into_bytes()));
        }
    }

    /// Files below a folder; links lead elsewhere, and stay here.
    fn folder(&mut self, top: &Path, name: &str, depth: usize) {
        let path = top.join(name);
        let is_folder = path.symlink_metadata().is_ok_and(|about| about.is_dir());
        let Some(entries) = is_folder.then(|| std::fs::read_dir(&path).ok()).flatten() else {
            return;
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        for inner in names {
            let inner = format!("{name}/{inner}");
            if depth > 0 && top.join(&inner).is_dir() {
                self.folder(top, &inner, depth - 1);
            } else {
                self.file(top, &inner);
            }
        }
    }

    /// Gives them to a box that runs.
    ///
    /// # Errors
    /// The box does not take them.
    pub(super) fn give(&self, engine: &Engine, found: &Found) -> Result<(), Failure> {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
        if self.files.is_empty() {
            return Ok(());
        }
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            archive.append_data(&mut header, name, bytes.as_slice())?;
        }
        let mut command = found.shell(engine, TAKE, &[]);
        command.stdin(Stdio::piped());
        let ran = process::run(&mut command, &archive.into_inner()?, PATIENCE)?;
        if ran.good() {
            return Ok(());
        }
        let what = format!(
            "the box does not take Claude's settings: {}",
            ran.complaint()
        );
        Err(Failure::failed(what).remedy("--no-claude-settings"))
    }
}

/// What of a person's settings goes in.
fn reduced(text: &str) -> Option<Vec<u8>> {
    let all: Map<String, Value> = serde_json::from_str(text).ok()?;
    let kept: Map<String, Value> = all
        .into_iter()
        .filter(|(name, _)| SETTINGS.contains(&name.as_str()))
        .collect();
    (!kept.is_empty()).then(|| Value::Object(kept).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_persons_settings_none_goes_in_that_runs_something_or_is_a_secret() {
        let text = r#"{"model": "opus", "env": {"A": "secret"}, "hooks": {}, "apiKeyHelper": "x", "statusLine": {"command": "x"}, "permissions": {"allow": ["Bash(*)"]}}"#;
        assert_eq!(reduced(text).unwrap(), br#"{"model":"opus"}"#);
        assert_eq!(reduced(r#"{"env": {}}"#), None);
        assert_eq!(reduced("no JSON"), None);
    }
}
