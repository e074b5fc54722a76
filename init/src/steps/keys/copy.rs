//! Keys of a read-only mount, copied to memory that only coder reads.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use super::super::files::{FileError, Owner, failed, make_dir};
use super::super::outcome::Outcome;
use super::super::paths::Paths;
use super::store::{Store, flaw};

/// More than any real key folder; memory is what it takes.
pub(super) const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// As above, in files.
const MOST_FILES: usize = 2000;
/// As above, in levels.
const DEEPEST: usize = 8;

/// `RAMFS_MAGIC` of magic.h.
const RAMFS: u64 = 0x8584_58f6;

/// Where copies go: the first of two places that is memory. If neither is, keys are written to
/// the container's layer, which is said.
pub(super) fn place(paths: &Paths, outcome: &mut Outcome) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let in_memory = |path: &Path| {
        let kind = statfs(&paths.at(path)).map(|statfs| statfs.filesystem_type());
        kind.is_ok_and(|kind| kind == TMPFS_MAGIC || kind.0 as u64 & 0xffff_ffff == RAMFS)
    };
    if !in_memory(&paths.run) && in_memory(shm) {
        return shm.join("cib-keys");
    }
    if !in_memory(&paths.run) {
        outcome.warn(format!(
            "neither {} nor /dev/shm is memory, and copied keys are on disk; add --tmpfs /run",
            paths.run.display()
        ));
    }
    paths.run.join("keys")
}

/// Every place that a copy of an earlier start may have been in.
pub(super) fn places(paths: &Paths) -> [PathBuf; 2] {
    [paths.run.join("keys"), PathBuf::from("/dev/shm/cib-keys")]
}

/// A copy in the making.
struct Copying<'a> {
    store: Store,
    owner: Option<Owner>,
    /// The folder that is copied, without links in its path.
    source: PathBuf,
    outcome: &'a mut Outcome,
    bytes: u64,
    files: usize,
}

/// Copies the folder `source` to `target`, which must not be there yet. Links are followed only
/// to what is in the folder itself, as Kubernetes lays out its secrets.
///
/// # Errors
///
/// Something could not be read or written, or the folder is larger than keys are.
pub(super) fn copy(
    store: Store,
    source: &Path,
    target: &Path,
    owner: Option<Owner>,
    outcome: &mut Outcome,
) -> Result<usize, FileError> {
    let source = fs::canonicalize(source).map_err(failed("open", source))?;
    let mut copying = Copying {
        store,
        owner,
        source,
        outcome,
        bytes: 0,
        files: 0,
    };
    let source = copying.source.clone();
    copying.folder(&source, target, 0)?;
    Ok(copying.files)
}

impl Copying<'_> {
    fn folder(&mut self, from: &Path, to: &Path, depth: usize) -> Result<(), FileError> {
        if depth > DEEPEST {
            return Err(failed("copy", from)(io::Error::other(
                "it is nested too deeply",
            )));
        }
        make_dir(to, self.owner, self.store.dir_mode())?;
        let entries = fs::read_dir(from).map_err(failed("read", from))?;
        for entry in entries {
            let name = entry.map_err(failed("read", from))?.file_name();
            let (from, to) = (from.join(&name), to.join(&name));
            if !self.wanted(&name.to_string_lossy()) {
                continue;
            }
            let Some(real) = self.real(&from)? else {
                continue;
            };
            let metadata = fs::metadata(&real).map_err(failed("look at", &from))?;
            let kind = metadata.file_type();
            if kind.is_dir() && !from.is_symlink() {
                self.folder(&real, &to, depth + 1)?;
            } else if kind.is_file() {
                self.file(&real, &from, &to)?;
            } else if !kind.is_socket() {
                self.outcome
                    .warn(format!("{} is no file, and was not copied", from.display()));
            }
        }
        Ok(())
    }

    /// Files that only matter to the programs that are running outside.
    fn wanted(&self, name: &str) -> bool {
        let lock = name.starts_with(".#lk") || name.ends_with(".lock");
        // Kubernetes keeps the data of its links under names like `..data`.
        !name.starts_with("..") && !(self.store == Store::Gnupg && (lock || name == "random_seed"))
    }

    /// What a link leads to, if that is in the folder; everything else is itself.
    fn real(&mut self, path: &Path) -> Result<Option<PathBuf>, FileError> {
        if !path.is_symlink() {
            return Ok(Some(path.to_owned()));
        }
        match fs::canonicalize(path) {
            Ok(real) if real.starts_with(&self.source) => Ok(Some(real)),
            Ok(_) => {
                let why = "is a link that leads out of its folder, and was not copied";
                self.outcome.warn(format!("{} {why}", path.display()));
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("follow", path)(error)),
        }
    }

    fn file(&mut self, real: &Path, from: &Path, to: &Path) -> Result<(), FileError> {
        let left = MOST_BYTES - self.bytes;
        let bytes = match cib_foreign::read(real, left) {
            Err(cib_foreign::ForeignError::TooLarge { .. }) => None,
            read => Some(read.map_err(|error| failed("read", from)(io::Error::other(error)))?),
        };
        self.bytes += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.files += 1;
        let Some(bytes) = bytes.filter(|_| self.files <= MOST_FILES) else {
            let problem = "the folder is larger than keys are";
            return Err(failed("copy", from)(io::Error::other(problem)));
        };
        if let (Store::Ssh, Some(flaw)) = (self.store, flaw(&bytes)) {
            self.outcome
                .warn(format!("{} {flaw} {}", from.display(), from.display()));
        }
        let name = to.file_name().unwrap_or_default();
        let mode = self.store.file_mode(Path::new(name));
        write(to, &bytes, self.owner, mode).map_err(failed("write", to))
    }
}

/// The mode comes last: a file is never readable for more people than it will be.
fn write(path: &Path, bytes: &[u8], owner: Option<Owner>, mode: u32) -> io::Result<()> {
    let mut how = OpenOptions::new();
    how.write(true).create_new(true).mode(0o600);
    let mut file = cib_foreign::own::open_as(&mut how, path)?;
    file.write_all(bytes)?;
    if let Some(owner) = owner {
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}
