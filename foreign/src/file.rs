//! Opening and reading regular files.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open as open_at_once, openat2};
use nix::sys::stat::Mode;

use crate::stat;

/// Why a foreign file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// It cannot be opened. A link in the last place of the path is `ELOOP`.
    #[error("cannot open {}", path.display())]
    Open {
        /// The path as it was given.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It is a folder, a pipe, a socket or a device.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// The path as it was given.
        path: PathBuf,
    },
    /// It is larger than the reader takes.
    #[error("{} has more than {most} bytes", path.display())]
    TooLarge {
        /// The path as it was given.
        path: PathBuf,
        /// The reader's limit in bytes.
        most: u64,
    },
    /// It is not UTF-8.
    #[error("{} is not text in UTF-8", path.display())]
    NotText {
        /// The path as it was given.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path as it was given.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl ForeignError {
    /// Whether there is simply nothing of that name.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What every opening here has in common: it follows no link in the last place, waits for
/// nobody, makes no terminal its own, and does not reach children.
fn flags() -> OFlag {
    // A 32-bit machine opens no file of 2 GiB otherwise.
    OFlag::O_LARGEFILE
        | OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC
}

/// Opens a regular file for reading. Folders in front of the last name may be links: use
/// [`open_beneath`] where those are somebody else's as well.
///
/// # Errors
/// If there is none, it is a link, or anything but a regular file.
pub fn open(path: &Path) -> Result<File, ForeignError> {
    let opened = open_at_once(path, flags(), Mode::empty());
    regular(opened, path)
}

/// Opens a regular file below a folder that the caller holds open, without following a link
/// anywhere on the way and without leaving the folder. Needs Linux 5.6.
///
/// # Errors
/// If there is none, a link is on the way, or it is anything but a regular file.
pub fn open_beneath(folder: impl AsFd, path: &Path) -> Result<File, ForeignError> {
    let how = OpenHow::new().flags(flags()).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    regular(openat2(folder, path, how), path)
}

/// Opens a regular file for writing, and makes it with this mode if it is not there. No link
/// anywhere on the way is followed, and what is in the file stays. Needs Linux 5.6.
///
/// # Errors
/// If a link is on the way, it is anything but a regular file, or it has another name as well.
pub fn open_to_write(path: &Path, mode: u32) -> Result<File, ForeignError> {
    let how = OpenHow::new()
        .flags(flags() | OFlag::O_WRONLY | OFlag::O_CREAT)
        .mode(Mode::from_bits_truncate(mode))
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = regular(openat2(AT_FDCWD, path, how), path)?;
    let names = stat::of(&file).map_or(0, |stat| stat.st_nlink);
    if names == 1 {
        Ok(file)
    } else {
        let path = path.to_owned();
        Err(ForeignError::NotRegular { path })
    }
}

/// Whether a regular file, and not a link to one, stands there.
#[must_use]
pub fn is_file(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file())
}

/// Reads a whole regular file of at most `most` bytes. A file that grows while it is read is
/// measured by what was read.
///
/// # Errors
/// A [`ForeignError`]; nothing larger than `most` bytes is ever held.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, ForeignError> {
    let file = open(path)?;
    let too_large = || ForeignError::TooLarge {
        path: path.to_owned(),
        most,
    };
    let failed = |source| ForeignError::Read {
        path: path.to_owned(),
        source,
    };
    let size = file.metadata().map_err(failed)?.len();
    if size > most {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Reads a whole regular file of at most `most` bytes that has to be UTF-8.
///
/// # Errors
/// As [`read`], and if it is not UTF-8.
pub fn read_to_string(path: &Path, most: u64) -> Result<String, ForeignError> {
    String::from_utf8(read(path, most)?).map_err(|_| ForeignError::NotText {
        path: path.to_owned(),
    })
}

fn regular(opened: nix::Result<OwnedFd>, path: &Path) -> Result<File, ForeignError> {
    let file = match opened {
        Ok(fd) => File::from(fd),
        // A socket, or a device whose driver is not there.
        Err(Errno::ENXIO | Errno::ENODEV) => {
            return Err(ForeignError::NotRegular {
                path: path.to_owned(),
            });
        }
        Err(errno) => {
            return Err(ForeignError::Open {
                path: path.to_owned(),
                source: errno.into(),
            });
        }
    };
    let metadata = file.metadata().map_err(|source| ForeignError::Read {
        path: path.to_owned(),
        source,
    })?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(ForeignError::NotRegular {
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_regular_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read_to_string(&path, 9).unwrap(), "four");
        assert!(matches!(
            read(&path, 3),
            Err(ForeignError::TooLarge { most: 3, .. })
        ));
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(
            read_to_string(&path, 9),
            Err(ForeignError::NotText { .. })
        ));
    }

    #[test]
    fn what_is_absent_is_told_from_what_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none"), 1).unwrap_err().is_absent());
        assert!(!read(dir.path(), 1).unwrap_err().is_absent());
    }

    #[test]
    fn pipes_sockets_folders_and_devices_are_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let socket = dir.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, dir.path(), Path::new("/dev/zero")] {
            assert!(
                matches!(open(path), Err(ForeignError::NotRegular { .. })),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_link_is_not_followed_in_the_last_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let link = dir.path().join("link");
        symlink(&file, &link).unwrap();
        assert!(is_file(&file) && !is_file(&link));
        let error = open(&link).unwrap_err();
        assert!(matches!(
            error,
            ForeignError::Open { ref source, .. } if source.raw_os_error() == Some(nix::libc::ELOOP)
        ));
    }

    #[test]
    fn below_a_folder_no_link_is_followed_and_nothing_outside_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("in/deep")).unwrap();
        fs::write(dir.path().join("in/deep/file"), "").unwrap();
        fs::write(dir.path().join("out"), "").unwrap();
        symlink("deep", dir.path().join("in/link")).unwrap();
        let folder = File::open(dir.path().join("in")).unwrap();
        assert!(open_beneath(&folder, Path::new("deep/file")).is_ok());
        assert!(open_beneath(&folder, Path::new("link/file")).is_err());
        assert!(open_beneath(&folder, Path::new("../out")).is_err());
    }

    #[test]
    fn a_hole_of_terabytes_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hole");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(matches!(
            read(&path, 1 << 20),
            Err(ForeignError::TooLarge { .. })
        ));
    }
}
