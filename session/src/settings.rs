//! The settings file that Claude gets with `--settings`: hooks of the image, of the user, of
//! the session and of the keeper, all of which run, and the session's rules for tools.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cib_protocol::session::Tools;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::own;
use crate::tty::events::Abilities;

/// Hooks that an image brings.
pub const IMAGE_HOOKS: &str = "/etc/claude-in-box/hooks.json";

/// Name of the file in a session's directory that keeps its hooks.
const OWN_HOOKS: &str = "hooks.json";

/// Name of the one that keeps its rules for tools.
const OWN_TOOLS: &str = "tools.json";

/// Bytes of such a file that are read.
const MOST: u64 = 16 * 1024 * 1024;

/// Seconds that a hook of the keeper may take. One that asks the user waits for the user.
const PATIENCE_S: u32 = 24 * 60 * 60;

/// Settings, and what somebody should know about them.
#[derive(Debug, Default, PartialEq)]
pub struct Settings {
    /// Hooks by event; empty if there are none.
    hooks: Map<String, Value>,
    /// Rules for tools.
    tools: Tools,
    /// Sources and events that were left out, and why.
    pub notes: Vec<String>,
    /// What is put in front of every hook's command, so that the keeper hears how it went.
    wrapper: Option<String>,
}

impl Settings {
    /// Settings whose hooks are run by `wrapper`, a command that takes theirs as one more word.
    #[must_use]
    pub fn wrapped(wrapper: String) -> Self {
        Self {
            wrapper: Some(wrapper),
            ..Self::default()
        }
    }

    /// Adds the hooks of a file, if there is one. It is either `{"hooks": {…}}` as in Claude's
    /// own settings, or the inner object alone.
    pub fn add_file(&mut self, path: &Path, abilities: Abilities) {
        match cib_foreign::own::read_to_string(path) {
            Ok(text) => self.add(&path.display().to_string(), &text, abilities),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self
                .notes
                .push(format!("{} is not used: {error}", path.display())),
        }
    }

    /// Adds the user's hooks, which somebody else has read.
    pub fn add_users(&mut self, text: &str, abilities: Abilities) {
        self.add("~/.claude/hooks.json", text, abilities);
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
        self.add_events(source, events, abilities);
    }

    /// Adds hooks by event, as [`Settings::add`] does.
    pub fn add_events(&mut self, source: &str, events: Map<String, Value>, abilities: Abilities) {
        for (event, matchers) in events {
            let Value::Array(mut matchers) = matchers else {
                self.notes
                    .push(format!("{source}: `{event}` is not used: it is no list"));
                continue;
            };
            if !abilities.knows(&event) {
                let note = format!("{source}: this Claude knows no event `{event}`");
                self.notes.push(note);
                continue;
            }
            if let Some(wrapper) = &self.wrapper {
                for matcher in &mut matchers {
                    wrap(matcher, wrapper);
                }
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

    /// Adds rules for tools.
    pub fn add_tools(&mut self, tools: &Tools) {
        self.tools.allow.extend(tools.allow.iter().cloned());
        self.tools.deny.extend(tools.deny.iter().cloned());
    }

    /// The file's text; `None` if there is nothing to say.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let mut all = Map::new();
        if !self.hooks.is_empty() {
            all.insert("hooks".to_owned(), json!(self.hooks));
        }
        if self.tools != Tools::default() {
            all.insert("permissions".to_owned(), json!(self.tools));
        }
        (!all.is_empty()).then(|| Value::Object(all).to_string())
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

/// Puts a wrapper around the commands of a matcher's hooks. Those that the CLI runs without a
/// shell, and those of other types, stay as they are.
fn wrap(matcher: &mut Value, wrapper: &str) {
    let hooks = matcher.get_mut("hooks").and_then(Value::as_array_mut);
    for hook in hooks.into_iter().flatten() {
        let is_command = hook.get("type").is_some_and(|kind| kind == "command");
        if !is_command || hook.get("args").is_some() {
            continue;
        }
        if let Some(Value::String(command)) = hook.get_mut("command") {
            *command = format!("{wrapper} {}", quoted(command));
        }
    }
}

/// A text as one word of a shell's command.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The hooks of a session: those that it is given, which are kept for when it is resumed, or
/// those that it had before. Their file is for this user alone: they may hold credentials.
///
/// # Errors
/// If the file cannot be written, or what was kept cannot be read.
pub fn own_hooks(
    dir: &Path,
    given: Option<Map<String, Value>>,
    is_new: bool,
) -> io::Result<Option<Map<String, Value>>> {
    let hooks: Map<String, Value> = kept(&dir.join(OWN_HOOKS), given, is_new)?;
    Ok(Some(hooks).filter(|hooks| !hooks.is_empty()))
}

/// The rules for tools of a session, as [`own_hooks`] has its hooks.
///
/// # Errors
/// If the file cannot be written, or what was kept cannot be read.
pub fn own_tools(dir: &Path, given: Option<Tools>, is_new: bool) -> io::Result<Option<Tools>> {
    let tools: Tools = kept(&dir.join(OWN_TOOLS), given, is_new)?;
    Ok(Some(tools).filter(|tools| *tools != Tools::default()))
}

/// What is given, which is kept from now on, else what was kept.
fn kept<T: Default + Serialize + DeserializeOwned>(
    path: &Path,
    given: Option<T>,
    is_new: bool,
) -> io::Result<T> {
    match given {
        Some(given) => {
            cib_base::files::replace(path, &serde_json::to_vec(&given)?)?;
            Ok(given)
        }
        None if is_new => Ok(T::default()),
        None => match own::open(path, OpenOptions::new().read(true), 0o600) {
            Ok(file) => Ok(serde_json::from_reader(io::BufReader::new(
                file.take(MOST),
            ))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(error),
        },
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
    fn commands_of_a_shell_are_wrapped_and_nothing_else_is() {
        let mut settings = Settings::wrapped("tell --run".to_owned());
        let text = r#"{"Stop": [{"matcher": "x", "hooks": [
            {"type": "command", "command": "it's 1", "timeout": 5},
            {"type": "command", "command": "a", "args": ["b"]},
            {"type": "http", "url": "http://h"}
        ]}, 7]}"#;
        settings.add("user", text, new());
        settings.add_own("tell", Abilities::of("2.1.112"));
        let text: Value = serde_json::from_str(&settings.text().unwrap()).unwrap();
        let stop = &text["hooks"]["Stop"];
        let expected = json!([
            {"type": "command", "command": r"tell --run 'it'\''s 1'", "timeout": 5},
            {"type": "command", "command": "a", "args": ["b"]},
            {"type": "http", "url": "http://h"},
        ]);
        assert_eq!(stop[0]["hooks"], expected);
        assert_eq!(stop[1], 7);
        assert_eq!(stop[2]["hooks"][0]["command"], "tell");
    }

    #[test]
    fn no_hooks_and_no_rules_are_no_settings() {
        assert_eq!(Settings::default().text(), None);
    }

    #[test]
    fn rules_for_tools_stand_beside_hooks_and_are_kept_for_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Tools {
            allow: vec!["Read".to_owned()],
            deny: vec!["Bash(git push:*)".to_owned()],
        };
        let given = own_tools(folder.path(), Some(tools.clone()), true).unwrap();
        assert_eq!(given.as_ref(), Some(&tools));
        let kept = own_tools(folder.path(), None, false).unwrap();
        assert_eq!(kept, Some(tools));
        let none = own_tools(folder.path(), Some(Tools::default()), false).unwrap();
        assert_eq!(
            (none, own_tools(folder.path(), None, false).unwrap()),
            (None, None)
        );
        let mut settings = Settings::default();
        settings.add("user", r#"{"Stop": [{"hooks": [2]}]}"#, new());
        settings.add_tools(&given.unwrap());
        let text: Value = serde_json::from_str(&settings.text().unwrap()).unwrap();
        assert_eq!(
            text["permissions"],
            json!({"allow": ["Read"], "deny": ["Bash(git push:*)"]})
        );
        assert_eq!(text["hooks"]["Stop"][0]["hooks"][0], 2);
    }
}
