//! Owner and modes of keys, corrected where they stand.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};

use super::super::files::{Dir, Entry, Kind, Owner, reason};
use super::super::outcome::Outcome;
use super::link::is_ours;
use super::store::{Store, flaw};

/// A key is a few kilobytes; what comes later in a larger file is not looked at.
const LOOKED_AT: u64 = 64 * 1024;
/// Key folders are flat but for `config.d`, `private-keys-v1.d` and the like.
const DEEPEST: usize = 8;

/// Corrects folders one after the other, and remembers what it could not correct because it is
/// mounted read-only.
#[derive(Debug)]
pub(super) struct Repair<'a> {
    pub(super) store: Store,
    pub(super) owner: Owner,
    /// Where copies of an earlier start were; links that lead there are no surprise.
    pub(super) ours: [PathBuf; 2],
    pub(super) outcome: &'a mut Outcome,
    /// How many entries are wrong and read-only.
    pub(super) read_only: usize,
}

impl Repair<'_> {
    /// Corrects the entry `entry` of `parent`, a directory, and everything in it.
    pub(super) fn folder(&mut self, parent: &Dir, entry: &Entry, path: &Path) {
        self.within(parent, entry, path, 0);
    }

    fn within(&mut self, parent: &Dir, entry: &Entry, path: &Path, depth: usize) {
        let dir = match parent.dir(&entry.name) {
            Ok(dir) if depth < DEEPEST => dir,
            Ok(_) => return self.cannot("look into", path, Errno::EMLINK),
            Err(error) => return self.cannot("open", path, error),
        };
        let entries = match dir.entries() {
            Ok(entries) => entries,
            Err(error) => return self.cannot("read", path, error),
        };
        self.correct(parent, entry, path, self.store.dir_mode());
        for entry in entries {
            let path = path.join(entry.name());
            match entry.kind() {
                Kind::Directory => self.within(&dir, &entry, &path, depth + 1),
                Kind::File => {
                    let mode = self.store.file_mode(Path::new(entry.name()));
                    self.correct(&dir, &entry, &path, mode);
                    self.inspect(&dir, &entry, &path);
                }
                Kind::Link if is_ours(&dir, &entry, &self.ours) => {}
                Kind::Link => self.outcome.warn(format!(
                    "{} is a symbolic link; what it leads to was left as it is",
                    path.display()
                )),
                // Sockets of agents and the like are not keys.
                _ => {}
            }
        }
    }

    /// Gives an entry its owner and mode, and says what they were.
    fn correct(&mut self, parent: &Dir, entry: &Entry, path: &Path, mode: u32) {
        let was = Owner::of(&entry.stat);
        let (wrong_owner, wrong_mode) = (was != self.owner, entry.mode() != mode);
        if !wrong_owner && !wrong_mode {
            return;
        }
        // Another name of the file may stand where coder has no business.
        if entry.kind() == Kind::File && entry.stat.st_nlink > 1 && wrong_owner {
            self.outcome.warn(format!(
                "{} has several names and another owner, and was left as it is",
                path.display()
            ));
            return;
        }
        let mut said = Vec::new();
        if wrong_owner {
            match parent.own(&entry.name, self.owner) {
                Ok(()) => {
                    let Owner { uid, gid } = self.owner;
                    said.push(format!("owner {uid}:{gid}, was {}:{}", was.uid, was.gid));
                }
                Err(error) => return self.cannot("change the owner of", path, error),
            }
        }
        if wrong_mode {
            match set_mode(parent, entry, mode) {
                Ok(()) => said.push(format!("mode {mode:04o}, was {:04o}", entry.mode())),
                Err(error) => self.cannot("change the mode of", path, error),
            }
        }
        if !said.is_empty() {
            self.outcome.changed(path, said.join("; "));
        }
    }

    fn inspect(&mut self, dir: &Dir, entry: &Entry, path: &Path) {
        if self.store != Store::Ssh {
            return;
        }
        let Ok(fd) = dir.file(&entry.name) else {
            return;
        };
        let mut bytes = Vec::new();
        let read = std::fs::File::from(fd)
            .take(LOOKED_AT)
            .read_to_end(&mut bytes);
        if let (Ok(_), Some(flaw)) = (read, flaw(&bytes)) {
            self.outcome
                .warn(format!("{} {flaw} {}", path.display(), path.display()));
        }
    }

    fn cannot(&mut self, action: &str, path: &Path, error: Errno) {
        if error == Errno::EROFS {
            self.read_only += 1;
        } else {
            let why = reason(&error.into());
            self.outcome
                .warn(format!("cannot {action} {}: {why}", path.display()));
        }
    }
}

/// Changes the mode of the file that was seen, through a descriptor, because the kernel changes
/// a link's target by name.
fn set_mode(parent: &Dir, entry: &Entry, mode: u32) -> nix::Result<()> {
    let mode = Mode::from_bits_truncate(mode);
    if entry.kind() == Kind::Directory {
        return fchmod(parent.dir(&entry.name)?, mode);
    }
    let file = parent.file(&entry.name)?;
    let stat = cib_foreign::stat::of(&file)?;
    if (stat.st_dev, stat.st_ino) != (entry.stat.st_dev, entry.stat.st_ino) {
        return Err(Errno::EAGAIN);
    }
    fchmod(&file, mode)
}
