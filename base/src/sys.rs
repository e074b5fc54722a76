//! The system calls that `nix` does not have and several programs need.

#![expect(unsafe_code, reason = "the one place for raw system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use libc::c_int;
use nix::unistd::Pid;

/// Opens a process. The descriptor never means another process, and becomes readable when the
/// process has ended.
///
/// # Errors
/// There is no such process, or no descriptor is left.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets these signals reach this thread. `nix` has no sets with real-time signals in them.
pub(crate) fn unblock(signals: &[c_int]) -> io::Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the place is valid for a set, which the call makes empty.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the call above has made it a set.
    let mut set: libc::sigset_t = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: a set, and a number that is refused if it is no signal's.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    // SAFETY: a set, and no place for the one before.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_not_there_cannot_be_opened() {
        pidfd_open(nix::unistd::getpid()).unwrap();
        let refused = pidfd_open(Pid::from_raw(i32::MAX)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ESRCH));
    }
}
