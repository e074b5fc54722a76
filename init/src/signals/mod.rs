//! Signals: what they are called, which of them ask a box to end, and how the box gets its own.

mod name;

use std::io;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use name::{name, parse};

use crate::sys::ready;

/// The highest signal number.
pub const MAX: i32 = 64;
/// The lowest real-time signal that programs may use: the C library keeps 32 and 33.
pub const RTMIN: i32 = 34;

/// Whether a signal asks an init to end its box: what engines send, and what managers send that
/// take the box for a machine. `RTMIN+3` and those after it are halt, power off, reboot and kexec,
/// `RTMIN+13` and those after it the same at once (`systemd(1)`).
#[must_use]
pub fn asks_to_end(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGPWR
    ) || (RTMIN + 3..=RTMIN + 6).contains(&signal)
        || (RTMIN + 13..=RTMIN + 16).contains(&signal)
}

/// Every signal that this process gets. All of them must be blocked.
#[derive(Debug)]
pub struct Signals(AsyncFd<SignalFd>);

impl Signals {
    /// Listens from now on; what was pending already is not lost.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let fd = SignalFd::with_flags(&SigSet::all(), flags)?;
        Ok(Self(ready::watch(fd, Interest::READABLE)?))
    }

    /// Waits for the next one and returns its number. May be dropped on the way without losing
    /// any.
    ///
    /// # Errors
    /// The kernel fails to tell, which it does not do to a descriptor that is open.
    pub async fn next(&self) -> io::Result<i32> {
        loop {
            let mut guard = self.0.readable().await?;
            let read = guard.try_io(|fd| match fd.get_ref().read_signal()? {
                Some(info) => i32::try_from(info.ssi_signo).map_err(io::Error::other),
                None => Err(io::ErrorKind::WouldBlock.into()),
            });
            if let Ok(signal) = read {
                return signal;
            }
        }
    }
}
