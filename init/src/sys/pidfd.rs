//! Signals to a process by its descriptor, which `nix` does not have: a descriptor never means
//! another process.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Signals a process that was opened.
///
/// # Errors
/// It is gone, or not ours to signal.
pub fn signal(process: &OwnedFd, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes integers, and no information about the sender.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            no_info,
            0,
        )
    };
    if sent == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
