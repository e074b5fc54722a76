//! What needs `unsafe`: a child's life between fork and exec, and a descriptor by its number.

#![expect(
    unsafe_code,
    reason = "fork and inherited descriptors have no safe interface"
)]

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::sys::signal::SigSet;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal, setsid};

/// Whether a child gets its standard input as its controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// It has none.
    No,
    /// Its standard input.
    Stdin,
}

/// Starts a child in a session and process group of its own, with no signal blocked, that gets
/// `at_death` when this process ends in any way.
///
/// # Errors
/// If it cannot be forked or the program cannot be executed.
pub fn spawn(command: &mut Command, at_death: Signal, terminal: Terminal) -> io::Result<Child> {
    let keeper = getpid();
    let in_child = move || {
        setsid()?;
        if terminal == Terminal::Stdin {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        set_parent_process_death_signal(Some(at_death))?;
        // The keeper may have died before the line above; its signal is then never sent.
        if getppid() != Some(keeper) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        SigSet::empty().thread_set_mask()?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls may be made. The closure makes
    // system calls alone and allocates nothing: its errors are plain numbers.
    unsafe { command.pre_exec(in_child) };
    command.spawn()
}

/// Takes over a descriptor that this process was started with, and keeps it from its children.
/// `None` if there is none of that number, or if it is one of the standard three.
#[must_use]
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: the number comes from whoever started this process and passed the descriptor for
    // this use; nothing else in this process refers to it. If it is not open, the next line
    // notices, and forgetting it keeps its number from being closed.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    let flags =
        fcntl_getfd(fd.as_fd()).and_then(|flags| fcntl_setfd(&fd, flags | FdFlags::CLOEXEC));
    match flags {
        Ok(()) => Some(fd),
        Err(_) => {
            std::mem::forget(fd);
            None
        }
    }
}
