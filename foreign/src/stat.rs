//! What a file is. `nix` has the widths of the C library's own structure, which are 32 bits on
//! 32-bit ARM: a file of 3 GB, or one whose number is beyond 4 billion, would be an error there.

#![expect(unsafe_code, reason = "the one place for what nix does not have")]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use nix::NixPath;
use nix::errno::Errno;

/// As the kernel tells it.
pub type Stat = libc::stat64;

/// Of what was opened.
///
/// # Errors
/// The kernel's answer.
pub fn of(fd: impl AsFd) -> nix::Result<Stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: the place is valid for the call.
    let asked = unsafe { libc::fstat64(fd.as_fd().as_raw_fd(), stat.as_mut_ptr()) };
    Errno::result(asked)?;
    // SAFETY: the kernel filled it.
    Ok(unsafe { stat.assume_init() })
}

/// Of a name in a folder: of a link itself and not of what it leads to.
///
/// # Errors
/// The kernel's answer.
pub fn at<P: NixPath + ?Sized>(folder: impl AsFd, name: &P) -> nix::Result<Stat> {
    let fd = folder.as_fd().as_raw_fd();
    let mut stat = MaybeUninit::uninit();
    let asked = name.with_nix_path(|name| {
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        // SAFETY: the name is ended by NUL, and the place is valid for the call.
        unsafe { libc::fstatat64(fd, name.as_ptr(), stat.as_mut_ptr(), flags) }
    })?;
    Errno::result(asked)?;
    // SAFETY: the kernel filled it.
    Ok(unsafe { stat.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn a_large_file_and_a_link_are_told_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("large")).unwrap();
        file.set_len(5 << 30).unwrap();
        assert_eq!(of(&file).unwrap().st_size, 5 << 30);
        assert_eq!(of(&file).unwrap().st_ino, file.metadata().unwrap().ino());
        symlink("large", dir.path().join("link")).unwrap();
        let folder = File::open(dir.path()).unwrap();
        let link = at(&folder, "link").unwrap();
        assert_eq!(link.st_mode & libc::S_IFMT, libc::S_IFLNK);
        assert_eq!(at(&folder, "none").err(), Some(Errno::ENOENT));
    }
}
