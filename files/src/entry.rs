//! What a file is, as clients are told.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use cib_foreign::stat::{self, Stat};
use cib_protocol::api::{FileEntry, FileKind};
use cib_protocol::files::escape;
use cib_protocol::time::Timestamp;
use nix::fcntl::readlinkat;
use nix::libc;

use crate::fault::Refusal;

/// What a name in a folder stands for; of a link, the link.
///
/// # Errors
/// The kernel's answer.
pub fn at(folder: impl AsFd, name: &OsStr) -> Result<FileEntry, Refusal> {
    let found = stat::at(folder.as_fd(), name)?;
    let mut entry = of(name, &found);
    if entry.kind == FileKind::Link {
        let target = readlinkat(folder, name)?;
        entry.target = Some(escape(target.as_bytes()));
    }
    Ok(entry)
}

/// What was opened under a name.
#[must_use]
pub fn of(name: &OsStr, found: &Stat) -> FileEntry {
    let kind = match found.st_mode & libc::S_IFMT {
        libc::S_IFREG => FileKind::File,
        libc::S_IFDIR => FileKind::Folder,
        libc::S_IFLNK => FileKind::Link,
        libc::S_IFIFO => FileKind::Pipe,
        libc::S_IFSOCK => FileKind::Socket,
        _ => FileKind::Device,
    };
    let (seconds, nanos) = (wide(found.st_mtime), wide(found.st_mtime_nsec));
    let millis = seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000);
    FileEntry {
        name: escape(name.as_bytes()),
        kind,
        size: if kind == FileKind::File {
            u64::try_from(found.st_size).unwrap_or(0)
        } else {
            0
        },
        modified: Timestamp::from_millis(millis),
        mode: found.st_mode & 0o7777,
        target: None,
        tag: tag(found),
    }
}

/// A number whose width differs between machines.
fn wide(number: impl Into<i64>) -> i64 {
    number.into()
}

/// Changes with every change that the kernel keeps a time of, and when another file comes in
/// this one's place.
#[must_use]
pub fn tag(found: &Stat) -> String {
    let mut tag = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        tag,
        "{:x}-{:x}-{:x}-{:x}-{:x}-{:x}",
        found.st_ino,
        found.st_size,
        found.st_mtime,
        found.st_mtime_nsec,
        found.st_ctime,
        found.st_ctime_nsec
    );
    tag
}
