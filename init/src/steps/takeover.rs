//! Gives sessions that older versions of the box made for coder to the record's own user.
//!
//! Coder may have put anything in their place: links, pipes, sparse files, further names of
//! files that are somebody else's. So a directory is not given away with what is in it. A new
//! one is made where nobody but root can reach it; the files that a session has are moved into
//! it one by one, each looked at there, where it cannot be changed for another any more; then
//! it takes the old one's place, and what was left of that is set aside. Doing it again changes
//! nothing, and being cut off in the middle costs nothing.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cib_foreign::own::openat;
use cib_foreign::stat;
use cib_protocol::session::SessionId;
use cib_protocol::time::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, renameat, renameat2};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

use super::files::{Dir, Entry, FileError, Kind, Owner, failed, make_dir, reason};

/// The file that says what was done, in `CIB_DATA_DIR`.
pub const JOURNAL: &str = "takeover.log";
/// Where that goes which no session has, in `CIB_DATA_DIR`.
pub const ASIDE: &str = "set-aside";

/// The files that a session has; who may read them is in the last column.
const FILES: [(&CStr, u32); 3] = [
    (c"transcript.jsonl", 0o640),
    (c"meta.json", 0o640),
    (c"hooks.json", 0o600),
];
/// What a new directory is called until it is complete, before the session's id.
const FRESH: &str = ".taken-";
/// A file with several names is copied, unless it is larger than this.
const LARGEST_COPY: u64 = 1 << 30;
/// So much is copied between two looks at the clock.
const PORTION: u64 = 4 << 20;

/// Whose everything becomes, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// User and group of the record.
    pub keeper: (u32, u32),
    /// The group that reads it.
    pub control: u32,
    /// What is not begun by then is left for the next start.
    pub within: Duration,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sessions that were taken over.
    pub taken: u64,
    /// Things that were set aside.
    pub aside: u64,
    /// Sessions that could not be taken over; [`JOURNAL`] says why.
    pub failed: u64,
    /// Sessions that there was no time for.
    pub left: u64,
}

/// Whether there is anything to do: the look of a moment, at owners alone.
#[must_use]
pub fn is_needed(data: &Path, keeper: u32) -> bool {
    let foreign = |entry: &Entry| entry.stat.st_uid != keeper;
    let locks = Dir::open(data).and_then(|dir| dir.entry(c"locks"));
    if locks.as_ref().is_ok_and(foreign) {
        return true;
    }
    let sessions = Dir::open(&data.join("sessions")).and_then(|dir| dir.entries());
    sessions.unwrap_or_default().iter().any(|entry| {
        unfinished(entry).is_some()
            || session(entry).is_some() && (foreign(entry) || !is_dir(entry))
    })
}

/// Takes over every session and the locks.
///
/// # Errors
/// The folders that all of it is in cannot be opened, or the journal cannot be written.
pub fn take_over(data: &Path, terms: &Terms) -> Result<Report, FileError> {
    let deadline = Instant::now() + terms.within;
    let dir = Dir::open(data).map_err(failed("open", data))?;
    let path = data.join("sessions");
    let sessions = Dir::open(&path).map_err(failed("open", &path))?;
    let mut work = Work {
        terms,
        deadline,
        journal: journal(&dir, data)?,
        aside: data.join(ASIDE),
        report: Report::default(),
    };
    work.locks(&dir);
    let entries = sessions.entries().map_err(failed("read", &path))?;
    for (entry, id) in entries.iter().filter_map(|e| Some((e, unfinished(e)?))) {
        if let Err(error) = work.go_on(&sessions, entry, id) {
            work.report.failed += 1;
            work.say(&format!("sessions/{id}: failed: {}", reason(&error)));
        }
    }
    for entry in entries {
        let taken = entry.stat.st_uid == terms.keeper.0 && is_dir(&entry);
        let Some(id) = session(&entry).filter(|_| !taken) else {
            continue;
        };
        if Instant::now() >= deadline {
            work.report.left += 1;
            continue;
        }
        match work.session(&sessions, &entry, id) {
            Ok(()) => {}
            Err(error) => {
                work.report.failed += 1;
                work.say(&format!("sessions/{id}: failed: {}", reason(&error)));
            }
        }
    }
    let Report { left, .. } = work.report;
    if left > 0 {
        work.say(&format!("{left} sessions are left for the next start"));
    }
    work.journal.sync_all().map_err(failed("write", data))?;
    Ok(work.report)
}

fn session(entry: &Entry) -> Option<SessionId> {
    let name = entry.name().to_str()?;
    let id: SessionId = name.parse().ok()?;
    // Another spelling of the same id is no session's.
    (id.to_string() == name).then_some(id)
}

/// The session whose new directory this is, if it did not get to its place.
fn unfinished(entry: &Entry) -> Option<SessionId> {
    entry.name().to_str()?.strip_prefix(FRESH)?.parse().ok()
}

fn is_dir(entry: &Entry) -> bool {
    entry.kind() == Kind::Directory
}

/// Opens the journal for appending; what is no file of root's own in its place is set aside.
fn journal(dir: &Dir, data: &Path) -> Result<File, FileError> {
    let path = data.join(JOURNAL);
    let name = CString::new(JOURNAL).unwrap_or_default();
    let flags = OFlag::O_WRONLY
        | OFlag::O_APPEND
        | OFlag::O_CREAT
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    let open = || openat(dir, name.as_c_str(), flags, Mode::from_bits_truncate(0o644));
    let own = nix::unistd::geteuid().as_raw();
    if let Ok(entry) = dir.entry(&name)
        && (entry.kind() != Kind::File || entry.stat.st_uid != own || entry.stat.st_nlink != 1)
    {
        let odd = CString::new(format!("{JOURNAL}.odd")).unwrap_or_default();
        renameat(dir, name.as_c_str(), dir, odd.as_c_str()).map_err(failed("move away", &path))?;
    }
    open().map(File::from).map_err(failed("open", &path))
}

struct Work<'a> {
    terms: &'a Terms,
    deadline: Instant,
    journal: File,
    aside: PathBuf,
    report: Report,
}

impl Work<'_> {
    /// One line of the journal. What is in it was made here, but for names, which are UUIDs.
    fn say(&mut self, line: &str) {
        let line = format!("{} {line}\n", Timestamp::now());
        // The volume is full at the worst; the log has the sum.
        let _ = self.journal.write_all(line.as_bytes());
    }

    /// The locks of an earlier life guard nothing: nobody of it is there any more.
    fn locks(&mut self, data: &Dir) {
        let made = || -> io::Result<bool> {
            match data.entry(c"locks") {
                Ok(entry) if entry.stat.st_uid == self.terms.keeper.0 && is_dir(&entry) => {
                    return Ok(false);
                }
                Ok(_) => self.set_aside(data, c"locks", "locks")?,
                Err(_) => {}
            }
            mkdirat(data, c"locks", Mode::from_bits_truncate(0o700))?;
            self.give(&data.dir(c"locks")?, 0o750)?;
            Ok(true)
        }();
        match made {
            Ok(false) => {}
            Ok(true) => self.say("locks: made anew for cib-keeper"),
            Err(error) => {
                self.report.failed += 1;
                self.say(&format!("locks: failed: {}", reason(&error)));
            }
        }
    }

    fn session(&mut self, sessions: &Dir, entry: &Entry, id: SessionId) -> io::Result<()> {
        let name = entry.name.as_c_str();
        if !is_dir(entry) {
            self.set_aside(sessions, name, &id.to_string())?;
            self.report.aside += 1;
            let kind = kind(entry);
            self.say(&format!("sessions/{id}: set aside: {kind} is no session"));
            return Ok(());
        }
        let old = sessions.dir(name)?;
        let owner = old.stat()?.st_uid;
        let fresh_name = CString::new(format!("{FRESH}{id}"))?;
        let fresh = self.fresh(sessions, &fresh_name)?;
        let mut done = Vec::new();
        for (file, mode) in FILES {
            if let Some(what) = self.file(&old, &fresh, file, mode, owner)? {
                done.push(format!("{} {what}", file.to_string_lossy()));
            }
        }
        self.give(&fresh, 0o2750)?;
        // The lock goes with the directory: whoever held it is gone.
        let _ = unlinkat(&old, c"lock", UnlinkatFlags::NoRemoveDir);
        let empty = unlinkat(sessions, name, UnlinkatFlags::RemoveDir).is_ok();
        if !empty {
            self.set_aside(sessions, name, &id.to_string())?;
            self.report.aside += 1;
            done.push(format!("the rest set aside in {ASIDE}"));
        }
        let flags = RenameFlags::RENAME_NOREPLACE;
        renameat2(sessions, fresh_name.as_c_str(), sessions, name, flags)
            .or_else(|_| renameat(sessions, fresh_name.as_c_str(), sessions, name))?;
        self.report.taken += 1;
        let done = done.join(", ");
        self.say(&format!(
            "sessions/{id}: was {owner}'s, now cib-keeper's: {done}"
        ));
        Ok(())
    }

    /// Puts a new directory into its place whose old one was set aside already, when the box
    /// was cut off. Another one is gone on with when its session's turn comes.
    fn go_on(&mut self, sessions: &Dir, entry: &Entry, id: SessionId) -> io::Result<()> {
        let name = CString::new(id.to_string())?;
        if sessions.entry(&name).is_ok() {
            return Ok(());
        }
        let fresh = self.fresh(sessions, &entry.name)?;
        self.give(&fresh, 0o2750)?;
        renameat(sessions, entry.name.as_c_str(), sessions, name.as_c_str())?;
        self.report.taken += 1;
        self.say(&format!("sessions/{id}: now cib-keeper's, gone on with"));
        Ok(())
    }

    /// A directory that root alone can enter. One of an attempt that was cut off is gone on
    /// with, so that what is in it already is not lost.
    fn fresh(&self, sessions: &Dir, name: &CStr) -> io::Result<Dir> {
        let own = nix::unistd::geteuid().as_raw();
        let mode = Mode::from_bits_truncate(0o700);
        if mkdirat(sessions, name, mode) == Err(Errno::EEXIST) {
            let there = sessions.entry(name)?;
            let ours = there.stat.st_uid == own || there.stat.st_uid == self.terms.keeper.0;
            if !ours || !is_dir(&there) {
                self.set_aside(sessions, name, "unfinished")?;
                mkdirat(sessions, name, mode)?;
            }
        }
        let dir = sessions.dir(name)?;
        fchown(dir.as_fd(), Some(Uid::from_raw(own)), None)?;
        fchmod(&dir, mode)?;
        Ok(dir)
    }

    /// Moves one file of a session, or copies it, and says which. What is no file stays.
    fn file(
        &self,
        old: &Dir,
        fresh: &Dir,
        name: &CStr,
        mode: u32,
        owner: u32,
    ) -> io::Result<Option<&'static str>> {
        let Ok(seen) = old.entry(name) else {
            return Ok(None);
        };
        if seen.kind() != Kind::File {
            return Ok(Some("is no file"));
        }
        if seen.stat.st_nlink > 1 {
            return self.copy(old, fresh, name, mode, owner).map(Some);
        }
        renameat(old, name, fresh, name)?;
        // Looked at once more where nobody can change it: it may not be what was seen.
        let file = fresh.file(name)?;
        let stat = stat::of(&file)?;
        let is_file = Kind::of(stat.st_mode) == Kind::File;
        if !is_file || stat.st_nlink > 1 {
            renameat(fresh, name, old, name)?;
            return Ok(Some("changed meanwhile"));
        }
        self.give_file(&file, mode)?;
        Ok(Some("given"))
    }

    /// Copies a file that has further names. Those may be anywhere, so it is not given away;
    /// and if it is not the session's owner's, what is in it is nothing that the session has.
    fn copy(
        &self,
        old: &Dir,
        fresh: &Dir,
        name: &CStr,
        mode: u32,
        owner: u32,
    ) -> io::Result<&'static str> {
        let from = File::from(old.file(name)?);
        let stat = stat::of(&from)?;
        let is_file = Kind::of(stat.st_mode) == Kind::File;
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if !is_file || stat.st_uid != owner || size > LARGEST_COPY {
            return Ok("has several names and is not the session's own");
        }
        let _ = unlinkat(fresh, name, UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let to = openat(fresh, name, flags, Mode::from_bits_truncate(0o600))?;
        let mut to = File::from(to);
        let mut left = size;
        while left > 0 {
            if Instant::now() >= self.deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no time was left"));
            }
            let count = io::copy(&mut (&from).take(PORTION.min(left)), &mut to)?;
            if count == 0 {
                break;
            }
            left -= count;
        }
        self.give_file(&to.into(), mode)?;
        // The other names keep what they had.
        let _ = unlinkat(old, name, UnlinkatFlags::NoRemoveDir);
        Ok("copied, because it has several names")
    }

    fn give_file(&self, file: &OwnedFd, mode: u32) -> io::Result<()> {
        // A change of owner takes set-id bits; there are none in these modes.
        fchmod(file, Mode::from_bits_truncate(mode))?;
        let (uid, gid) = (self.terms.keeper.0, self.terms.control);
        Ok(fchown(
            file,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
        )?)
    }

    /// In this order a set-group-id bit needs no further right.
    fn give(&self, dir: &Dir, mode: u32) -> io::Result<()> {
        fchmod(dir, Mode::from_bits_truncate(mode))?;
        let (uid, gid) = (self.terms.keeper.0, self.terms.control);
        Ok(fchown(
            dir.as_fd(),
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
        )?)
    }

    /// Moves something to where root alone sees it, under the first name that is free.
    fn set_aside(&self, from: &Dir, name: &CStr, called: &str) -> io::Result<()> {
        let own = Owner {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        };
        make_dir(&self.aside, Some(own), 0o700).map_err(|error| error.source)?;
        let aside = Dir::open(&self.aside)?;
        for number in 0..10_000 {
            let free = CString::new(format!("{called}.{number}"))?;
            if aside.entry(&free).is_err() {
                return Ok(renameat(from, name, &aside, free.as_c_str())?);
            }
        }
        Err(io::Error::other(format!("{ASIDE} is full")))
    }
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind() {
        Kind::Link => "a link",
        Kind::Pipe => "a pipe",
        Kind::Socket => "a socket",
        Kind::File => "a file",
        _ => "a device",
    }
}
