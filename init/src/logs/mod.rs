//! Every line of the box on one stream.
//!
//! A line is an event of `tracing`, with a level, the name of its service, and words. Init's own
//! code makes events with `tracing`'s macros, and [`Logs`] takes them. A service writes to a pipe
//! of its own; each of its lines becomes an event too. Lines come out whole, one after the
//! other. When the reader of the stream is slow, the pipes are no longer read, so that services
//! wait and no line is lost; init itself never waits.

mod event;
mod format;
mod lines;
mod mask;
mod output;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cib_protocol::time::Timestamp;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::net::unix::pipe;

pub use crate::environment::{LogFormat as Format, LogLevel as Level};
use crate::logs::lines::Lines;
pub use crate::logs::mask::Mask;
use crate::logs::output::Output;
use crate::sys::ready;

/// Lines of each service that are kept for `cib-init svc logs`.
const KEPT_LINES: usize = 200;
/// Bytes of each service's kept lines.
const KEPT_BYTES: usize = 32 * 1024;

/// The box's log. Cheap to clone.
#[derive(Clone)]
pub struct Logs(Arc<Inner>);

struct Inner {
    format: Format,
    least: Level,
    colours: bool,
    mask: Mutex<Mask>,
    output: Output,
    kept: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

/// One line of a service, whose level is known only when it is read.
pub fn say(level: Level, service: &str, line: &str) {
    match level {
        Level::Error => tracing::error!(service, "{line}"),
        Level::Warn => tracing::warn!(service, "{line}"),
        Level::Info => tracing::info!(service, "{line}"),
        Level::Debug => tracing::debug!(service, "{line}"),
        Level::Trace => tracing::trace!(service, "{line}"),
    }
}

impl Logs {
    /// A log on standard output. Levels are coloured only on a terminal, and not if
    /// `no_colour` (the variable `NO_COLOR`) says so. Must be called within a `LocalSet`.
    #[must_use]
    pub fn new(format: Format, least: Level, no_colour: bool) -> Self {
        Self::unless(no_colour, Output::stdout(), format, least)
    }

    /// The same on standard error, where standard output is for a result alone.
    #[must_use]
    pub fn aside(format: Format, least: Level, no_colour: bool) -> Self {
        Self::unless(no_colour, Output::stderr(), format, least)
    }

    fn unless(no_colour: bool, output: Output, format: Format, least: Level) -> Self {
        let colours = format == Format::Text && !no_colour && output.is_terminal();
        Self::on(output, format, least, colours)
    }

    fn on(output: Output, format: Format, least: Level, colours: bool) -> Self {
        Self(Arc::new(Inner {
            format,
            least,
            colours,
            mask: Mutex::default(),
            output,
            kept: Mutex::default(),
        }))
    }

    /// Takes every event of this process from now on, unless another log does already.
    pub fn begin(&self) {
        let _ = tracing::subscriber::set_global_default(self.clone());
    }

    /// From now on shows `***` wherever this value would show.
    pub fn mask(&self, secret: &str) {
        held(&self.0.mask).add(secret);
    }

    /// Writes one line. A line break in it becomes a blank.
    pub fn write(&self, level: Level, service: &str, line: &str) {
        if level > self.0.least {
            return;
        }
        let line = held(&self.0.mask).apply(line).into_owned();
        let text = format::line(
            self.0.format,
            self.0.colours,
            Timestamp::now(),
            level,
            service,
            &line,
        );
        self.keep(service, &line);
        self.0.output.push(text);
    }

    /// A pipe into the log: whatever is written to it appears line by line under this name.
    /// Must be called within a `LocalSet`.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn open(&self, service: &str) -> io::Result<OwnedFd> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        // Only our end: the flag belongs to the description, and each end has its own.
        ready::never_waits(&read)?;
        let read = pipe::Receiver::from_owned_fd(read)?;
        let logs = self.clone();
        let service = service.to_owned();
        tokio::task::spawn_local(async move { logs.follow(read, &service).await });
        Ok(write)
    }

    /// The last lines of a service, oldest first, as they were written but for secrets.
    #[must_use]
    pub fn recent(&self, service: &str, lines: usize) -> Vec<String> {
        let kept = held(&self.0.kept);
        let Some(kept) = kept.get(service) else {
            return Vec::new();
        };
        let skip = kept.lines.len().saturating_sub(lines);
        kept.lines.iter().skip(skip).cloned().collect()
    }

    /// Waits until everything is written, but no longer than this: a reader that is stuck
    /// must not keep the box from ending.
    pub async fn flush(&self, within: Duration) {
        let _ = tokio::time::timeout(within, self.0.output.flushed()).await;
    }

    async fn follow(&self, mut read: pipe::Receiver, service: &str) {
        let mut lines = Lines::default();
        loop {
            self.0.output.has_room().await;
            if !lines.fill(&mut read).await {
                break;
            }
            let waits = |piece: &[u8]| held(&self.0.mask).open_end(piece);
            while let Some(line) = lines.next(waits) {
                self.pass_on(service, &line);
            }
        }
        if let Some(line) = lines.rest() {
            self.pass_on(service, &line);
        }
    }

    fn pass_on(&self, service: &str, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let (level, line) = format::split_level(&line, self.0.least);
        say(level, service, line);
    }

    fn keep(&self, service: &str, line: &str) {
        let mut all = held(&self.0.kept);
        if !all.contains_key(service) {
            all.insert(service.to_owned(), Kept::default());
        }
        let Some(kept) = all.get_mut(service) else {
            return;
        };
        kept.bytes += line.len();
        kept.lines.push_back(line.to_owned());
        while kept.lines.len() > KEPT_LINES || (kept.bytes > KEPT_BYTES && kept.lines.len() > 1) {
            kept.bytes -= kept.lines.pop_front().map_or(0, |line| line.len());
        }
    }
}

/// What another thread may be using. No panic of such a thread leaves it half changed.
fn held<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
