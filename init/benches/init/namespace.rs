//! A program as PID 1, looked at from outside.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cib_base::sys::pidfd_open;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::support::{children, eventually, status_field};

/// PID 1 of a pid namespace, and the `unshare` that made it.
pub(crate) struct Namespace {
    outer: Child,
    pub(crate) pid: i32,
}

impl Namespace {
    /// Starts the words as PID 1; returns as soon as there is a PID 1, whatever it runs.
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> Self {
        let outer = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Busy on purpose: what is measured afterwards happens within microseconds.
        let pid = loop {
            if let Some(pid) = children(outer.id()).first() {
                break *pid;
            }
        };
        Self { outer, pid }
    }

    /// The descendant of PID 1 that has this name.
    pub(crate) fn find(&self, name: &str) -> i32 {
        eventually("the process is there", || find(self.pid, name))
    }
}

fn find(pid: i32, name: &str) -> Option<i32> {
    children(pid.cast_unsigned()).into_iter().find_map(|child| {
        if status_field(child, "Name")? == name {
            return Some(child);
        }
        find(child, name)
    })
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

/// A process that can be waited for though it is not ours.
pub(crate) struct Watched(OwnedFd);

impl Watched {
    pub(crate) fn new(pid: i32) -> Self {
        Self(pidfd_open(Pid::from_raw(pid)).unwrap())
    }

    /// Waits for its end; how long after `since` that was, or nothing after `limit`.
    pub(crate) fn gone(&self, since: Instant, limit: Duration) -> Option<Duration> {
        let left = limit.saturating_sub(since.elapsed());
        let left = PollTimeout::try_from(left).unwrap();
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        (poll(&mut fds, left).unwrap() == 1).then(|| since.elapsed())
    }
}
