//! Files and folders, handled through descriptors so that no symbolic link leads elsewhere.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cib_foreign::own::openat;
use cib_foreign::stat::{self, Stat};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, fsync, mkdir, unlinkat, write};
use thiserror::Error;

use crate::sys::mounts;

/// What was attempted on which path.
#[derive(Debug, Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was attempted: `open`, `write`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

/// Gives an error its action and path.
pub(crate) fn failed<E: Into<io::Error>>(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> FileError {
    let path = path.to_owned();
    move |error| FileError {
        action,
        path,
        source: error.into(),
    }
}

/// User and group of a file; `None` leaves what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
        }
    }
}

/// What bears a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Pipe,
    Socket,
    Device,
}

impl Kind {
    /// That of a `st_mode`.
    pub(crate) fn of(mode: u32) -> Self {
        let kind = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
        match kind {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFDIR => Self::Directory,
            SFlag::S_IFLNK => Self::Link,
            SFlag::S_IFIFO => Self::Pipe,
            SFlag::S_IFSOCK => Self::Socket,
            _ => Self::Device,
        }
    }
}

/// A directory that was opened without following a link.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
}

/// An entry of a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: CString,
    pub(crate) stat: Stat,
}

impl Entry {
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(self.stat.st_mode)
    }

    pub(crate) fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.name.to_bytes())
    }

    /// The lower twelve bits of the mode.
    pub(crate) fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

impl Dir {
    /// Opens a directory of which the last component is no link. The components before it are
    /// the operator's and may be links.
    pub(crate) fn open(path: &Path) -> nix::Result<Self> {
        openat(AT_FDCWD, path, DIRECTORY, Mode::empty()).map(|fd| Self { fd })
    }

    /// Opens a directory in this one, not through a link.
    pub(crate) fn dir(&self, name: &CStr) -> nix::Result<Self> {
        openat(&self.fd, name, DIRECTORY, Mode::empty()).map(|fd| Self { fd })
    }

    /// Opens a file in this one for reading, not through a link, and without waiting for
    /// whoever writes to a pipe.
    pub(crate) fn file(&self, name: &CStr) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        openat(&self.fd, name, flags | OFlag::O_NOCTTY, Mode::empty())
    }

    pub(crate) fn stat(&self) -> nix::Result<Stat> {
        stat::of(&self.fd)
    }

    /// The entry of this name, itself and not what it may lead to.
    pub(crate) fn entry(&self, name: &CStr) -> nix::Result<Entry> {
        let stat = stat::at(&self.fd, name)?;
        Ok(Entry {
            name: name.to_owned(),
            stat,
        })
    }

    /// Every entry but `.` and `..`, by name. One that vanishes meanwhile is left out.
    pub(crate) fn entries(&self) -> nix::Result<Vec<Entry>> {
        let mut names = Vec::new();
        // A place in it of its own: those who read it share none.
        for entry in nix::dir::Dir::openat(&self.fd, c".", DIRECTORY, Mode::empty())? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort();
        Ok(names
            .iter()
            .filter_map(|name| self.entry(name).ok())
            .collect())
    }

    /// Changes the owner of an entry, of a link itself.
    pub(crate) fn own(&self, name: &CStr, owner: Owner) -> nix::Result<()> {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        fchownat(&self.fd, name, Some(uid), Some(gid), flags)
    }

    /// Whether something is mounted on the entry. Kernels before 5.8 cannot tell for a bind
    /// mount of the same file system, and then it counts as not.
    pub(crate) fn is_mount(&self, entry: &Entry) -> bool {
        let here = self.stat().map(|stat| stat.st_dev);
        if here.is_ok_and(|device| device != entry.stat.st_dev) {
            return true;
        }
        mounts::is_root(&self.fd, &entry.name)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes a directory if it is not there, and gives it this owner and mode if it has others.
/// True if anything was changed.
pub(crate) fn make_dir(path: &Path, owner: Option<Owner>, mode: u32) -> Result<bool, FileError> {
    let made = match mkdir(path, Mode::from_bits_truncate(mode)) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(error) => return Err(failed("make", path)(error)),
    };
    let dir = Dir::open(path).map_err(failed("open", path))?;
    let stat = dir.stat().map_err(failed("look at", path))?;
    let mut changed = made;
    if let Some(owner) = owner.filter(|owner| *owner != Owner::of(&stat)) {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        fchown(&dir, Some(uid), Some(gid)).map_err(failed("change the owner of", path))?;
        changed = true;
    }
    // The process's own umask may have taken bits, and a change of owner takes set-id bits.
    if dir.stat().map_err(failed("look at", path))?.st_mode & 0o7777 != mode {
        let mode = Mode::from_bits_truncate(mode);
        fchmod(&dir, mode).map_err(failed("change the mode of", path))?;
        changed = true;
    }
    Ok(changed)
}

/// Puts a file in place: a reader sees the old one or the new one, complete and with its mode
/// and owner. False if it was there, the same, already.
pub(crate) fn write_file(
    path: &Path,
    bytes: &[u8],
    owner: Option<Owner>,
    mode: u32,
) -> Result<bool, FileError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = c_name(path)?;
    let dir = Dir::open(folder).map_err(failed("open", folder))?;
    if dir.entry(&name).is_ok_and(|entry| {
        entry.kind() == Kind::File
            && entry.mode() == mode
            && owner.is_none_or(|owner| owner == Owner::of(&entry.stat))
            && cib_foreign::read(path, bytes.len() as u64).is_ok_and(|old| old == bytes)
    }) {
        return Ok(false);
    }
    let mut fresh = b".cib-".to_vec();
    fresh.extend(name.to_bytes());
    let fresh =
        CString::new(fresh).map_err(|error| failed("name", path)(io::Error::from(error)))?;
    let written = write_fresh(&dir, &fresh, bytes, owner, mode)
        .and_then(|()| renameat(&dir, fresh.as_c_str(), &dir, name.as_c_str()));
    if let Err(error) = written {
        // The half-written file is ours; that it stays behind is not worth a second error.
        let _ = unlinkat(&dir, fresh.as_c_str(), UnlinkatFlags::NoRemoveDir);
        return Err(failed("write", path)(error));
    }
    Ok(true)
}

fn write_fresh(
    dir: &Dir,
    name: &CStr,
    bytes: &[u8],
    owner: Option<Owner>,
    mode: u32,
) -> nix::Result<()> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => return Err(error),
    }
    let flags =
        OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(dir, name, flags, Mode::from_bits_truncate(0o600))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = write(&file, rest)?;
        rest = &rest[written..];
    }
    if let Some(Owner { uid, gid }) = owner {
        fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    fchmod(&file, Mode::from_bits_truncate(mode))?;
    fsync(&file)
}

/// The last component of a path, as the kernel takes it.
pub(crate) fn c_name(path: &Path) -> Result<CString, FileError> {
    let name = path.file_name().unwrap_or_default();
    CString::new(name.as_bytes()).map_err(|error| failed("name", path)(io::Error::from(error)))
}

/// An error as one phrase: what was attempted, and why it failed without the number.
pub(crate) fn phrase(error: &FileError) -> String {
    format!("{error}: {}", reason(&error.source))
}

/// Why something failed, in lower case and without the number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or(&text)
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_is_written_once_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        assert!(write_file(&path, b"one", None, 0o640).unwrap());
        assert!(!write_file(&path, b"one", None, 0o640).unwrap());
        let inode = std::fs::metadata(&path).unwrap().ino();
        assert!(write_file(&path, b"two", None, 0o640).unwrap());
        let metadata = std::fs::metadata(&path).unwrap();
        assert_ne!(metadata.ino(), inode);
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("config"), folder.path().join("victim"));
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(write_file(&path, b"mine", None, 0o600).unwrap());
        assert!(!path.is_symlink());
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
    }

    #[test]
    fn a_directory_gets_its_mode_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dir");
        assert!(make_dir(&path, None, 0o2777).unwrap());
        assert!(!make_dir(&path, None, 0o2777).unwrap());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o2777
        );
    }

    #[test]
    fn a_link_to_a_directory_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert!(Dir::open(&link).is_err());
        assert!(make_dir(&link, None, 0o700).is_err());
        let dir = Dir::open(folder.path()).unwrap();
        assert!(dir.dir(c"link").is_err() && dir.file(c"link").is_err());
    }

    #[test]
    fn entries_are_sorted_and_the_links_themselves() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "").unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("a")).unwrap();
        let entries = Dir::open(folder.path()).unwrap().entries().unwrap();
        let kinds: Vec<_> = entries
            .iter()
            .map(|e| (e.name().to_owned(), e.kind()))
            .collect();
        assert_eq!(kinds, [("a".into(), Kind::Link), ("b".into(), Kind::File)]);
    }
}
