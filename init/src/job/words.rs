//! The words behind `task`: each option is a variable of the catalog in another spelling.

use std::ffi::OsString;

use crate::environment::{CATALOG, Delivery, Group, Kind, Variable};

/// What the words ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Words {
    /// The task, with these variables.
    Task(Vec<(String, String)>),
    /// An explanation.
    Help,
}

/// Words that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// No option, or none that there is.
    #[error("`{0}` is no option of task; task --help lists them")]
    Unknown(String),
    /// An option without what it needs.
    #[error("`{0}` needs a value")]
    NoValue(String),
    /// An option twice that is for one thing.
    #[error("`{0}` is said twice")]
    Twice(String),
    /// A value that is no text.
    #[error("the value of `{0}` is not UTF-8 text")]
    NotText(String),
}

/// Every variable that the words can set.
fn variables() -> impl Iterator<Item = &'static Variable> {
    CATALOG
        .iter()
        .copied()
        .filter(|variable| variable.group == Group::Task)
}

/// `CIB_TASK_PRIVATE_PROMPT` as `--private-prompt`.
fn option(name: &str) -> String {
    let name = name.strip_prefix("CIB_TASK_").unwrap_or(name);
    format!("--{}", name.to_ascii_lowercase().replace('_', "-"))
}

/// The variable that an option stands for, and the name under which its value is set. Everybody in
/// the box sees what a process was started with, so a secret is no argument.
fn named(option_name: &str) -> Option<(&'static Variable, String)> {
    variables().find_map(|variable| {
        if option(variable.name) == option_name && variable.delivery != Delivery::Secret {
            return Some((variable, variable.name.to_owned()));
        }
        let twin = variable.file_name();
        (variable.has_file() && option(&twin) == option_name).then_some((variable, twin))
    })
}

/// Reads them.
///
/// # Errors
/// The first that cannot be understood.
pub fn read(words: &[OsString]) -> Result<Words, WordsError> {
    let mut set: Vec<(String, String)> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        if word == "--help" || word == "-h" {
            return Ok(Words::Help);
        }
        let (said, joined) = match word.split_once('=') {
            Some((said, value)) => (said.to_owned(), Some(value.to_owned())),
            None => (word.clone().into_owned(), None),
        };
        let Some((variable, name)) = named(&said) else {
            return Err(WordsError::Unknown(said));
        };
        let value = match joined {
            // What was lossy above has this character where it was no text.
            Some(value) if value.contains('\u{fffd}') => return Err(WordsError::NotText(said)),
            Some(value) => value,
            None if variable.kind == Kind::Flag => "1".to_owned(),
            None => {
                let value = words
                    .next()
                    .ok_or_else(|| WordsError::NoValue(said.clone()))?;
                let value = value
                    .to_str()
                    .ok_or_else(|| WordsError::NotText(said.clone()))?;
                value.to_owned()
            }
        };
        // An empty variable counts as unset, which nobody means who says it here.
        if value.is_empty() {
            return Err(WordsError::NoValue(said));
        }
        match set.iter_mut().find(|(known, _)| *known == name) {
            None => set.push((name, value)),
            // One command a line.
            Some((_, lines)) if variable.name == "CIB_TASK_SETUP" => {
                lines.push('\n');
                lines.push_str(&value);
            }
            Some(_) => return Err(WordsError::Twice(said)),
        }
    }
    Ok(Words::Task(set))
}

/// Every option, as `task --help` shows them.
#[must_use]
pub fn help() -> String {
    let mut text = "Does one task and ends: docker run IMAGE task --prompt TEXT [OPTION...]\n\n\
         Each option is a variable in another spelling, and comes before it.\n\n"
        .to_owned();
    for variable in variables() {
        let value = if variable.kind == Kind::Flag {
            "[=0]"
        } else {
            " VALUE"
        };
        if variable.delivery != Delivery::Secret {
            text.push_str(&format!("  {}{value}\n", option(variable.name)));
        }
        if variable.has_file() {
            text.push_str(&format!("  {} FILE\n", option(&variable.file_name())));
        }
        text.push_str(&format!(
            "      {} [{}]\n",
            first_sentence(variable.doc),
            variable.name
        ));
    }
    text.push_str("\nExit codes:\n");
    text.push_str(super::outcome::TABLE);
    text
}

fn first_sentence(text: &str) -> &str {
    text.split(". ")
        .next()
        .unwrap_or(text)
        .trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Words, WordsError> {
        let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
        read(&words.into_iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn set(pairs: &[(&str, &str)]) -> Words {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Words::Task(pairs.iter().map(own).collect())
    }

    #[test]
    fn each_option_is_a_variable_in_another_spelling() {
        let line = "--repo acme/api --prompt=do=it --private-prompt --draft=0 --prompt-file /p";
        let pairs = [
            ("CIB_TASK_REPO", "acme/api"),
            ("CIB_TASK_PROMPT", "do=it"),
            ("CIB_TASK_PRIVATE_PROMPT", "1"),
            ("CIB_TASK_DRAFT", "0"),
            ("CIB_TASK_PROMPT_FILE", "/p"),
        ];
        assert_eq!(asked(line), Ok(set(&pairs)));
        let pairs = [("CIB_TASK_SETUP", "make\ntrue")];
        assert_eq!(asked("--setup make --setup true"), Ok(set(&pairs)));
        assert_eq!(asked(""), Ok(set(&[])));
        assert_eq!(asked("--repo x --help"), Ok(Words::Help));
    }

    #[test]
    fn what_is_no_option_is_refused_and_a_secret_is_none() {
        let unknown = |line: &str| matches!(asked(line), Err(WordsError::Unknown(_)));
        for line in [
            "fix",
            "--port 1",
            "--request {}",
            "--repo-file x",
            "-p x",
            "--",
        ] {
            assert!(unknown(line), "{line}");
        }
        assert!(asked("--request-file /r").is_ok());
        for line in ["--repo", "--repo=", "--repo a --repo b"] {
            assert!(asked(line).is_err(), "{line}");
        }
    }

    #[test]
    fn help_names_every_variable_and_every_code() {
        let text = help();
        for variable in variables() {
            assert!(text.contains(variable.name), "{}", variable.name);
        }
        assert!(text.contains("143"), "{text}");
    }
}
