//! The one thing here that the compiler cannot check.
#![expect(
    unsafe_code,
    reason = "tokio takes a descriptor that is not its own only on a promise"
)]

use std::io;
use std::os::fd::OwnedFd;
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
