//! The things here that the compiler cannot check.
#![expect(
    unsafe_code,
    reason = "descriptors that came from elsewhere are taken only on a promise"
)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits for a descriptor to become readable. Has to be called inside of the runtime.
///
/// # Errors
/// If the kernel cannot poll such a descriptor.
pub(crate) fn readable(fd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: the descriptor is open and stays so, because the `AsyncFd` keeps the `Arc`, whose
    // `OwnedFd` nobody can replace or close while it is shared; so it also names the same
    // descriptor in every call.
    let ready = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    ready.map_err(io::Error::from)
}

/// Another descriptor of what was passed in under a number. The number stays open.
///
/// # Errors
/// If nothing was, or the process has as many descriptors as it may have.
pub(crate) fn lent(number: u32) -> io::Result<OwnedFd> {
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "there is no such descriptor");
    if !Path::new(&format!("/proc/self/fd/{number}")).exists() {
        return Err(nothing());
    }
    let number = RawFd::try_from(number).map_err(|_| nothing())?;
    // SAFETY: the descriptor was open a moment ago, and nothing in this process owns it: it came
    // with the process, and only its number is known here. So nothing closes it meanwhile.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?)
}
