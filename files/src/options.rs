//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg;

use crate::place::{Root, Roots};

/// What `--help` says.
pub const HELP: &str = "\
Answers one question about files, with the rights of the user that it runs as. The connection on
which it is asked is its standard input.

Usage: cib-files [--root NAME=DIR | --look NAME=DIR]...

  --root NAME=DIR  a folder below which files are looked at and changed
  --look NAME=DIR  one below which they are only looked at, on its own disk alone
  --help, --version

Exit codes: 0 it answered, 1 the connection broke, 64 wrong usage.";

/// What was asked for.
#[derive(Debug)]
pub enum Command {
    /// Help.
    Help,
    /// The version.
    Version,
    /// An answer about files below these.
    Serve(Roots),
}

/// What is wrong with the command line.
#[derive(Debug, thiserror::Error)]
pub enum UsageFault {
    /// An option is unknown, or has no value.
    #[error(transparent)]
    Option(#[from] lexopt::Error),
    /// A root has no name or no absolute path.
    #[error("{0:?} is not NAME=DIR")]
    Root(OsString),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// A [`UsageFault`].
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageFault> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut roots = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long("root") => roots.push(root(parser.value()?, true)?),
            Arg::Long("look") => roots.push(root(parser.value()?, false)?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Serve(Roots(roots)))
}

fn root(value: OsString, writable: bool) -> Result<Root, UsageFault> {
    let parts = value.to_str().and_then(|text| text.split_once('='));
    match parts {
        Some((name, path)) if !name.is_empty() && path.starts_with('/') => Ok(Root {
            name: name.to_owned(),
            path: PathBuf::from(path),
            writable,
        }),
        _ => Err(UsageFault::Root(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, UsageFault> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn roots_keep_their_order_and_say_whether_they_may_be_changed() {
        let words = ["--root", "workspace=/w", "--look", "box=/"];
        let Ok(Command::Serve(roots)) = parsed(&words) else {
            panic!("it is a good command line");
        };
        let roots: Vec<_> = roots
            .0
            .iter()
            .map(|root| (&*root.name, root.writable))
            .collect();
        assert_eq!(roots, [("workspace", true), ("box", false)]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for words in [
            &["--root"][..],
            &["--fd", "3"],
            &["--root", "w=relative"],
            &["--root", "=/w"],
            &["extra"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
