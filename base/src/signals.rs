//! Signals that this process waits for beside its other descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use libc::c_int;
use signal_hook::iterator::backend::{Pending, SignalDelivery};
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::sys;

/// Signals that have come: each number once, however often it came.
pub type Come = Pending<SignalOnly>;

/// Some signals, and a descriptor that is readable when one of them has come.
///
/// A handler takes them, so whoever waits in the kernel meanwhile may be interrupted. A child has
/// the handlers until it executes a program: signals must be blocked while it is forked, and it
/// must give them their default before it unblocks them.
#[derive(Debug)]
pub struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// Waits for these from now on. One that was blocked and came before has come.
    ///
    /// # Errors
    /// There is no descriptor left, or a signal of these cannot be handled.
    pub fn of(signals: &[c_int]) -> io::Result<Self> {
        let (come, tell) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(come, tell, SignalOnly, signals)?;
        sys::unblock(signals)?;
        Ok(Self(delivery))
    }

    /// Those that have come since this was asked last. Never waits.
    pub fn come(&mut self) -> Come {
        self.0.pending()
    }

    /// Another descriptor of the one that becomes readable, for an event loop.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn bell(&self) -> io::Result<UnixStream> {
        let bell = self.0.get_read().try_clone()?;
        bell.set_nonblocking(true)?;
        Ok(bell)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::{SigSet, Signal, raise};

    use super::*;

    fn is_rung(signals: &Signals) -> bool {
        let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO) == Ok(1)
    }

    #[test]
    fn what_comes_is_told_once_and_what_came_while_it_was_blocked_too() {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGUSR2);
        blocked.thread_block().unwrap();
        raise(Signal::SIGUSR2).unwrap();
        let mut signals = Signals::of(&[libc::SIGUSR1, libc::SIGUSR2]).unwrap();
        assert!(is_rung(&signals));
        assert_eq!(signals.come().collect::<Vec<_>>(), [libc::SIGUSR2]);
        assert!(!is_rung(&signals));
        for _ in 0..1000 {
            raise(Signal::SIGUSR1).unwrap();
        }
        assert!(is_rung(&signals));
        assert_eq!(signals.come().collect::<Vec<_>>(), [libc::SIGUSR1]);
        assert!(!is_rung(&signals) && signals.come().next().is_none());
    }

    #[test]
    fn a_real_time_signal_is_one_as_well() {
        let mut signals = Signals::of(&[libc::SIGRTMIN() + 3]).unwrap();
        signal_hook::low_level::raise(libc::SIGRTMIN() + 3).unwrap();
        assert_eq!(signals.come().next(), Some(libc::SIGRTMIN() + 3));
    }
}
