//! Removing what is in a folder, while somebody else may be changing it.
//!
//! Everything is named relative to a folder that is held open, and no link is followed, so
//! nothing outside is reached whatever takes the place of what was just looked at. However deep a
//! tree is, two descriptors do: a folder that is not empty is emptied of its files, and the
//! folders in it are moved up beside it, where their turn comes. What resists is left and named.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use cib_foreign::own::openat;
use cib_foreign::stat::{self, Stat};
use cib_protocol::purge::Removal;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat, renameat2};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys;

/// Characters of a name and a reason that are told.
const MOST_TOLD: usize = 200;
/// Names that are tried for a folder that is moved up.
const NAMES: u32 = 100;
/// How `st_blocks` counts.
const BLOCK: u64 = 512;

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// Opens a folder whose contents are to be removed: not through a link, and with the rights that
/// takes, if it is this user's own.
///
/// # Errors
/// If there is none, or it cannot be opened.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = CString::new(path.as_os_str().as_bytes())?;
    Ok(enter(AT_FDCWD, name.as_c_str())?)
}

/// Removes what is in a folder, but for these names, until `deadline`.
pub fn empty(folder: BorrowedFd<'_>, but: &[&CStr], deadline: Instant) -> Removal {
    let mut work = Work {
        folder,
        but,
        deadline,
        moved: 0,
        progress: false,
        done: Removal::default(),
    };
    loop {
        // What could not be removed by the last pass is what is left.
        work.done.left = None;
        work.progress = false;
        if let Err(error) = work.pass() {
            work.stuck(b".", error);
        }
        if !work.progress || work.done.late {
            return work.done;
        }
    }
}

/// Removes one file from a folder and adds what that frees. That there is none is fine.
///
/// # Errors
/// The kernel's answer.
pub fn file(folder: BorrowedFd<'_>, name: &CStr, freed: &mut u64) -> io::Result<()> {
    let size = stat::at(folder, name).map_or(0, |stat| size(&stat));
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => *freed = freed.saturating_add(size),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// What became of an entry.
enum Outcome {
    Gone,
    /// A folder with something in it.
    Full,
    Stuck(Errno),
}

struct Work<'a> {
    folder: BorrowedFd<'a>,
    but: &'a [&'a CStr],
    deadline: Instant,
    /// How many folders were moved up.
    moved: u64,
    /// Whether anything was removed or moved in this pass.
    progress: bool,
    done: Removal,
}

impl Work<'_> {
    fn pass(&mut self) -> Result<(), Errno> {
        for entry in opened(self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name) || self.but.contains(&name) {
                continue;
            }
            if self.is_late() {
                break;
            }
            match self.remove(self.folder, name) {
                Outcome::Gone => {}
                Outcome::Stuck(error) => self.stuck(name.to_bytes(), error),
                Outcome::Full => {
                    if let Err(error) = self.dissolve(name) {
                        self.stuck(name.to_bytes(), error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Empties a folder that is in the one to be emptied, and removes it.
    fn dissolve(&mut self, name: &CStr) -> Result<(), Errno> {
        let inner = self.enter(name)?;
        let mut resists = false;
        for entry in opened(inner.as_fd())? {
            let entry = entry?;
            let below = entry.file_name();
            if is_dots(below) {
                continue;
            }
            if self.is_late() {
                return Ok(());
            }
            let outcome = match self.remove(inner.as_fd(), below) {
                Outcome::Gone => continue,
                Outcome::Full => self.lift(inner.as_fd(), below),
                Outcome::Stuck(error) => Err(error),
            };
            if let Err(error) = outcome {
                resists = true;
                self.stuck(&[name.to_bytes(), below.to_bytes()].join(&b'/'), error);
            }
        }
        match self.remove(self.folder, name) {
            // What it still has was named, or has just appeared and is for the next pass.
            Outcome::Full => {
                self.progress |= !resists;
                Ok(())
            }
            Outcome::Gone => Ok(()),
            Outcome::Stuck(error) => Err(error),
        }
    }

    /// Opens a folder in the one to be emptied, unless something else is mounted there.
    fn enter(&self, name: &CStr) -> Result<OwnedFd, Errno> {
        let inner = enter(self.folder, name)?;
        // Kernels before 5.8 do not say; another device is another one in any case.
        if sys::is_mount_root(&inner) || stat::of(&inner)?.st_dev != stat::of(self.folder)?.st_dev {
            return Err(Errno::EXDEV);
        }
        Ok(inner)
    }

    /// Moves a folder up into the one to be emptied, under a name that nothing has there.
    fn lift(&mut self, inner: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let mut opened = false;
        for _ in 0..NAMES {
            self.moved += 1;
            let free = CString::new(format!(".purged-{}", self.moved)).unwrap_or_default();
            let flags = RenameFlags::RENAME_NOREPLACE;
            let lifted = match renameat2(inner, name, self.folder, free.as_c_str(), flags) {
                // Not every file system knows the flag. At worst an empty folder is replaced.
                Err(Errno::EINVAL) => renameat(inner, name, self.folder, free.as_c_str()),
                lifted => lifted,
            };
            match lifted {
                Ok(()) | Err(Errno::ENOENT) => {
                    self.progress = true;
                    return Ok(());
                }
                Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
                // What is moved has to be writable itself.
                Err(Errno::EACCES) if !opened => {
                    enter(inner, name)?;
                    opened = true;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EEXIST)
    }

    fn remove(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Outcome {
        let stat = match stat::at(folder, name) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Outcome::Gone,
            Err(error) => return Outcome::Stuck(error),
        };
        let is_folder = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
        let how = if is_folder {
            UnlinkatFlags::RemoveDir
        } else {
            UnlinkatFlags::NoRemoveDir
        };
        match unlinkat(folder, name, how) {
            Ok(()) => {
                self.progress = true;
                if !is_folder {
                    self.done.freed = self.done.freed.saturating_add(size(&stat));
                }
                Outcome::Gone
            }
            Err(Errno::ENOENT) => Outcome::Gone,
            // Something else took its place: it is looked at again.
            Err(Errno::EISDIR | Errno::ENOTDIR) => {
                self.progress = true;
                Outcome::Gone
            }
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Outcome::Full,
            Err(error) => Outcome::Stuck(error),
        }
    }

    fn is_late(&mut self) -> bool {
        self.done.late = self.done.late || Instant::now() >= self.deadline;
        self.done.late
    }

    fn stuck(&mut self, name: &[u8], error: Errno) {
        if self.done.left.is_none() {
            self.done.left = Some(told(name, &error.into()));
        }
    }
}

/// Opens a folder, not through a link. One of this user's own that it may not look into or write
/// to becomes one that it may.
fn enter(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let opened = match openat(at, name, FOLDER, Mode::empty()) {
        Err(Errno::EACCES) => {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let place = openat(at, name, flags, Mode::empty())?;
            let place = format!("/proc/self/fd/{}", place.as_raw_fd());
            fchmodat(
                AT_FDCWD,
                place.as_str(),
                Mode::S_IRWXU,
                FchmodatFlags::FollowSymlink,
            )?;
            openat(at, name, FOLDER, Mode::empty())?
        }
        opened => opened?,
    };
    let rights = Mode::S_IRWXU.bits();
    if stat::of(&opened)?.st_mode & rights != rights {
        // Of somebody else's folder, what cannot be removed says so.
        let _ = fchmod(&opened, Mode::S_IRWXU);
    }
    Ok(opened)
}

/// The entries of a folder, read from its beginning.
fn opened(folder: BorrowedFd<'_>) -> Result<nix::dir::OwningIter, Errno> {
    Ok(Dir::openat(folder, c".", FOLDER, Mode::empty())?.into_iter())
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Bytes that go with the last name of a file.
fn size(stat: &Stat) -> u64 {
    if stat.st_nlink > 1 {
        return 0;
    }
    u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(BLOCK)
}

/// A name and what is wrong with it, for people. The name may hold anything.
pub fn told(name: &[u8], error: &io::Error) -> String {
    let text = format!("{}: {error}", String::from_utf8_lossy(name));
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MOST_TOLD).map(plain).collect()
}

#[cfg(test)]
mod tests;
