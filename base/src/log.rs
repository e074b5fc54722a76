//! The log of a program, on standard error, one event a line.
//!
//! Init reads it, and puts a time in front of every line of every service; so only JSON lines
//! have a time of their own.

use std::io;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::Subscriber;
pub use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

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

/// Begins the log of this process. Later calls change nothing.
pub fn begin(format: Format, level: LevelFilter) {
    // The error says that a log has begun already, as in a test that runs several servers.
    let _ = match format {
        Format::Text => text(level, io::stderr).try_init(),
        Format::Json => json(level, io::stderr).try_init(),
    };
}

fn text<W>(level: LevelFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false);
    let lines = lines.with_target(false).without_time();
    // A log that cannot be written must disturb nobody.
    lines
        .log_internal_errors(false)
        .with_writer(OneLine(writer))
        .finish()
}

fn json<W>(level: LevelFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false);
    let lines = lines.json().flatten_event(true);
    lines
        .log_internal_errors(false)
        .with_writer(writer)
        .finish()
}

/// Makes one line of each event, whatever is in its text: a reply of somebody else's could
/// begin a line that looks like another event.
struct OneLine<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: io::Write> io::Write for OneLine<W> {
    /// Takes a whole event, since the formatter writes each of them at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        let plain = text
            .iter()
            .map(|&byte| if byte.is_ascii_control() { b' ' } else { byte });
        let line: Vec<u8> = plain.chain(*b"\n").collect();
        self.0.write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
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
    use std::fs::File;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_line_has_a_level_in_five_columns_words_and_fields_and_only_json_has_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let written = |begin: &dyn Fn(Arc<File>) -> tracing::Dispatch| {
            let path = dir.path().join("log");
            let file = Arc::new(File::create(&path).unwrap());
            tracing::dispatcher::with_default(&begin(file), || {
                tracing::warn!(took_ms = 7, "slow");
                tracing::debug!("left out");
            });
            std::fs::read_to_string(path).unwrap()
        };
        let level = LevelFilter::INFO;
        let line = written(&|file| text(level, file).into());
        assert_eq!(line, " WARN slow took_ms=7\n");
        let line = written(&|file| json(level, file).into());
        assert!(line.starts_with("{\"timestamp\":\""), "{line}");
        let rest = ",\"level\":\"WARN\",\"message\":\"slow\",\"took_ms\":7}\n";
        assert!(line.ends_with(rest), "{line}");
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = Arc::new(File::create(&path).unwrap());
        let log = tracing::Dispatch::from(text(LevelFilter::INFO, file));
        tracing::dispatcher::with_default(&log, || {
            tracing::warn!("refused\n ERROR forged\r\u{1b}[31m");
        });
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(written.lines().count(), 1, "{written}");
        assert!(
            !written.trim_end_matches('\n').contains(char::is_control),
            "{written}"
        );
    }

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
