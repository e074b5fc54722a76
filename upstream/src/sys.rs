//! The one thing that Rust cannot check here: that a number handed over by a parent is an
//! open descriptor.
#![expect(
    unsafe_code,
    reason = "adopting an inherited descriptor cannot be checked"
)]

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd as _, RawFd};

/// Takes over a descriptor that the parent process left open for us.
///
/// # Errors
///
/// `InvalidInput` for the standard three, which have owners, and for a negative number, and
/// `EBADF` for a number that is not open.
pub(crate) fn adopt(number: RawFd) -> io::Result<File> {
    if number <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // The link in /proc is there exactly while the descriptor is open.
    std::fs::symlink_metadata(format!("/proc/self/fd/{number}"))
        .map_err(|_| io::Error::from_raw_os_error(nix::errno::Errno::EBADF as i32))?;
    // SAFETY: the descriptor is open, and nothing else in this process owns it: the number
    // comes from the command line, it is not one of the standard three, and this is called
    // once for each number, before anything else has been opened.
    Ok(unsafe { File::from_raw_fd(number) })
}
