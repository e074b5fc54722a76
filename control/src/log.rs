//! The log, on standard error, one event a line.
//!
//! Times are left to init, which puts one in front of every line of every service; JSON lines
//! have their own.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A word that is no format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the formats are `text` and `json`")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// Begins logging. Later calls change nothing.
pub fn begin(format: Format, level: LevelFilter) {
    let builder = fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    // An error means that a log has begun already, as in a test that runs several servers.
    let _ = match format {
        Format::Text => builder.without_time().try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}
