//! Says whether something is mounted on a name. It asks `statx(2)`, which `nix` does not have.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

/// Whether a mount begins at the entry of a directory. Kernels before 5.8 cannot tell, and then
/// it does not.
pub fn is_root(dir: impl AsFd, name: &CStr) -> bool {
    let mut seen = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    let fd = dir.as_fd().as_raw_fd();
    // SAFETY: the name is ended by NUL, and the place is valid for the call.
    let asked = unsafe {
        libc::statx(
            fd,
            name.as_ptr(),
            flags,
            libc::STATX_TYPE,
            seen.as_mut_ptr(),
        )
    };
    if asked != 0 {
        return false;
    }
    // SAFETY: all of it is integers, zero before the kernel filled it.
    let seen = unsafe { seen.assume_init() };
    let root = u64::from(libc::STATX_ATTR_MOUNT_ROOT.cast_unsigned());
    seen.stx_attributes & root != 0
}
