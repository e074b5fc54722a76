//! Links from the home directory to copied keys.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::super::files::{Dir, Entry, FileError, Owner, c_name, failed};
use super::super::outcome::Outcome;
use super::store::Store;

/// What links are made with.
#[derive(Debug)]
pub(super) struct Linking<'a> {
    pub(super) home: &'a Dir,
    pub(super) owner: Option<Owner>,
    /// Where copies of an earlier start were; links that lead there are replaced.
    pub(super) old: [PathBuf; 2],
}

impl Linking<'_> {
    /// Makes the folder itself a link to the copy. False if it is there with something in it, or
    /// is a mount.
    pub(super) fn folder(&self, store: Store, copy: &Path) -> rustix::io::Result<bool> {
        let name = CString::new(store.name()).map_err(|_| Errno::INVAL)?;
        match self.home.entry(&name) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
            Ok(entry) if is_ours(self.home, &entry, &self.old) => remove(self.home, &entry)?,
            Ok(entry) if entry.kind() == FileType::Directory => {
                match rustix::fs::unlinkat(self.home, &name, AtFlags::REMOVEDIR) {
                    Ok(()) => {}
                    Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            Ok(_) => return Err(Errno::EXIST),
        }
        link(self.home, &name, copy, self.owner)?;
        Ok(true)
    }

    /// Makes a link in the folder for each file of the copy whose name is free there.
    pub(super) fn files(
        &self,
        store: Store,
        copy: &Path,
        copy_at: &Path,
        shown: &Path,
        outcome: &mut Outcome,
    ) -> Result<(), FileError> {
        let name = c_name(Path::new(store.name()))?;
        let folder = self.home.dir(&name).map_err(failed("open", shown))?;
        let copied = Dir::open(copy_at).and_then(|dir| dir.entries());
        for entry in copied.map_err(failed("read", copy_at))? {
            let (path, target) = (shown.join(entry.name()), copy.join(entry.name()));
            match folder.entry(&entry.name) {
                Err(Errno::NOENT) => {}
                Ok(there) if is_ours(&folder, &there, &self.old) => {
                    remove(&folder, &there).map_err(failed("remove", &path))?;
                }
                _ => {
                    let why = "is there already, and is used instead of the mounted one";
                    outcome.warn(format!("{} {why}", path.display()));
                    continue;
                }
            }
            link(&folder, &entry.name, &target, self.owner).map_err(failed("link", &path))?;
            outcome.changed(&path, format!("links to {}", target.display()));
        }
        Ok(())
    }
}

/// Whether an entry is a link that an earlier start made.
pub(super) fn is_ours(dir: &Dir, entry: &Entry, old: &[PathBuf]) -> bool {
    entry.kind() == FileType::Symlink
        && rustix::fs::readlinkat(dir, &entry.name, Vec::new()).is_ok_and(|target| {
            let target = Path::new(OsStr::from_bytes(target.to_bytes())).to_owned();
            old.iter().any(|place| target.starts_with(place))
        })
}

pub(super) fn remove(dir: &Dir, entry: &Entry) -> rustix::io::Result<()> {
    rustix::fs::unlinkat(dir, &entry.name, AtFlags::empty())
}

fn link(dir: &Dir, name: &CString, target: &Path, owner: Option<Owner>) -> rustix::io::Result<()> {
    rustix::fs::symlinkat(target, dir, name)?;
    owner.map_or(Ok(()), |owner| dir.own(name, owner))
}
