//! What is wrong with the configuration, in one line a fault.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

/// Something wrong, where it is, and what to do about it. A warning has the same parts.
///
/// The parts never hold the value of a secret: whoever makes a fault quotes with [`quoted`],
/// and only what is not secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The variable or the line.
    pub place: Place,
    /// What is wrong with it, as a fragment without an end.
    pub problem: String,
    /// What to do, as a fragment without an end.
    pub remedy: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An environment variable.
    Variable(String),
    /// A line of a configuration file, counted from 1.
    Line {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
    },
    /// A whole file or directory.
    File(PathBuf),
    /// How the container was started.
    Container,
}

impl Fault {
    /// A fault of these parts.
    pub fn new(place: Place, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl Place {
    /// An environment variable.
    pub fn variable(name: impl Into<String>) -> Self {
        Self::Variable(name.into())
    }

    /// A line of a file.
    pub fn line(file: &Path, line: usize) -> Self {
        Self::Line {
            file: file.to_owned(),
            line,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Line { file, line } => write!(f, "{}:{line}", file.display()),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Container => f.write_str("container"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            OneLine(f),
            "{}: {}; {}",
            self.place,
            self.problem,
            self.remedy
        )
    }
}

/// Writes what has no place in a line, or moves a cursor, as its escape: names of variables and
/// services may hold anything.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                write!(self.0, "{}", character.escape_default())?;
            } else {
                self.0.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// A value as a fault shows it: on one line, at most 60 characters, in backquotes.
pub(crate) fn quoted(value: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = value
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    if value.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// The known name that a mistyped one most likely means.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let tolerance = 1 + typed.chars().count() / 3;
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_that_names_place_problem_and_remedy() {
        let place = Place::line(Path::new("/etc/claude-in-box/init.toml"), 7);
        let fault = Fault::new(place, "the key `comand` is unknown", "write `command`");
        assert_eq!(
            fault.to_string(),
            "/etc/claude-in-box/init.toml:7: the key `comand` is unknown; write `command`"
        );
    }

    #[test]
    fn a_quoted_value_stays_on_one_line_and_short() {
        assert_eq!(quoted("a\nb"), "`a\\nb`");
        assert!(quoted(&"x".repeat(500)).len() < 70);
    }

    #[test]
    fn the_nearest_name_is_near_or_none() {
        let known = ["PORT", "PROXY_URL", "SETUP"];
        assert_eq!(nearest("PROXY_ULR", known), Some("PROXY_URL"));
        assert_eq!(nearest("PROT", known), Some("PORT"));
        assert_eq!(nearest("ZZZZZZ", known), None);
    }
}
