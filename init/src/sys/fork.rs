//! Forks the bare init's command, and closes what belongs to the command.

use std::os::fd::BorrowedFd;

use nix::unistd::{ForkResult, Pid};

/// Makes a child that does `act`, which becomes another program or says why it cannot. Returns
/// only in the parent.
///
/// # Errors
/// There is no memory or no process left.
pub fn fork(act: impl FnOnce() -> u8) -> nix::Result<Pid> {
    // SAFETY: the process has one thread, so its copy holds no lock of another.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        // Nothing of the parent's is flushed or run a second time.
        // SAFETY: takes an integer, and does not return.
        ForkResult::Child => unsafe { libc::_exit(i32::from(act())) },
    }
}

/// The standard descriptors, whether or not they are open.
#[must_use]
pub fn standard() -> [BorrowedFd<'static>; 3] {
    // SAFETY: nobody asks more of them than which terminal they are, before they are closed; one
    // that is not open is an error of the kernel's.
    [0, 1, 2].map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Closes every descriptor but standard error. Nothing in the process may use another.
pub fn close_all_but_stderr() {
    for (low, high) in [(0, 1), (3, libc::c_uint::MAX)] {
        // SAFETY: nothing in the process refers to those numbers any more.
        if unsafe { libc::close_range(low, high, 0) } == 0 {
            continue;
        }
        // An old kernel, or a filter that does not know the call.
        for fd in low..=high.min(4096) {
            // SAFETY: as above; those that are not open do not matter.
            unsafe { libc::close(fd.cast_signed()) };
        }
    }
}
