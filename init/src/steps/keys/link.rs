//! Links from the home directory to copied keys.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::super::files::{Dir, Entry, FileError, Kind, Owner, c_name, failed};
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
    pub(super) fn folder(&self, store: Store, copy: &Path) -> nix::Result<bool> {
        let name = CString::new(store.name()).map_err(|_| Errno::EINVAL)?;
        match self.home.entry(&name) {
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
            Ok(entry) if is_ours(self.home, &entry, &self.old) => remove(self.home, &entry)?,
            Ok(entry) if entry.kind() == Kind::Directory => {
                match unlinkat(self.home, name.as_c_str(), UnlinkatFlags::RemoveDir) {
                    Ok(()) => {}
                    Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::EBUSY) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            Ok(_) => return Err(Errno::EEXIST),
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
                Err(Errno::ENOENT) => {}
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
    entry.kind() == Kind::Link
        && readlinkat(dir, entry.name.as_c_str()).is_ok_and(|target| {
            let target = Path::new(&target);
            old.iter().any(|place| target.starts_with(place))
        })
}

pub(super) fn remove(dir: &Dir, entry: &Entry) -> nix::Result<()> {
    unlinkat(dir, entry.name.as_c_str(), UnlinkatFlags::NoRemoveDir)
}

fn link(dir: &Dir, name: &CString, target: &Path, owner: Option<Owner>) -> nix::Result<()> {
    symlinkat(target, dir, name.as_c_str())?;
    owner.map_or(Ok(()), |owner| dir.own(name, owner))
}
