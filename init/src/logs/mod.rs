//! Every line of the box on one stream.
//!
//! A service writes to a pipe of its own. Its lines come out whole, one after the other, each
//! with time, service and level. When the reader of the stream is slow, the pipes are no
//! longer read, so that services wait and no line is lost; init itself never waits.

mod format;
mod lines;
mod mask;
mod output;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
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
pub struct Logs(Rc<Inner>);

struct Inner {
    format: Format,
    least: Level,
    colours: bool,
    mask: RefCell<Mask>,
    output: Output,
    kept: RefCell<BTreeMap<String, Kept>>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Logs {
    /// A log on standard output. Levels are coloured only on a terminal, and not if
    /// `no_colour` (the variable `NO_COLOR`) says so.
    #[must_use]
    pub fn new(format: Format, least: Level, no_colour: bool) -> Self {
        let output = Output::stdout();
        let colours = format == Format::Text && !no_colour && output.is_terminal();
        Self(Rc::new(Inner {
            format,
            least,
            colours,
            mask: RefCell::default(),
            output,
            kept: RefCell::default(),
        }))
    }

    /// From now on shows `***` wherever this value would show.
    pub fn mask(&self, secret: &str) {
        self.0.mask.borrow_mut().add(secret);
    }

    /// Writes one line. A line break in it becomes a blank.
    pub fn write(&self, level: Level, service: &str, line: &str) {
        if level > self.0.least {
            return;
        }
        let line = self.0.mask.borrow().apply(line);
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
        let kept = self.0.kept.borrow();
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
            let waits = |piece: &[u8]| self.0.mask.borrow().open_end(piece);
            while let Some(line) = lines.next(waits) {
                self.take(service, &line);
            }
        }
        if let Some(line) = lines.rest() {
            self.take(service, &line);
        }
    }

    fn take(&self, service: &str, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let (level, line) = format::split_level(&line, self.0.least);
        self.write(level, service, line);
    }

    fn keep(&self, service: &str, line: &str) {
        let mut all = self.0.kept.borrow_mut();
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

#[cfg(test)]
mod tests;
