//! The bytes of files: read, and put in the place of others.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use cib_foreign::{own, stat};
use cib_protocol::api::{FileEntry, FileKind};
use cib_protocol::files::{Condition, FilesFault, FilesReply, MAX_PIECE, Place, Span};
use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::entry;
use crate::fault::Refusal;
use crate::place::{Roots, Spot};
use crate::wire;

/// Mode bits of a new file, of which the mask takes some.
const MODE: u32 = 0o666;

/// Names tried for a file that is being written.
const TRIES: u32 = 16;

/// What a part of a file is read from.
#[derive(Debug)]
pub struct Opened {
    file: File,
    /// The head that says what comes.
    pub head: FilesReply,
    length: u64,
}

/// Opens a regular file. Nothing that is not one is waited for.
///
/// # Errors
/// If there is none, or not that part of it.
pub fn open(
    roots: &Roots,
    place: &Place,
    span: Option<Span>,
    tag: Option<&str>,
) -> Result<Opened, Refusal> {
    let spot = roots.of(place)?.spot(&place.path)?;
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let fd = own::openat(&spot.folder, &*spot.name, flags, Mode::empty())?;
    let found = stat::of(&fd)?;
    let entry = entry::of(&spot.name, &found);
    if entry.kind != FileKind::File {
        return Err(Errno::EISDIR.into());
    }
    // A part of something else is of no use: the whole is what is meant then.
    let span = span.filter(|_| tag.is_none_or(|tag| tag == entry.tag));
    let size = entry.size;
    let (offset, length) = match span {
        None => (0, size),
        Some(Span::From(offset, _)) if offset >= size => return Err(beyond(size)),
        Some(Span::From(offset, most)) => (offset, most.unwrap_or(u64::MAX).min(size - offset)),
        Some(Span::Last(_)) if size == 0 => return Err(beyond(size)),
        Some(Span::Last(count)) => (size - count.min(size), count.min(size)),
    };
    let mut file = File::from(fd);
    file.seek(SeekFrom::Start(offset))?;
    Ok(Opened {
        file,
        head: FilesReply::Content {
            entry,
            offset,
            length,
        },
        length,
    })
}

fn beyond(size: u64) -> Refusal {
    Refusal::new(FilesFault::BeyondEnd, format!("the file has {size} bytes"))
}

impl Opened {
    /// Sends the bytes that the head has announced. Of a file that has become shorter meanwhile
    /// the end is missing, and with it the frame that says that all were sent.
    ///
    /// # Errors
    /// If the connection ends, or the file cannot be read.
    pub fn pour(mut self, stream: &mut impl Write) -> io::Result<()> {
        let mut buffer = vec![0; MAX_PIECE];
        let mut left = self.length;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(MAX_PIECE).min(MAX_PIECE);
            match self.file.read(&mut buffer[..room]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    wire::send(stream, &buffer[..count])?;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        wire::send(stream, &[])
    }
}

/// Takes a file's bytes and puts them in the place of what was there, at once or not at all.
///
/// # Errors
/// A refusal within, if it is not to be; the connection's fault without.
pub fn take(
    stream: &mut impl Read,
    roots: &Roots,
    place: &Place,
    condition: &Condition,
    most: u64,
) -> io::Result<Result<FileEntry, Refusal>> {
    let mut draft = Draft::begin(roots, place, condition);
    // What comes is read to its end in any case: a client that still sends does not listen.
    let mut piece = Vec::with_capacity(MAX_PIECE);
    let mut taken = 0;
    loop {
        wire::receive(stream, &mut piece, MAX_PIECE)?;
        if piece.is_empty() {
            return Ok(draft.and_then(|draft| draft.finish(condition)));
        }
        taken += piece.len() as u64;
        let Ok(writing) = &mut draft else { continue };
        let written = if taken > most {
            let why = format!("a file may have {most} bytes here");
            Err(Refusal::new(FilesFault::TooLarge, why))
        } else {
            writing.file.write_all(&piece).map_err(Refusal::from)
        };
        if let Err(refusal) = written {
            draft = Err(refusal);
        }
    }
}

/// A file that is being written, beside the place that it is for. What is not finished goes.
#[derive(Debug)]
struct Draft {
    spot: Spot,
    name: Option<String>,
    file: File,
}

impl Draft {
    fn begin(roots: &Roots, place: &Place, condition: &Condition) -> Result<Self, Refusal> {
        let spot = roots.writable(place)?.spot(&place.path)?;
        let before = check(&spot, condition)?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut tried = 0;
        let (name, fd) = loop {
            let name = draft_name(tried);
            let made = own::openat(&spot.folder, &*name, flags, Mode::from_bits_truncate(MODE));
            match made {
                Ok(fd) => break (name, fd),
                Err(Errno::EEXIST) if tried < TRIES => tried += 1,
                Err(errno) => return Err(errno.into()),
            }
        };
        let draft = Self {
            spot,
            name: Some(name),
            file: File::from(fd),
        };
        if let Some(before) = before {
            // Neither set-user-id nor what else a new content should not have.
            fchmod(&draft.file, Mode::from_bits_truncate(before.mode & 0o777))?;
        }
        Ok(draft)
    }

    /// Puts it in its place, if that is still as it has to be.
    fn finish(mut self, condition: &Condition) -> Result<FileEntry, Refusal> {
        self.file.sync_all()?;
        check(&self.spot, condition)?;
        let Some(name) = self.name.take() else {
            return Err(Refusal::new(FilesFault::Failed, "the draft is gone"));
        };
        let Spot {
            folder,
            name: place,
        } = &self.spot;
        let moved = if *condition == Condition::Absent {
            place_anew(folder, &name, place)
        } else {
            renameat(folder, &*name, folder, &**place)
        };
        if let Err(errno) = moved {
            self.name = Some(name);
            return Err(changed(errno, condition));
        }
        let found = stat::of(&self.file)?;
        Ok(entry::of(place, &found))
    }
}

/// Moves to a place where nothing stands.
fn place_anew(folder: &OwnedFd, from: &str, to: &std::ffi::OsStr) -> nix::Result<()> {
    use nix::fcntl::{RenameFlags, renameat2};
    renameat2(folder, from, folder, to, RenameFlags::RENAME_NOREPLACE)
}

fn changed(errno: Errno, condition: &Condition) -> Refusal {
    if errno == Errno::EEXIST && *condition == Condition::Absent {
        return Refusal::new(FilesFault::Changed, "something stands there by now");
    }
    errno.into()
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // That it is gone already is fine.
            let _ = unlinkat(&self.spot.folder, &**name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// What stands at a place that is to be written to, if that is as it has to be.
fn check(spot: &Spot, condition: &Condition) -> Result<Option<FileEntry>, Refusal> {
    let there = match entry::at(&spot.folder, &spot.name) {
        Ok(entry) => Some(entry),
        Err(refusal) if refusal.code == FilesFault::Absent => None,
        Err(refusal) => return Err(refusal),
    };
    match there.as_ref().map(|entry| entry.kind) {
        None | Some(FileKind::File) => {}
        Some(FileKind::Link) => return Err(Errno::ELOOP.into()),
        Some(_) => return Err(Errno::EISDIR.into()),
    }
    holds(there.as_ref(), condition)?;
    Ok(there)
}

/// Whether what a client wants to change is what it knows.
///
/// # Errors
/// [`FilesFault::Changed`] if not.
pub fn holds(there: Option<&FileEntry>, condition: &Condition) -> Result<(), Refusal> {
    let why = match (there, condition) {
        (_, Condition::None) | (None, Condition::Absent) | (Some(_), Condition::Present) => {
            return Ok(());
        }
        (Some(entry), Condition::Tag(tag)) if entry.tag == *tag => return Ok(()),
        (Some(_), Condition::Absent) => "something stands there already",
        (Some(_), Condition::Tag(_)) => "it was changed meanwhile",
        (None, Condition::Present | Condition::Tag(_)) => "it is not there any more",
    };
    Err(Refusal::new(FilesFault::Changed, why))
}

/// A name that nothing has. It needs not be secret: nothing that stands there is taken.
fn draft_name(tried: u32) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |since| since.subsec_nanos());
    let process = std::process::id();
    format!(".cib-draft-{process:x}-{nanos:x}-{tried:x}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
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

    fn frames(pieces: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in pieces {
            wire::send(&mut bytes, piece).unwrap();
        }
        bytes
    }

    fn write(
        dir: &Path,
        path: &str,
        condition: &Condition,
        data: &[u8],
    ) -> Result<FileEntry, FilesFault> {
        let sent = frames(&[data, b""]);
        take(&mut &*sent, &roots(dir), &place(path), condition, 1000)
            .unwrap()
            .map_err(|refusal| refusal.code)
    }

    fn read(dir: &Path, path: &str, span: Option<Span>) -> Result<Vec<u8>, FilesFault> {
        let opened = open(&roots(dir), &place(path), span, None).map_err(|fault| fault.code)?;
        let mut sent = Vec::new();
        opened.pour(&mut sent).unwrap();
        let (mut rest, mut whole, mut piece) = (&*sent, Vec::new(), Vec::new());
        loop {
            wire::receive(&mut rest, &mut piece, MAX_PIECE).unwrap();
            if piece.is_empty() {
                return Ok(whole);
            }
            whole.extend_from_slice(&piece);
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn what_is_written_is_read_whole_and_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let entry = write(dir.path(), "new", &Condition::Absent, b"0123456789").unwrap();
        assert_eq!((entry.size, &*entry.name), (10, "new"));
        assert_eq!(read(dir.path(), "new", None).unwrap(), b"0123456789");
        let part = |span| read(dir.path(), "new", Some(span));
        assert_eq!(part(Span::From(2, Some(3))).unwrap(), b"234");
        assert_eq!(part(Span::From(8, Some(99))).unwrap(), b"89");
        assert_eq!(part(Span::Last(2)).unwrap(), b"89");
        assert_eq!(part(Span::Last(99)).unwrap(), b"0123456789");
        assert_eq!(part(Span::From(10, None)), Err(FilesFault::BeyondEnd));
    }

    #[test]
    fn a_file_that_was_changed_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let first = write(dir.path(), "file", &Condition::None, b"one").unwrap();
        let known = Condition::Tag(first.tag);
        let second = write(dir.path(), "file", &known, b"two").unwrap();
        assert_eq!(
            write(dir.path(), "file", &known, b"three"),
            Err(FilesFault::Changed)
        );
        assert_eq!(
            write(dir.path(), "file", &Condition::Absent, b"three"),
            Err(FilesFault::Changed)
        );
        fs::remove_file(dir.path().join("file")).unwrap();
        let known = Condition::Tag(second.tag);
        assert_eq!(
            write(dir.path(), "file", &known, b"three"),
            Err(FilesFault::Changed)
        );
        assert_eq!(
            write(dir.path(), "file", &Condition::Present, b""),
            Err(FilesFault::Changed)
        );
        assert_eq!(names(dir.path()), Vec::<String>::new(), "no draft is left");
    }

    #[test]
    fn what_does_not_come_whole_or_is_too_large_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "as it was").unwrap();
        let sent = frames(&[b"half"]);
        let broken = take(
            &mut &*sent,
            &roots(dir.path()),
            &place("file"),
            &Condition::None,
            9,
        );
        assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let sent = frames(&[b"12345", b"67890", b"more", b""]);
        let refused = take(
            &mut &*sent,
            &roots(dir.path()),
            &place("file"),
            &Condition::None,
            9,
        );
        assert_eq!(refused.unwrap().unwrap_err().code, FilesFault::TooLarge);
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"as it was");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn nothing_but_a_regular_file_is_read_or_replaced_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        symlink("/etc/hostname", at("link")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (name, fault) in [
            ("folder", FilesFault::NotFile),
            ("pipe", FilesFault::NotFile),
            ("socket", FilesFault::NotFile),
            ("link", FilesFault::Link),
        ] {
            assert_eq!(read(dir.path(), name, None), Err(fault), "{name}");
            let written = write(dir.path(), name, &Condition::None, b"x");
            assert_eq!(written, Err(fault), "{name}");
        }
        assert_eq!(read(dir.path(), "none", None), Err(FilesFault::Absent));
        assert_eq!(read(dir.path(), "../x", None), Err(FilesFault::BadRequest));
    }

    #[test]
    fn a_replaced_file_stays_executable_and_loses_the_bits_that_change_users() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
        let entry = write(dir.path(), "tool", &Condition::Present, b"#!/bin/sh\n").unwrap();
        assert_eq!(entry.mode, 0o755);
    }

    #[test]
    fn a_part_of_another_content_is_the_whole_of_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "0123").unwrap();
        let span = Some(Span::From(2, None));
        let opened = open(&roots(dir.path()), &place("file"), span, Some("old")).unwrap();
        assert!(matches!(
            opened.head,
            FilesReply::Content {
                offset: 0,
                length: 4,
                ..
            }
        ));
    }
}
