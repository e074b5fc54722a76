//! The configuration: what a command does when nobody says otherwise, and where that stands.
//!
//! A flag beats a variable, that the project's file, that the person's own, that the default.
//! The project's file is `--config`, else the first of `claude-run.config.json`,
//! `.cib/config.json` and `cib.toml` at the repository's top.

pub mod env_file;
pub mod file;
pub mod keys;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::credentials::Choice;
use crate::failure::{Exit, Failure};
use crate::surroundings::Surroundings;
pub use file::FileFault;
pub use keys::{KEYS, Key, Kind, schema};

/// The name that the tool before this one had for its file.
pub const SEED_FILE: &str = "claude-run.config.json";

/// The names of a project's file, the first that is there counts.
pub const PROJECT_FILES: [&str; 3] = [SEED_FILE, ".cib/config.json", "cib.toml"];

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// In a person's own file.
    User(PathBuf),
    /// In the project's file.
    Project(PathBuf),
    /// In a variable.
    Variable(String),
    /// On the command line.
    Flag(String),
}

impl Origin {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::User(path) | Self::Project(path) => path.display().to_string(),
            Self::Variable(name) => format!("${name}"),
            Self::Flag(name) => name.clone(),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Valued {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub origin: Origin,
}

/// A mount, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: String,
    /// Where.
    pub target: String,
    /// Whether the box may not write.
    #[serde(default)]
    pub readonly: bool,
}

/// Every key with its value.
#[derive(Clone, Debug)]
pub struct Configuration {
    values: BTreeMap<&'static str, Valued>,
    /// The project's file, if there is one.
    pub project: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is wrong.
    #[error(transparent)]
    File(#[from] FileFault),
    /// A file that was named is not there.
    #[error("there is no {}", .0.display())]
    Absent(PathBuf),
    /// A flag's or a variable's value is wrong.
    #[error("{origin}: `{name}` has to be {}", kind.words())]
    Value {
        /// Where it stands.
        origin: String,
        /// The key.
        name: &'static str,
        /// What it has to be.
        kind: Kind,
    },
    /// Values that make no sense, each with where it stands.
    #[error("{0}")]
    Senseless(String),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, error).remedy("`cib config check` looks at it again")
    }
}

impl Configuration {
    /// Reads everything. `top` is the repository's; `named` is `--config`; `flags` are keys that
    /// the command line sets, each with its flag.
    ///
    /// # Errors
    /// A [`ConfigError`].
    pub fn read(
        around: &Surroundings,
        top: &Path,
        named: Option<&Path>,
        flags: Vec<(&'static str, &str, Value)>,
    ) -> Result<Self, ConfigError> {
        let mut values = BTreeMap::new();
        let mut project = None;
        if let Some(folder) = around.configuration() {
            for name in ["config.json", "config.toml"] {
                let path = folder.join(name);
                if let Some(read) = file::read(&path)? {
                    take(&mut values, read, &Origin::User(path));
                    break;
                }
            }
        }
        let places: Vec<PathBuf> = match named {
            Some(path) => vec![around.folder.join(path)],
            None => PROJECT_FILES.map(|name| top.join(name)).into(),
        };
        for path in places {
            if let Some(read) = file::read(&path)? {
                take(&mut values, read, &Origin::Project(path.clone()));
                project = Some(path);
                break;
            }
        }
        if let (None, Some(path)) = (&project, named) {
            return Err(ConfigError::Absent(around.folder.join(path)));
        }
        for key in KEYS {
            let Some((name, text)) = key
                .variable
                .and_then(|name| Some((name, around.variable(name)?)))
            else {
                continue;
            };
            let origin = Origin::Variable(name.to_owned());
            let value = Value::from(text);
            values.insert(key.name, Valued { value, origin });
        }
        for (name, flag, value) in flags {
            let key = keys::find(name).filter(|key| key.kind.fits(&value));
            let Some(key) = key else {
                let kind = keys::find(name).map_or(Kind::Text, |key| key.kind);
                return Err(ConfigError::Value {
                    origin: flag.to_owned(),
                    name,
                    kind,
                });
            };
            let origin = Origin::Flag(flag.to_owned());
            values.insert(key.name, Valued { value, origin });
        }
        let is_seed = |path: &PathBuf| path.file_name().is_some_and(|name| name == SEED_FILE);
        let seed = around.as_before || project.as_ref().is_some_and(is_seed);
        for key in KEYS {
            values.entry(key.name).or_insert_with(|| Valued {
                value: keys::default(key.name, seed),
                origin: Origin::Default,
            });
        }
        let all = Self { values, project };
        all.make_sense()?;
        Ok(all)
    }

    /// Values that are of their kinds and still cannot be meant.
    fn make_sense(&self) -> Result<(), ConfigError> {
        let fault = |name: &str, what: &str| {
            let origin = self.valued(name).origin.words();
            Err(ConfigError::Senseless(format!("{origin}: `{name}` {what}")))
        };
        if self.text("codeRunner") != Some("claude") {
            return fault(
                "codeRunner",
                "can only be claude: this image carries Claude Code only",
            );
        }
        if self
            .text("dockerImage")
            .is_some_and(|name| name.starts_with('-'))
        {
            return fault("dockerImage", "is no name of an image");
        }
        if !matches!(self.text("defaultShell"), Some("claude" | "bash")) {
            return fault("defaultShell", "has to be claude or bash");
        }
        if self.text("credential").and_then(Choice::of).is_none() {
            return fault(
                "credential",
                "has to be auto, none, key, subscription, bedrock or vertex",
            );
        }
        if !matches!(self.text("driver"), None | Some("stream" | "tty")) {
            return fault("driver", "has to be stream or tty");
        }
        if !self.texts("allowedTools").into_iter().all(is_rule) {
            return fault(
                "allowedTools",
                "has to name tools, as Read or Bash(npm run test:*)",
            );
        }
        for (name, _) in self.variables("environment") {
            if !env_file::is_name(&name) {
                return fault("environment", "has a name that no variable can have");
            }
            if is_the_boxs_own(&name) {
                return fault("environment", "sets a variable of the box itself (CIB_*)");
            }
        }
        Ok(())
    }

    /// A value and where it stands.
    ///
    /// # Panics
    /// There is no such key.
    #[must_use]
    pub fn valued(&self, name: &str) -> &Valued {
        &self.values[name]
    }

    /// Every key's value, in the table's order.
    pub fn all(&self) -> impl Iterator<Item = (&'static Key, &Valued)> {
        KEYS.iter().map(|key| (key, self.valued(key.name)))
    }

    /// A text, if it is one.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.valued(name).value.as_str()
    }

    /// A switch.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.valued(name).value == Value::Bool(true)
    }

    /// A number, if it is one.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.valued(name).value.as_u64()
    }

    /// A list of texts.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let values = self.valued(name).value.as_array();
        values
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The tools that Claude uses without asking, unless it is all of them.
    #[must_use]
    pub fn allowed_tools(&self) -> Option<Vec<&str>> {
        let tools = self.texts("allowedTools");
        (!tools.contains(&"*")).then_some(tools)
    }

    /// Texts by name.
    #[must_use]
    pub fn variables(&self, name: &str) -> Vec<(String, String)> {
        let values = self.valued(name).value.as_object();
        let text =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        values.into_iter().flatten().filter_map(text).collect()
    }

    /// The mounts of `mounts`.
    #[must_use]
    pub fn mounts(&self) -> Vec<Mount> {
        Mount::deserialize_all(&self.valued("mounts").value)
    }

    /// The folder that a key's paths are relative to: that of the file in which it stands.
    #[must_use]
    pub fn folder_of(&self, name: &str, around: &Surroundings) -> PathBuf {
        match &self.valued(name).origin {
            Origin::User(path) | Origin::Project(path) => {
                let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
                // Our own file stands one below the folder that it speaks of.
                if folder.ends_with(".cib") {
                    folder.parent().map(Path::to_path_buf).unwrap_or_default()
                } else {
                    folder
                }
            }
            _ => around.folder.clone(),
        }
    }

    /// A path that a key names.
    #[must_use]
    pub fn path(&self, name: &str, around: &Surroundings) -> Option<PathBuf> {
        let folder = self.folder_of(name, around);
        Some(around.path(self.text(name)?, &folder))
    }
}

impl Mount {
    fn deserialize_all(value: &Value) -> Vec<Self> {
        Vec::deserialize(value).unwrap_or_default()
    }
}

/// Whether a text names a tool of Claude's, or everything, or what a tool may be used for.
fn is_rule(text: &str) -> bool {
    let name = |text: &str| {
        let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*');
        !text.is_empty() && text.chars().all(character)
    };
    let plain = !text.chars().any(char::is_control);
    match text.split_once('(') {
        None => name(text),
        Some((tool, rest)) => name(tool) && rest.len() > 1 && rest.ends_with(')') && plain,
    }
}

/// Whether a variable is one by which the box itself is configured.
#[must_use]
pub fn is_the_boxs_own(name: &str) -> bool {
    name.starts_with("CIB_") || name.starts_with("LD_")
}

fn take(
    values: &mut BTreeMap<&'static str, Valued>,
    read: BTreeMap<String, Value>,
    origin: &Origin,
) {
    for (name, value) in read {
        if let Some(key) = keys::find(&name) {
            let origin = origin.clone();
            values.insert(key.name, Valued { value, origin });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir_all(place.0.path().join("home/cib")).unwrap();
            std::fs::create_dir_all(place.0.path().join("top/.cib")).unwrap();
            place
        }

        fn write(&self, name: &str, text: &str) -> &Self {
            std::fs::write(self.0.path().join(name), text).unwrap();
            self
        }

        fn around(&self, variables: &[(&str, &str)]) -> Surroundings {
            let home = self.0.path().join("home").display().to_string();
            let mut around = Surroundings {
                folder: self.0.path().join("top"),
                ..Surroundings::default()
            };
            around.variables.insert("XDG_CONFIG_HOME".into(), home);
            for (name, value) in variables {
                around.variables.insert((*name).into(), (*value).into());
            }
            around
        }

        fn read(
            &self,
            variables: &[(&str, &str)],
            flags: Vec<(&'static str, &str, Value)>,
        ) -> Result<Configuration, ConfigError> {
            let top = self.0.path().join("top");
            Configuration::read(&self.around(variables), &top, None, flags)
        }
    }

    #[test]
    fn a_flag_beats_a_variable_that_the_project_that_the_person_that_the_default() {
        let place = Place::new();
        let image = |place: &Place, variables: &[(&str, &str)], flags| {
            let all = place.read(variables, flags).unwrap();
            let valued = all.valued("dockerImage").clone();
            (
                valued.value.as_str().unwrap().to_owned(),
                valued.origin.words(),
            )
        };
        let ours = place.0.path().join("top/.cib/config.json");
        let users = place.0.path().join("home/cib/config.json");
        assert_eq!(image(&place, &[], vec![]).1, "default");
        place.write("home/cib/config.json", r#"{"dockerImage": "user"}"#);
        assert_eq!(
            image(&place, &[], vec![]),
            ("user".into(), users.display().to_string())
        );
        place.write("top/.cib/config.json", r#"{"dockerImage": "ours"}"#);
        assert_eq!(
            image(&place, &[], vec![]),
            ("ours".into(), ours.display().to_string())
        );
        place.write("top/claude-run.config.json", r#"{"dockerImage": "seed"}"#);
        assert_eq!(image(&place, &[], vec![]).0, "seed");
        let variable = [("CIB_IMAGE", "variable")];
        assert_eq!(
            image(&place, &variable, vec![]),
            ("variable".into(), "$CIB_IMAGE".into())
        );
        let flag = vec![("dockerImage", "--image", json!("flag"))];
        assert_eq!(
            image(&place, &variable, flag),
            ("flag".into(), "--image".into())
        );
    }

    #[test]
    fn the_file_of_the_tool_before_is_read_whole_and_brings_its_defaults() {
        let place = Place::new();
        let without = place.read(&[], vec![]).unwrap();
        assert!(!without.is("forwardSshKeys") && without.is("forwardSshAgent"));
        place.write(
            "top/claude-run.config.json",
            r#"{
              "dockerImage": "claude-code-runner:latest", "buildImage": true,
              "dockerfile": "./custom.Dockerfile", "detached": false, "autoPush": true,
              "autoCreatePR": true, "autoStartClaude": true, "envFile": ".env",
              "environment": {"NODE_ENV": "development"},
              "setupCommands": ["npm install", "npm run build"],
              "volumes": ["/host/path:/container/path:ro"],
              "mounts": [{"source": "./data", "target": "/workspace/data", "readonly": false},
                         {"source": "/home/user/configs", "target": "/configs", "readonly": true}],
              "allowedTools": ["*"], "maxThinkingTokens": 100000, "bashTimeout": 600000,
              "containerPrefix": "my-project", "claudeConfigPath": "~/.claude.json",
              "dockerSocketPath": "/run/user/1000/podman/podman.sock",
              "forwardSshKeys": true, "forwardGpgKeys": true, "forwardSshAgent": true,
              "enableGpgSigning": false
            }"#,
        );
        let all = place.read(&[], vec![]).unwrap();
        assert!(all.is("autoPush") && all.is("forwardGpgKeys"));
        assert_eq!(all.number("bashTimeout"), Some(600_000));
        assert_eq!(all.mounts().len(), 2);
        assert_eq!(all.texts("setupCommands"), ["npm install", "npm run build"]);
        let file = all.path("dockerfile", &place.around(&[])).unwrap();
        assert_eq!(file, place.0.path().join("top/./custom.Dockerfile"));
    }

    #[test]
    fn what_cannot_be_meant_ends_with_78_and_names_where_it_stands() {
        for (text, words) in [
            (r#"{"codeRunner": "codex"}"#, "Claude Code only"),
            (r#"{"environment": {"CIB_PORT": "1"}}"#, "CIB_*"),
            (r#"{"environment": {"A-B": "1"}}"#, "no variable"),
            (r#"{"dockerImage": "--privileged"}"#, "no name of an image"),
            (r#"{"driver": "telnet"}"#, "stream or tty"),
            (r#"{"credential": "mine"}"#, "bedrock or vertex"),
            (r#"{"allowedTools": ["Read", "rm -rf"]}"#, "name tools"),
            (r#"{"allowedTools": ["Bash("]}"#, "name tools"),
            (r#"{"detach": true}"#, "did you mean `detached`?"),
        ] {
            let place = Place::new();
            place.write("top/cib.toml", "");
            place.write("top/.cib/config.json", text);
            let failure = Failure::from(place.read(&[], vec![]).unwrap_err());
            let said = failure.error.to_string();
            assert!(
                said.contains(words) && said.contains(".cib/config.json"),
                "{said}"
            );
            assert_eq!(failure.exit.code(), 78);
        }
    }

    #[test]
    fn a_named_file_has_to_be_there() {
        let place = Place::new();
        let top = place.0.path().join("top");
        let named = Some(Path::new("other.json"));
        let error = Configuration::read(&place.around(&[]), &top, named, vec![]).unwrap_err();
        assert!(matches!(error, ConfigError::Absent(_)), "{error}");
    }
}
