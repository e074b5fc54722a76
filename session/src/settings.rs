//! The settings file that Claude gets with `--settings`: hooks of the image, of the user and
//! of the keeper. All of them run, in this order; none takes another's place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::tty::events::Abilities;

/// Hooks that an image brings.
pub const IMAGE_HOOKS: &str = "/etc/claude-in-box/hooks.json";

/// Seconds that a hook of the keeper may take. One that asks the user waits for the user.
const PATIENCE_S: u32 = 24 * 60 * 60;

/// Settings, and what somebody should know about them.
#[derive(Debug, Default, PartialEq)]
pub struct Settings {
    /// Hooks by event; empty if there are none.
    hooks: Map<String, Value>,
    /// Sources and events that were left out, and why.
    pub notes: Vec<String>,
}

impl Settings {
    /// Adds the hooks of a file, if there is one. It is either `{"hooks": {…}}` as in Claude's
    /// own settings, or the inner object alone.
    pub fn add_file(&mut self, path: &Path, abilities: Abilities) {
        match fs::read_to_string(path) {
            Ok(text) => self.add(&path.display().to_string(), &text, abilities),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self
                .notes
                .push(format!("{} is not used: {error}", path.display())),
        }
    }

    /// Adds hooks. Events that the version does not know are left out, because each of them
    /// would open a dialog at the start.
    pub fn add(&mut self, source: &str, text: &str, abilities: Abilities) {
        let events = match serde_json::from_str(text) {
            Ok(Value::Object(mut file)) => match file.remove("hooks") {
                Some(Value::Object(events)) => events,
                Some(_) => Map::from_iter([("hooks".to_owned(), Value::Null)]),
                None => file,
            },
            Ok(_) => {
                self.notes
                    .push(format!("{source} is not used: it is no object"));
                return;
            }
            Err(error) => {
                self.notes.push(format!("{source} is not used: {error}"));
                return;
            }
        };
        for (event, matchers) in events {
            let Value::Array(matchers) = matchers else {
                self.notes
                    .push(format!("{source}: `{event}` is not used: it is no list"));
                continue;
            };
            if !abilities.knows(&event) {
                let note = format!("{source}: this Claude knows no event `{event}`");
                self.notes.push(note);
                continue;
            }
            self.append(&event, matchers);
        }
    }

    /// Adds the keeper's own hook to every event: `command` with a socket to tell.
    pub fn add_own(&mut self, command: &str, abilities: Abilities) {
        for event in abilities.events() {
            let hook = json!({"type": "command", "command": command, "timeout": PATIENCE_S});
            self.append(event, vec![json!({"hooks": [hook]})]);
        }
    }

    /// The file's text; `None` if there is nothing to say.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        (!self.hooks.is_empty()).then(|| json!({"hooks": self.hooks}).to_string())
    }

    fn append(&mut self, event: &str, mut matchers: Vec<Value>) {
        let list = self
            .hooks
            .entry(event)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.append(&mut matchers);
        }
    }
}

/// The user's hooks of the box, if there is a home.
#[must_use]
pub fn user_hooks() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(".claude/hooks.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> Abilities {
        Abilities::of("2.1.330")
    }

    #[test]
    fn hooks_of_all_sources_run_in_their_order() {
        let mut settings = Settings::default();
        settings.add("image", r#"{"hooks": {"Stop": [{"hooks": [1]}]}}"#, new());
        settings.add(
            "user",
            r#"{"Stop": [{"hooks": [2]}], "PreToolUse": []}"#,
            new(),
        );
        settings.add_own("tell", Abilities::of("2.1.112"));
        let text: Value = serde_json::from_str(&settings.text().unwrap()).unwrap();
        let stop = text["hooks"]["Stop"].as_array().unwrap();
        assert_eq!(stop[0]["hooks"][0], 1);
        assert_eq!(stop[1]["hooks"][0], 2);
        assert_eq!(stop[2]["hooks"][0]["command"], "tell");
        assert_eq!(settings.notes, Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_told() {
        let mut settings = Settings::default();
        settings.add("a", "[]", new());
        settings.add("b", "{", new());
        settings.add("c", r#"{"FromTheFuture": [], "Stop": 5}"#, new());
        assert_eq!(settings.text(), None);
        assert_eq!(settings.notes.len(), 4);
        assert!(settings.notes[2].contains("knows no event `FromTheFuture`"));
        assert!(settings.notes[3].contains("`Stop` is not used"));
    }

    #[test]
    fn no_hooks_are_no_settings() {
        assert_eq!(Settings::default().text(), None);
    }
}
