//! The things here that the compiler cannot check.
#![expect(
    unsafe_code,
    reason = "descriptors that came from elsewhere are taken only on a promise"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use nix::sys::inotify::Inotify;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Blocks from this size on are mapped by themselves, in bytes.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 1024 * 1024;

/// Has the allocator give large blocks back as soon as they are freed. Left alone it learns from
/// the first one to keep the next: for a password's hash that would be 19 MiB, and more than once,
/// because each thread has a heap of its own.
pub(crate) fn keep_nothing_large() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number of the allocator's; there are no preconditions.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE)
    };
}

/// What the runtime waits for.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Inotify>);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Waits for a descriptor to become readable. Has to be called inside of the runtime.
///
/// # Errors
/// If the kernel cannot poll such a descriptor.
pub(crate) fn readable(inotify: Arc<Inotify>) -> io::Result<AsyncFd<Watched>> {
    // SAFETY: the descriptor is open and stays so, because the `AsyncFd` keeps the `Arc`, whose
    // descriptor nobody can replace or close while it is shared; so it also names the same
    // descriptor in every call.
    let ready = unsafe { AsyncFd::register_with_interest(Watched(inotify), Interest::READABLE) };
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
    borrowed.try_clone_to_owned()
}

/// Reads at an offset what the page cache has, which `nix` cannot ask for.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if a disk would have to be waited for; whatever else the kernel
/// says, also that it does not know.
pub(crate) fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let piece = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let offset = libc::off64_t::try_from(offset).map_err(io::Error::other)?;
    let fd = file.as_raw_fd();
    // SAFETY: one piece, which is as long as said and this function's alone.
    let count = unsafe { libc::preadv64v2(fd, &raw const piece, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
