//! The system calls that `nix` does not have and several programs need.

#![expect(unsafe_code, reason = "the one place for raw system calls")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

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
