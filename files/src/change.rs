//! Folders made, things removed and renamed.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::{Duration, Instant};

use cib_foreign::stat;
use cib_protocol::api::{FileEntry, FileKind};
use cib_protocol::files::{Condition, FilesFault, MAX_DEPTH, Place};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat, renameat2};
use nix::libc;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::content::holds;
use crate::entry;
use crate::fault::Refusal;
use crate::place::{Roots, parts, readable, step};

/// Mode bits of a new folder, of which the mask takes some.
const MODE: u32 = 0o777;

/// How long a folder is being removed for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a folder; with `parents` those on the way too, and one that is there is fine.
///
/// # Errors
/// If it cannot be made.
pub fn make_folder(roots: &Roots, place: &Place, parents: bool) -> Result<FileEntry, Refusal> {
    let root = roots.writable(place)?;
    let mode = Mode::from_bits_truncate(MODE);
    if parents {
        let mut folder = root.open()?;
        let names = parts(&place.path)?;
        for name in &names {
            match mkdirat(&folder, &**name, mode) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            folder = step(&folder, name)?;
        }
    }
    let spot = root.spot(&place.path)?;
    if !parents {
        mkdirat(&spot.folder, &*spot.name, mode)?;
    }
    entry::at(&spot.folder, &spot.name)
}

/// Gives something another name, below the same root or another one on the same disk.
///
/// # Errors
/// If something has that name and is not to be replaced, or the kernel refuses.
pub fn rename(
    roots: &Roots,
    from: &Place,
    to: &Place,
    replace: bool,
) -> Result<FileEntry, Refusal> {
    let from = roots.writable(from)?.spot(&from.path)?;
    let to = roots.writable(to)?.spot(&to.path)?;
    if replace {
        renameat(&from.folder, &*from.name, &to.folder, &*to.name)?;
    } else {
        renameat2(
            &from.folder,
            &*from.name,
            &to.folder,
            &*to.name,
            RenameFlags::RENAME_NOREPLACE,
        )?;
    }
    entry::at(&to.folder, &to.name)
}

/// Removes what stands at a place: a link and not what it leads to, a folder with all that is in
/// it if that is asked for.
///
/// # Errors
/// If it is not what the caller knows, or cannot be removed; of a folder a part may be gone then.
pub fn remove(
    roots: &Roots,
    place: &Place,
    recursive: bool,
    condition: &Condition,
) -> Result<(), Refusal> {
    let spot = roots.writable(place)?.spot(&place.path)?;
    let entry = entry::at(&spot.folder, &spot.name)?;
    holds(Some(&entry), condition)?;
    if entry.kind != FileKind::Folder {
        unlinkat(&spot.folder, &*spot.name, UnlinkatFlags::NoRemoveDir)?;
        return Ok(());
    }
    if recursive {
        let device = stat::at(&spot.folder, &*spot.name)?.st_dev;
        let inside = step(&spot.folder, &spot.name)?;
        let removal = Removal {
            device,
            end: Instant::now() + PATIENCE,
        };
        removal.empty(&inside, 0)?;
    }
    unlinkat(&spot.folder, &*spot.name, UnlinkatFlags::RemoveDir)?;
    Ok(())
}

struct Removal {
    device: libc::dev_t,
    end: Instant,
}

impl Removal {
    /// Removes all that is in a folder. Each level holds two descriptors, so there is an end.
    fn empty(&self, folder: &OwnedFd, depth: usize) -> Result<(), Refusal> {
        if depth > MAX_DEPTH {
            let why = "the folder is too deep to be removed from here";
            return Err(Refusal::new(FilesFault::BadRequest, why));
        }
        let mut dir = Dir::from_fd(readable(folder)?)?;
        for found in dir.iter() {
            let found = found?;
            let name: CString = found.file_name().to_owned();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if Instant::now() > self.end {
                let why = "there is so much in the folder that not all of it is gone; ask again";
                return Err(Refusal::new(FilesFault::Late, why));
            }
            let name: OsString = OsString::from_vec(name.into_bytes());
            self.one(folder, &name, depth)?;
        }
        Ok(())
    }

    fn one(&self, folder: &OwnedFd, name: &OsStr, depth: usize) -> Result<(), Refusal> {
        match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno.into()),
        }
        let inside = step(folder, name).map_err(|refusal| Refusal {
            detail: format!("{}: {}", name.as_bytes().escape_ascii(), refusal.detail),
            ..refusal
        })?;
        if stat::of(&inside)?.st_dev != self.device {
            return Err(Errno::EXDEV.into());
        }
        self.empty(&inside, depth + 1)?;
        match unlinkat(folder, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::place::tests::root;

    fn place(path: &str) -> Place {
        Place {
            root: "workspace".to_owned(),
            path: path.to_owned(),
        }
    }

    fn roots(dir: &Path) -> Roots {
        Roots(vec![root(dir, true)])
    }

    #[test]
    fn folders_are_made_one_by_one_or_all_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let make = |path, parents| {
            make_folder(&roots(dir.path()), &place(path), parents).map_err(|fault| fault.code)
        };
        assert_eq!(make("a/b", false), Err(FilesFault::Absent));
        assert_eq!(make("a/b", true).unwrap().kind, FileKind::Folder);
        assert_eq!(make("a/b", false), Err(FilesFault::Exists));
        assert!(make("a/b", true).is_ok());
        symlink("/tmp", dir.path().join("out")).unwrap();
        assert_eq!(make("out/x", true), Err(FilesFault::Link));
    }

    #[test]
    fn a_tree_goes_with_its_links_and_what_they_lead_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in/tree/deep");
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        fs::write(dir.path().join("out/file"), "").unwrap();
        symlink(dir.path().join("out"), inside.join("link")).unwrap();
        nix::unistd::mkfifo(&inside.join("pipe"), Mode::S_IRWXU).unwrap();
        let roots = roots(&dir.path().join("in"));
        let code = |recursive| {
            remove(&roots, &place("tree"), recursive, &Condition::None).map_err(|fault| fault.code)
        };
        assert_eq!(code(false), Err(FilesFault::NotEmpty));
        assert_eq!(code(true), Ok(()));
        assert_eq!(code(true), Err(FilesFault::Absent));
        assert!(dir.path().join("out/file").exists());
    }

    #[test]
    fn what_was_changed_meanwhile_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let condition = Condition::Tag("another".to_owned());
        let refused = remove(&roots(dir.path()), &place("file"), false, &condition);
        assert_eq!(refused.unwrap_err().code, FilesFault::Changed);
    }

    #[test]
    fn a_new_name_takes_nobodys_place_unless_that_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "a").unwrap();
        fs::write(dir.path().join("b"), "b").unwrap();
        let go = |replace| {
            rename(&roots(dir.path()), &place("a"), &place("b"), replace)
                .map_err(|fault| fault.code)
        };
        assert_eq!(go(false), Err(FilesFault::Exists));
        assert_eq!(go(true).unwrap().name, "b");
        assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"a");
    }
}
