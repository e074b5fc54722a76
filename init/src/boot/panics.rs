//! Panics of this program, which end the box.
//!
//! A panic ends one task. Nobody would miss it: a service would not be supervised any more, or
//! signals not be read. So a hook writes each panic to standard error, and the box ends in order,
//! with the code for an internal fault.

use std::io::Write;
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::Notify;

static HAPPENED: AtomicBool = AtomicBool::new(false);
static BELL: Notify = Notify::const_new();

/// From now on every panic is written, and ends the box.
pub(super) fn install() {
    std::panic::set_hook(Box::new(|info| {
        HAPPENED.store(true, Ordering::Relaxed);
        say(info);
        BELL.notify_one();
    }));
}

/// Waits until something panicked.
pub(super) async fn first() {
    while !happened() {
        BELL.notified().await;
    }
}

/// Whether something panicked.
pub(super) fn happened() -> bool {
    HAPPENED.load(Ordering::Relaxed)
}

/// One line, unless standard error is a pipe that nobody reads: waiting for it would stop
/// the reaper as well.
fn say(info: &PanicHookInfo<'_>) {
    let stderr = std::io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut ready, PollTimeout::ZERO) == Ok(1) {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("a panic");
        let line = format!("cib-init: internal fault at {place}: {what}; the box ends\n");
        let _ = (&stderr).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_is_noticed() {
        install();
        let task = tokio::spawn(async { panic!("a test's own") });
        assert!(task.await.is_err());
        first().await;
        assert!(happened());
        let _ = std::panic::take_hook();
    }
}
