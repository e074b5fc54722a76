//! Every key that a configuration may have: one table for reading, checking and explaining.

use serde_json::{Value, json};

/// What a key's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Switch,
    /// One line of text.
    Text,
    /// Text, or null for none.
    MayText,
    /// A whole number that is not negative, or null for none.
    MayNumber,
    /// A list of text.
    Texts,
    /// Text by name.
    Variables,
    /// A list of `{source, target, readonly}`.
    Mounts,
}

impl Kind {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Text => "a text",
            Self::MayText => "a text, or null",
            Self::MayNumber => "a whole number, or null",
            Self::Texts => "a list of texts",
            Self::Variables => "an object of texts",
            Self::Mounts => "a list of objects with source, target and, if wanted, readonly",
        }
    }

    /// Whether a value is of this kind.
    #[must_use]
    pub fn fits(self, value: &Value) -> bool {
        let texts = |values: &Vec<Value>| values.iter().all(Value::is_string);
        match self {
            Self::Switch => value.is_boolean(),
            Self::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::MayText => value.is_null() || value.as_str().is_some_and(|text| !text.is_empty()),
            Self::MayNumber => value.is_null() || value.is_u64(),
            Self::Texts => value.as_array().is_some_and(texts),
            Self::Variables => value
                .as_object()
                .is_some_and(|object| object.values().all(Value::is_string)),
            Self::Mounts => value
                .as_array()
                .is_some_and(|mounts| mounts.iter().all(is_mount)),
        }
    }
}

fn is_mount(value: &Value) -> bool {
    let Some(mount) = value.as_object() else {
        return false;
    };
    let known = |key: &String| matches!(key.as_str(), "source" | "target" | "readonly");
    let text = |key| mount.get(key).is_some_and(Value::is_string);
    let switch = mount.get("readonly").is_none_or(Value::is_boolean);
    mount.keys().all(known) && text("source") && text("target") && switch
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The variable that beats the files, if there is one.
    pub variable: Option<&'static str>,
    /// What it does, for a person.
    pub about: &'static str,
    /// Whether it is read and then left alone, as it is for another agent than Claude.
    pub ignored: bool,
}

const fn key(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key {
        name,
        kind,
        variable: None,
        about,
        ignored: false,
    }
}

const fn or_variable(mut key: Key, variable: &'static str) -> Key {
    key.variable = Some(variable);
    key
}

const fn ignored(name: &'static str) -> Key {
    let mut key = key(name, Kind::MayText, "for another agent; read and ignored");
    key.ignored = true;
    key
}

/// All keys, by what they are about.
pub const KEYS: &[Key] = &[
    or_variable(
        key("dockerImage", Kind::Text, "image of the box"),
        "CIB_IMAGE",
    ),
    key(
        "buildImage",
        Kind::Switch,
        "false: pull the image instead of building the dockerfile",
    ),
    key(
        "dockerfile",
        Kind::MayText,
        "build the image from this file, its folder as context",
    ),
    key(
        "containerPrefix",
        Kind::MayText,
        "what names of boxes begin with; the repository's folder if null",
    ),
    key("dockerSocketPath", Kind::MayText, "the engine's socket"),
    key(
        "detached",
        Kind::Switch,
        "start, print the address, and be done",
    ),
    key(
        "autoStartClaude",
        Kind::Switch,
        "false: a shell instead of a session",
    ),
    key(
        "defaultShell",
        Kind::Text,
        "claude or bash: what is opened first",
    ),
    key(
        "codeRunner",
        Kind::Text,
        "claude, the one agent in the image",
    ),
    key(
        "driver",
        Kind::MayText,
        "stream or tty: how the first session is driven",
    ),
    or_variable(
        key("model", Kind::MayText, "model of the first session"),
        "CIB_MODEL",
    ),
    or_variable(
        key(
            "credential",
            Kind::Text,
            "which credential of Claude's goes in: auto, none, key, subscription, bedrock or vertex",
        ),
        "CIB_CREDENTIAL",
    ),
    key("envFile", Kind::MayText, "file of variables for the box"),
    key(
        "environment",
        Kind::Variables,
        "variables for Claude and shells",
    ),
    key(
        "setupCommands",
        Kind::Texts,
        "commands that run in the repository before anything else",
    ),
    key("volumes", Kind::Texts, "mounts as SOURCE:TARGET[:ro]"),
    key("mounts", Kind::Mounts, "mounts as objects"),
    key(
        "allowedTools",
        Kind::Texts,
        "tools that Claude uses without asking, as Read or Bash(npm:*); [\"*\"] are all",
    ),
    key(
        "maxThinkingTokens",
        Kind::MayNumber,
        "MAX_THINKING_TOKENS of Claude",
    ),
    key(
        "bashTimeout",
        Kind::MayNumber,
        "BASH_MAX_TIMEOUT_MS of Claude, in milliseconds",
    ),
    key(
        "includeUntracked",
        Kind::Switch,
        "files that git does not know come along",
    ),
    key(
        "targetBranch",
        Kind::MayText,
        "branch in the box, instead of claude/TIME",
    ),
    key(
        "remoteBranch",
        Kind::MayText,
        "branch of the remote to begin at",
    ),
    key("prNumber", Kind::MayNumber, "pull request to begin at"),
    key(
        "skipReconnectCheck",
        Kind::Switch,
        "do not tell of boxes of this repository that run",
    ),
    key(
        "forwardSshAgent",
        Kind::Switch,
        "the ssh agent's socket is mounted",
    ),
    key(
        "forwardSshKeys",
        Kind::Switch,
        "~/.ssh is mounted, read-only",
    ),
    key(
        "forwardGpgAgent",
        Kind::Switch,
        "gpg's extra socket is mounted",
    ),
    key(
        "forwardGpgKeys",
        Kind::Switch,
        "~/.gnupg is mounted, read-only",
    ),
    key(
        "enableGpgSigning",
        Kind::Switch,
        "commits are signed by gpg",
    ),
    key(
        "github",
        Kind::Switch,
        "a token of GitHub's goes in: the box opens pull requests, and Claude cannot read it",
    ),
    key(
        "claudeSettings",
        Kind::Switch,
        "CLAUDE.md, agents, commands, skills and settings of ~/.claude go in",
    ),
    key(
        "claudeConfigPath",
        Kind::MayText,
        "an older place of Claude's API key",
    ),
    key(
        "autoPush",
        Kind::Switch,
        "what `cib watch` sees is pushed at once",
    ),
    key("autoCreatePR", Kind::Switch, "and becomes a pull request"),
    key(
        "memory",
        Kind::MayText,
        "memory that the box may use, as 4g",
    ),
    key(
        "cpus",
        Kind::MayText,
        "processors that the box may use, as 1.5",
    ),
    key("pids", Kind::MayNumber, "processes that the box may have"),
    or_variable(
        key(
            "proxyFile",
            Kind::MayText,
            "file with the proxy's URL; then nothing leaves but through it",
        ),
        "CIB_PROXY_URL_FILE",
    ),
    key(
        "hardened",
        Kind::Switch,
        "with a proxy another container holds it and its rules",
    ),
    key(
        "updateCheck",
        Kind::Switch,
        "a start in a terminal looks once a day for a newer cib; CIB_NO_UPDATE_CHECK=1 is false",
    ),
    ignored("opencodeConfigPath"),
    ignored("codexConfigPath"),
    ignored("kimiConfigPath"),
    ignored("qwenConfigPath"),
];

/// A JSON Schema of a configuration file, for editors.
#[must_use]
pub fn schema() -> Value {
    let text = json!({"type": "string", "minLength": 1});
    let of = |kind: Kind| match kind {
        Kind::Switch => json!({"type": "boolean"}),
        Kind::Text => text.clone(),
        Kind::MayText => json!({"type": ["string", "null"], "minLength": 1}),
        Kind::MayNumber => json!({"type": ["integer", "null"], "minimum": 0}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Variables => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Kind::Mounts => json!({"type": "array", "items": {
            "type": "object", "required": ["source", "target"], "additionalProperties": false,
            "properties": {
                "source": {"type": "string"}, "target": {"type": "string"},
                "readonly": {"type": "boolean"},
            },
        }}),
    };
    let mut properties = serde_json::Map::new();
    for key in KEYS {
        let mut about = of(key.kind);
        about["description"] = json!(key.about);
        about["default"] = default(key.name, false);
        properties.insert(key.name.to_owned(), about);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What cib does in a project", "type": "object",
        "additionalProperties": false, "properties": properties,
    })
}

/// The value of a key that nothing sets. `seed` says that a `claude-run.config.json` is in use,
/// whose readers expect what that tool did.
#[must_use]
pub fn default(name: &str, seed: bool) -> Value {
    match name {
        "dockerImage" => json!("claude-in-box:latest"),
        "buildImage" | "autoStartClaude" | "includeUntracked" | "forwardSshAgent"
        | "claudeSettings" | "updateCheck" | "hardened" => {
            json!(true)
        }
        "defaultShell" | "codeRunner" => json!("claude"),
        "credential" => json!("auto"),
        "environment" => json!({}),
        "setupCommands" | "volumes" | "mounts" => json!([]),
        "allowedTools" => json!(["*"]),
        "forwardSshKeys" | "forwardGpgKeys" => json!(seed),
        "detached" | "skipReconnectCheck" | "forwardGpgAgent" | "enableGpgSigning" | "autoPush"
        | "autoCreatePR" | "github" => json!(false),
        _ => Value::Null,
    }
}

/// A key by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that somebody probably meant.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.to_lowercase();
    KEYS.iter()
        .map(|key| {
            let close = strsim::jaro_winkler(&wanted, &key.name.to_lowercase());
            (close, key.name)
        })
        .filter(|(close, _)| *close > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_of_its_keys_kind() {
        for key in KEYS {
            for seed in [false, true] {
                let value = default(key.name, seed);
                assert!(key.kind.fits(&value), "{}: {value}", key.name);
            }
        }
    }

    #[test]
    fn the_schema_has_every_key_and_takes_its_default() {
        let schema = schema();
        for key in KEYS {
            let about = &schema["properties"][key.name];
            let is = match &about["default"] {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
                _ => "string",
            };
            let takes = about["type"] == is
                || about["type"]
                    .as_array()
                    .is_some_and(|all| all.contains(&json!(is)));
            assert!(takes, "{}: {about}", key.name);
        }
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn a_misspelt_key_is_told_its_neighbour() {
        for (wrong, right) in [
            ("dockerimage", "dockerImage"),
            ("setupCommand", "setupCommands"),
            ("enviroment", "environment"),
        ] {
            assert_eq!(nearest(wrong), Some(right), "{wrong}");
        }
        assert_eq!(nearest("zzz"), None);
    }
}
