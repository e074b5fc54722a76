//! Takes values one by one, and collects what is wrong with each.

use std::path::Path;

use cib_protocol::secret::Secret;

use super::fault::{Fault, Place};
use super::parse::{self, Wrong};
use super::quoted;
use super::secret_file::SecretFileError;
use super::settings::SecretFile;
use super::source::{Environment, FileSettings, Purpose, Value};
use super::unknown::is_service_link;
use super::variable::{Kind, Variable};
use super::written;

/// Reads the file that a `_FILE` variable names.
pub type ReadFile<'a> = dyn Fn(&Path) -> Result<String, SecretFileError> + 'a;

/// A type whose values are the words of a [`Kind::Choice`].
pub(super) trait Choice: Copy + 'static {
    /// Every word with its value, in the catalog's order.
    const WORDS: &'static [(&'static str, Self)];
}

pub(super) struct Reader<'a> {
    environment: &'a Environment,
    files: &'a FileSettings,
    read_file: &'a ReadFile<'a>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
    /// Files that secrets were read from.
    pub(super) secret_files: Vec<SecretFile>,
    /// What was asked for, so that a test can find a variable that nobody reads.
    #[cfg(test)]
    pub(super) asked: std::collections::BTreeSet<&'static str>,
}

/// What was found for a variable.
enum Found {
    /// Nothing at all.
    Nothing,
    /// Something that a fault has been reported for.
    Faulty,
    /// A value.
    Value(Value, Place),
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        environment: &'a Environment,
        files: &'a FileSettings,
        read_file: &'a ReadFile<'a>,
    ) -> Self {
        Self {
            environment,
            files,
            read_file,
            faults: Vec::new(),
            warnings: Vec::new(),
            secret_files: Vec::new(),
            #[cfg(test)]
            asked: std::collections::BTreeSet::new(),
        }
    }

    pub(super) fn purpose(&self) -> Purpose {
        self.environment.purpose()
    }

    pub(super) fn fault(&mut self, place: Place, wrong: Wrong) {
        self.faults.push(Fault {
            place,
            problem: wrong.problem,
            remedy: wrong.remedy,
        });
    }

    pub(super) fn warn(&mut self, variable: &'static Variable, problem: &str, remedy: &str) {
        self.warnings
            .push(Fault::new(Place::variable(variable.name), problem, remedy));
    }

    /// The environment's value, the file's that it names, or the configuration's; a fault
    /// instead of one that is written as nobody can have meant it.
    fn find(&mut self, variable: &'static Variable) -> Found {
        #[cfg(test)]
        self.asked.insert(variable.name);
        let own = self.environment.get(variable.name);
        let own = own.filter(|value| !is_service_link(variable.name, value));
        let named = variable.has_file().then(|| variable.file_name());
        let file = named.as_deref().and_then(|name| self.environment.get(name));
        let (value, place) = match (own, file) {
            (Some(_), Some(_)) => {
                let problem = format!("{}_FILE is set as well", variable.name);
                self.fault(
                    Place::variable(variable.name),
                    Wrong::new(problem, "unset one of the two"),
                );
                return Found::Faulty;
            }
            (Some(text), None) => (Value::Text(text.to_owned()), Place::variable(variable.name)),
            (None, Some(path)) => {
                let place = Place::variable(variable.file_name());
                match self.named_file(variable, path) {
                    Ok(text) => (Value::Text(text), place),
                    Err(wrong) => {
                        self.fault(place, wrong);
                        return Found::Faulty;
                    }
                }
            }
            (None, None) => match self.files.get(variable.name) {
                Some(setting) => (setting.value.clone(), setting.place.clone()),
                None => return Found::Nothing,
            },
        };
        let judged = match &value {
            Value::Text(text) => written::value(text, variable.kind).map(str::to_owned),
            Value::List(_) => return Found::Value(value, place),
        };
        match judged {
            Ok(text) => Found::Value(Value::Text(text), place),
            Err(wrong) => {
                self.fault(place, wrong);
                Found::Faulty
            }
        }
    }

    /// The text of the file that the variable's twin names.
    fn named_file(&mut self, variable: &'static Variable, path: &str) -> Result<String, Wrong> {
        let path = written::value(path, Kind::Path).and_then(parse::path)?;
        let shown = quoted(&path.to_string_lossy());
        match (self.read_file)(&path) {
            Ok(text) if text.trim_end_matches(['\n', '\r']).is_empty() => Err(Wrong::new(
                format!("the file {shown} is empty"),
                "put the value into it",
            )),
            Ok(text) if text.len() > variable.most() => Err(Wrong::new(
                format!(
                    "the file {shown} is larger than {} KiB",
                    variable.most() / 1024
                ),
                format!(
                    "name a text file that holds the value of {} alone",
                    variable.name
                ),
            )),
            Ok(text) => {
                if variable.secret() {
                    let variable = variable.file_name();
                    self.secret_files.push(SecretFile { variable, path });
                }
                Ok(text)
            }
            Err(SecretFileError::Read(error)) => Err(Wrong::new(
                format!("the file {shown} cannot be read: {}", in_words(&error)),
                "mount it where the variable says, readable for root",
            )),
            Err(error) => Err(Wrong::new(
                format!("the file {shown} {error}"),
                format!(
                    "name a text file that holds the value of {} alone",
                    variable.name
                ),
            )),
        }
    }

    /// One value, parsed; the catalog's default if there is none; `None` if that is empty or
    /// if a fault was reported.
    pub(super) fn value<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (value, place) = match self.find(variable) {
            Found::Nothing if variable.default.is_empty() => return None,
            Found::Nothing => (
                Value::Text(variable.default.to_owned()),
                Place::variable(variable.name),
            ),
            Found::Faulty => return None,
            Found::Value(value, place) => (value, place),
        };
        let parsed = match &value {
            Value::Text(text) => parse(text),
            Value::List(_) => Err(Wrong::new("is an array", "write one value")),
        };
        parsed.map_err(|wrong| self.fault(place, wrong)).ok()
    }

    /// A yes or no.
    pub(super) fn flag(&mut self, variable: &'static Variable) -> bool {
        self.value(variable, parse::flag).unwrap_or(false)
    }

    /// A whole number within the catalog's bounds.
    pub(super) fn integer(&mut self, variable: &'static Variable) -> Option<u64> {
        let Kind::Integer { min, max } = variable.kind else {
            return None;
        };
        self.value(variable, |text| parse::integer(text, min, max))
    }

    /// A duration within the catalog's bounds.
    pub(super) fn duration(&mut self, variable: &'static Variable) -> std::time::Duration {
        let bounds = match variable.kind {
            Kind::Duration { min_ms, max_ms } => u128::from(min_ms)..=u128::from(max_ms),
            _ => 0..=u128::MAX,
        };
        let parse = |text: &str| {
            let duration = parse::duration(text)?;
            if bounds.contains(&duration.as_millis()) {
                return Ok(duration);
            }
            let problem = format!("{} is out of bounds", quoted(text));
            Err(Wrong::new(problem, format!("write {}", variable.kind)))
        };
        self.value(variable, parse).unwrap_or_default()
    }

    /// One of the catalog's words. The first one stands in where a fault was reported.
    pub(super) fn choice<T: Choice>(&mut self, variable: &'static Variable) -> T {
        let parse = |text: &str| {
            let found = T::WORDS.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let problem = format!("{} is not understood", quoted(text));
                Wrong::new(problem, format!("write {}", variable.kind))
            })
        };
        self.value(variable, parse).unwrap_or(T::WORDS[0].1)
    }

    /// The items of a list; each bad one is a fault of its own.
    pub(super) fn list<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let (value, place) = match self.find(variable) {
            Found::Nothing => (
                Value::Text(variable.default.to_owned()),
                Place::variable(variable.name),
            ),
            Found::Faulty => return Vec::new(),
            Found::Value(value, place) => (value, place),
        };
        let parsed: Vec<_> = match &value {
            Value::Text(text) => parse::items(text).map(parse).collect(),
            Value::List(items) => items.iter().map(|item| parse(item)).collect(),
        };
        let mut list = Vec::with_capacity(parsed.len());
        for item in parsed {
            match item {
                Ok(item) => list.push(item),
                Err(wrong) => self.fault(place.clone(), wrong),
            }
        }
        list
    }

    /// A text, or an array of which each item counts as one command.
    pub(super) fn commands(&mut self, variable: &'static Variable) -> Vec<String> {
        let (value, place) = match self.find(variable) {
            Found::Nothing | Found::Faulty => return Vec::new(),
            Found::Value(value, place) => (value, place),
        };
        let parsed = match value {
            Value::Text(text) => parse::commands(&text),
            Value::List(items) => parse::checked_commands(items),
        };
        parsed
            .map_err(|wrong| self.fault(place, wrong))
            .unwrap_or_default()
    }

    /// A secret of one line without control characters.
    pub(super) fn secret(&mut self, variable: &'static Variable) -> Option<Secret> {
        self.value(variable, |text| parse::one_line(text).map(Secret::new))
    }
}

/// An I/O error in words, without the number that `io::Error` adds.
fn in_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or(&text)
        .to_ascii_lowercase()
}
