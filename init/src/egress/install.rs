//! Files that only cib-proxy may read.

use std::io;
use std::path::{Path, PathBuf};

use cib_foreign::own::openat;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, unlinkat, write};

/// Why a file could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct InstallError {
    /// The file or its directory.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// Writes `bytes` to `path`, owned by `uid` and `gid`, mode 0400, in a directory of theirs
/// with mode 0700 that is made if it is not there. A reader sees the old file or the new one.
///
/// # Errors
/// An [`InstallError`] with the path that could not be made or written.
pub fn install(path: &Path, bytes: &[u8], uid: u32, gid: u32) -> Result<(), InstallError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    place(dir, path, bytes, uid, gid).map_err(|e| InstallError {
        path: path.to_owned(),
        source: e.into(),
    })
}

fn place(dir: &Path, path: &Path, bytes: &[u8], uid: u32, gid: u32) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    match mkdirat(AT_FDCWD, dir, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error),
    }
    fchmodat(AT_FDCWD, dir, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
    fchownat(
        AT_FDCWD,
        dir,
        Some(uid),
        Some(gid),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    let dir = openat(
        AT_FDCWD,
        dir,
        OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    // The directory is init's until the file is complete, so a fixed name is not a race.
    let fresh = "new";
    let _ = unlinkat(&dir, fresh, UnlinkatFlags::NoRemoveDir);
    let file = openat(
        &dir,
        fresh,
        OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::S_IRUSR,
    )?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = write(&file, rest)?;
        rest = &rest[written..];
    }
    fchmod(&file, Mode::S_IRUSR)?;
    fchown(&file, Some(uid), Some(gid))?;
    renameat(&dir, fresh, &dir, path.file_name().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_is_for_its_owner_alone_and_so_is_its_directory() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("redsocks/redsocks.conf");
        let me = nix::unistd::geteuid().as_raw();
        let group = nix::unistd::getegid().as_raw();
        for text in ["first", "second, which replaces it"] {
            install(&path, text.as_bytes(), me, group).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o400);
        }
        let dir = std::fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(dir.mode() & 0o7777, 0o700);
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn a_failure_names_the_path() {
        let fault = install(Path::new("/proc/nowhere/file"), b"", 0, 0).unwrap_err();
        assert_eq!(fault.to_string(), "cannot write /proc/nowhere/file");
    }
}
