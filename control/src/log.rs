//! The log, on standard error, one event a line.
//!
//! Times are left to init, which puts one in front of every line of every service; JSON lines
//! have their own.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// How often one thing is told of that may happen any number of times.
const SELDOM: Duration = Duration::from_secs(60);

/// What strangers can make happen as often as they like, and is told of once a minute with how
/// often it was.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    told: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// Nothing has happened yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::every(SELDOM)
    }

    const fn every(every: Duration) -> Self {
        Self {
            every,
            told: Mutex::new((None, 0)),
        }
    }

    /// Takes up that it happened. If it is to be told now, how often it was since the last time.
    pub fn happened(&self) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.1 += 1;
        if told.0.is_some_and(|at| at.elapsed() < self.every) {
            return None;
        }
        let times = told.1;
        *told = (Some(Instant::now()), 0);
        Some(times)
    }
}

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_seldom_and_counted() {
        let seldom = Seldom::new();
        assert_eq!(seldom.happened(), Some(1));
        assert!((0..1000).all(|_| seldom.happened().is_none()));
        seldom.told.lock().unwrap().0 = Instant::now().checked_sub(SELDOM);
        assert_eq!(seldom.happened(), Some(1001));
        assert_eq!(seldom.happened(), None);
        let often = Seldom::every(Duration::ZERO);
        assert_eq!([often.happened(), often.happened()], [Some(1); 2]);
    }
}
