//! Writes to standard output or standard error, which may be a pipe that nobody reads.
//!
//! Making it non-blocking would make it so for whoever shares it, so it is asked before each
//! write whether it takes anything: a pipe or terminal that says so takes at least
//! `PIPE_BUF` bytes without waiting (`pipe(7)`), and init is its only writer.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::sync::Notify;

use super::held;
use crate::sys::ready;

/// What a pipe takes at once when it takes anything, `PIPE_BUF` on Linux.
const PIECE: usize = 4096;
/// With so many bytes waiting, services are no longer read.
const ROOM: usize = 256 * 1024;
/// While blocked, how often to look again even if nothing woke us.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The stream and what is still to be written to it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Output(Arc<Inner>);

struct Inner {
    fd: Option<OwnedFd>,
    waiting: Mutex<Waiting>,
    /// Rung when the stream takes nothing more, for the task that waits until it does.
    blocked: Notify,
    /// Rung after each write that made room.
    wrote: Notify,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<String>,
    /// Bytes of the first line that are written already.
    written: usize,
    bytes: usize,
    /// Whether the stream takes nothing, and the task looks after what waits.
    is_blocked: bool,
}

/// How far a write went.
enum Progress {
    Empty,
    Blocked,
    Gone,
}

impl Output {
    /// Standard output. Must be called within a `LocalSet`.
    pub(super) fn stdout() -> Self {
        Self::on(io::stdout().as_fd().try_clone_to_owned().ok())
    }

    /// Standard error. Must be called within a `LocalSet`.
    pub(super) fn stderr() -> Self {
        Self::on(io::stderr().as_fd().try_clone_to_owned().ok())
    }

    pub(super) fn on(fd: Option<OwnedFd>) -> Self {
        let inner = Arc::new(Inner {
            fd,
            waiting: Mutex::default(),
            blocked: Notify::new(),
            wrote: Notify::new(),
        });
        let drained = Arc::clone(&inner);
        tokio::task::spawn_local(async move {
            loop {
                drained.blocked.notified().await;
                drained.drain_all().await;
            }
        });
        Self(inner)
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.0.fd.as_ref().is_some_and(IsTerminal::is_terminal)
    }

    /// Writes a line now if that is possible, or else when it is. Any thread may do so.
    pub(super) fn push(&self, line: String) {
        {
            let mut waiting = held(&self.0.waiting);
            waiting.bytes += line.len();
            waiting.lines.push_back(line);
            if waiting.is_blocked {
                return;
            }
        }
        if let Progress::Blocked = self.0.drain() {
            self.0.blocked.notify_one();
        }
    }

    /// Waits until services may be read again.
    pub(super) async fn has_room(&self) {
        self.until(|waiting| waiting.bytes < ROOM).await;
    }

    /// Waits until nothing is left to write.
    pub(super) async fn flushed(&self) {
        self.until(|waiting| waiting.bytes == 0).await;
    }

    async fn until(&self, condition: impl Fn(&Waiting) -> bool) {
        loop {
            let wrote = self.0.wrote.notified();
            if condition(&held(&self.0.waiting)) {
                return;
            }
            wrote.await;
        }
    }
}

impl Inner {
    async fn drain_all(&self) {
        let Some(fd) = &self.fd else { return };
        // A regular file cannot be waited for, and never has to be.
        let watch = fd
            .try_clone()
            .and_then(|fd| ready::watch(fd, Interest::WRITABLE))
            .ok();
        while let Progress::Blocked = self.drain() {
            match &watch {
                Some(watch) => {
                    let ready = tokio::time::timeout(LOOK_AGAIN, watch.writable()).await;
                    if let Ok(Ok(mut guard)) = ready {
                        guard.clear_ready();
                    }
                }
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Writes as long as the stream takes something.
    fn drain(&self) -> Progress {
        let mut waiting = held(&self.waiting);
        let progress = self.write_some(&mut waiting);
        match progress {
            // Nobody will ever read it. The box lives on, and says nothing.
            Progress::Gone => *waiting = Waiting::default(),
            Progress::Empty => waiting.is_blocked = false,
            Progress::Blocked => waiting.is_blocked = true,
        }
        drop(waiting);
        self.wrote.notify_waiters();
        progress
    }

    fn write_some(&self, waiting: &mut Waiting) -> Progress {
        let Some(fd) = &self.fd else {
            return Progress::Gone;
        };
        loop {
            let piece = waiting.piece();
            if piece.is_empty() {
                return Progress::Empty;
            }
            let mut ask = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut ask, PollTimeout::ZERO) {
                Ok(0) | Err(Errno::EINTR) => return Progress::Blocked,
                Ok(_) => {}
                Err(_) => return Progress::Gone,
            }
            match nix::unistd::write(fd, &piece) {
                Ok(count) => waiting.advance(count),
                Err(Errno::EAGAIN | Errno::EINTR) => {
                    return Progress::Blocked;
                }
                Err(_) => return Progress::Gone,
            }
        }
    }
}

impl Waiting {
    /// As many of the first bytes as a pipe takes at once.
    fn piece(&self) -> Vec<u8> {
        let mut piece = Vec::new();
        let mut skip = self.written;
        for line in &self.lines {
            let rest = &line.as_bytes()[skip..];
            skip = 0;
            let room = PIECE - piece.len();
            piece.extend_from_slice(&rest[..rest.len().min(room)]);
            if piece.len() == PIECE {
                break;
            }
        }
        piece
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(line) = self.lines.front() {
            let left = line.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.lines.pop_front();
        }
    }
}
