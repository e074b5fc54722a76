//! Where values come from: the environment, and `[settings]` of the configuration files.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::fault::Place;

/// The environment that the container was started with, as a map.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    not_text: Vec<String>,
    purpose: Purpose,
}

/// What an environment is read for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A box, which may have a task.
    #[default]
    Box,
    /// A box that was asked for its task.
    Task,
    /// A command in a box that runs already, whoever may use its API.
    Inside,
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One text.
    Text(String),
    /// An array of a configuration file.
    List(Vec<String>),
}

/// A value from a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSetting {
    /// The value.
    pub value: Value,
    /// The line that it stands on.
    pub place: Place,
}

/// Values from configuration files, by the name of the variable that overrides each.
pub type FileSettings = BTreeMap<&'static str, FileSetting>;

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The same, read for something else, with variables that come before its own.
    #[must_use]
    pub fn read_for(mut self, purpose: Purpose, variables: Vec<(String, String)>) -> Self {
        self.purpose = purpose;
        for (name, value) in variables {
            // Of a value and the file of its twin it is the later that was meant.
            let twin = match name.strip_suffix("_FILE") {
                Some(own) => own.to_owned(),
                None => format!("{name}_FILE"),
            };
            self.variables.remove(&twin);
            self.variables.insert(name, value);
        }
        self
    }

    /// What it is read for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The value of a variable. An empty one counts as unset, because compose files write
    /// `${NAME:-}` for "perhaps".
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Every variable whose name and value are text, empty values included, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Variables that are left out because their value is not UTF-8, their names made readable.
    #[must_use]
    pub fn not_text(&self) -> &[String] {
        &self.not_text
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<T: IntoIterator<Item = (OsString, OsString)>>(pairs: T) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => {
                    environment.variables.insert(name, value);
                }
                (Ok(name), Err(_)) => environment.not_text.push(name),
                (Err(name), _) => environment
                    .not_text
                    .push(name.to_string_lossy().into_owned()),
            }
        }
        environment
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(pairs: T) -> Self {
        pairs
            .into_iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect()
    }
}

/// Shows names alone: any value may be a secret that only its owner knows to be one.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
