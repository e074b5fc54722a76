//! Gives the files of a tree to their owner: those that have another one, and no others.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::super::files::{Dir, Entry, Kind, Owner, reason};

/// Deeper trees are left alone below this, so that no tree can take all descriptors.
const DEEPEST: usize = 256;

/// What became of a tree.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Entries that were given to their owner.
    pub(super) changed: u64,
    /// Files with several names that belong to somebody else: one of the names may stand
    /// outside of the tree.
    pub(super) linked: u64,
    /// Entries that could not be changed.
    pub(super) failed: u64,
    /// The first of them, and why.
    pub(super) first_failure: Option<(PathBuf, String)>,
}

/// What an entry's owner should be, if it is another.
pub(super) type Wanted<'a> = dyn Fn(&Entry) -> Option<Owner> + 'a;

/// Goes through a directory, not over mounts and not through links. The directory itself comes
/// last, so that its owner tells whether the whole tree was done.
pub(super) fn own_tree(path: &Path, wanted: &Wanted<'_>) -> io::Result<Tally> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = std::ffi::CString::new(path.file_name().unwrap_or(OsStr::new(".")).as_bytes())?;
    let parent = Dir::open(parent)?;
    let top = parent.entry(&name)?;
    let mut tally = Tally::default();
    let dir = parent.dir(&name)?;
    inside(&dir, path, 0, wanted, &mut tally);
    one(&parent, &top, path, wanted, &mut tally);
    Ok(tally)
}

fn inside(dir: &Dir, path: &Path, depth: usize, wanted: &Wanted<'_>, tally: &mut Tally) {
    let entries = match dir.entries() {
        Ok(entries) => entries,
        Err(error) => return tally.fail(path, &error.into()),
    };
    for entry in entries {
        let path = path.join(entry.name());
        if dir.is_mount(&entry) {
            continue;
        }
        if entry.kind() == Kind::Directory {
            if depth >= DEEPEST {
                tally.fail(&path, &io::Error::other("too deep"));
                continue;
            }
            match dir.dir(&entry.name) {
                Ok(child) => inside(&child, &path, depth + 1, wanted, tally),
                Err(error) => tally.fail(&path, &error.into()),
            }
        }
        one(dir, &entry, &path, wanted, tally);
    }
}

fn one(dir: &Dir, entry: &Entry, path: &Path, wanted: &Wanted<'_>, tally: &mut Tally) {
    let Some(owner) = wanted(entry) else { return };
    if entry.kind() != Kind::Directory && entry.stat.st_nlink > 1 {
        tally.linked += 1;
        return;
    }
    match dir.own(&entry.name, owner) {
        Ok(()) => tally.changed += 1,
        Err(error) => tally.fail(path, &error.into()),
    }
}

impl Tally {
    fn fail(&mut self, path: &Path, error: &io::Error) {
        self.failed += 1;
        if self.first_failure.is_none() {
            self.first_failure = Some((path.to_owned(), reason(error)));
        }
    }
}
