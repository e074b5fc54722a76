//! Waits for a descriptor in the runtime.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What names the same open file as long as it lives.
pub trait Steady: AsRawFd {}

impl Steady for OwnedFd {}

/// Has the runtime watch a descriptor, which the watch owns from now on.
///
/// # Errors
/// The kernel cannot watch such a file, as with one on a disk, or there is no memory.
pub fn watch<T: Steady>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor names the same open file as long as it lives, and the watch takes
    // it out of the runtime before it drops it.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(|error| error.into_parts().1)
}

/// Has reading from a descriptor, or writing to it, never wait, for whoever shares it.
///
/// # Errors
/// The kernel fails to do so, which it does not for one that is open.
pub fn never_waits(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
