//! Writes one line to standard error for each thing that is worth knowing. The names that are
//! looked up and the targets that are connected to are private: only `debug` shows them.

use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What stops the program.
    Error,
    /// What a person should look at.
    Warn,
    /// What has changed.
    #[default]
    Info,
    /// Everything, names and targets included.
    Debug,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Sets what is logged from now on.
pub fn set(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// What stops the program.
pub fn error(text: fmt::Arguments<'_>) {
    line(Level::Error, text);
}

/// What a person should look at.
pub fn warn(text: fmt::Arguments<'_>) {
    line(Level::Warn, text);
}

/// What has changed.
pub fn info(text: fmt::Arguments<'_>) {
    line(Level::Info, text);
}

/// Everything else, names and targets included.
pub fn debug(text: fmt::Arguments<'_>) {
    line(Level::Debug, text);
}

fn line(level: Level, text: fmt::Arguments<'_>) {
    if level as u8 > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let line = compose(level, text);
    // Nobody is left to be told when standard error is gone.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Always exactly one line, whatever is in the text.
fn compose(level: Level, text: fmt::Arguments<'_>) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    let mut line = format!("{level}: {text}").replace(char::is_control, " ");
    line.push('\n');
    line
}

/// An error with its sources, as one fragment.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        let line = compose(Level::Warn, format_args!("a\nb\u{1b}[31m"));
        assert_eq!(line, "warn: a b [31m\n");
    }
}
