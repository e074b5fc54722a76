//! Removing what a session that has ended left on the disk.
//!
//! The record is removed by its own user under the session's lock, and nothing of it that readers
//! know goes before everything else has: a purge that is cut off leaves a session that can be
//! purged again. A home is removed by its own user. The folders themselves, which are empty then,
//! are for whoever owns what they are in.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cib_protocol::frame::{Data, Frame};
use cib_protocol::purge::Removal;
use uuid::Uuid;

use crate::journal::FILE;
use crate::lock::{Lock, LockError, PATIENCE};
use crate::remove::{self, told};

/// How long files are removed before the rest is left for another time.
const PATIENT: Duration = Duration::from_secs(30);

/// How long the journal is looked through for conversations.
const SCAN: Duration = Duration::from_secs(5);

/// Bytes of a line that may say which conversation a session has.
const MOST: u64 = 64 * 1024;
/// What such a line has in it.
const WORD: &[u8] = b"\"claude_session\":\"";
/// Conversations of one session whose locks are removed.
const CONVERSATIONS: usize = 1000;

const LOCK: &CStr = c"lock";

/// Why a record is not removed.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// A keeper is at work, or what it left has not ended.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Its folder cannot be opened.
    #[error("cannot open the session's folder")]
    Open(#[source] io::Error),
}

/// Removes the record of a session that has ended, and what is left of its sockets.
///
/// # Errors
/// A [`PurgeError`]; the record is as it was then.
pub fn record(dir: &Path, runtime: &Path) -> Result<Removal, PurgeError> {
    let folder = remove::open(dir).map_err(PurgeError::Open)?;
    let _session = Lock::session(dir)?;
    for claude in conversations(&dir.join(FILE), Instant::now() + SCAN) {
        Lock::remove_conversation(dir, claude, PATIENCE)?;
    }
    let deadline = Instant::now() + PATIENT;
    let journal = CString::new(FILE).unwrap_or_default();
    let mut done = remove::empty(folder.as_fd(), &[&journal, LOCK], deadline);
    if done.late || done.left.is_some() {
        return Ok(done);
    }
    let sockets = sockets(runtime, deadline);
    done.freed = done.freed.saturating_add(sockets.freed);
    done.left = sockets.left;
    // In an old record there may be anything in the journal's place.
    let journal = remove::empty(folder.as_fd(), &[LOCK], deadline);
    done.freed = done.freed.saturating_add(journal.freed);
    done.late = journal.late;
    if journal.late || journal.left.is_some() {
        done.left = journal.left;
    } else if let Err(error) = remove::file(folder.as_fd(), LOCK, &mut done.freed) {
        done.left = Some(told(LOCK.to_bytes(), &error));
    }
    Ok(done)
}

/// What is in the folder of a session's sockets. It is gone with the container in any case.
fn sockets(runtime: &Path, deadline: Instant) -> Removal {
    match remove::open(runtime) {
        Ok(folder) => remove::empty(folder.as_fd(), &[], deadline),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Removal::default(),
        Err(error) => Removal {
            left: Some(told(b"sockets", &error)),
            ..Removal::default()
        },
    }
}

/// Removes what is in the home of a session's user, as that user.
///
/// # Errors
/// If it cannot be opened.
pub fn home(home: &Path) -> io::Result<Removal> {
    let folder = remove::open(home)?;
    Ok(remove::empty(folder.as_fd(), &[], Instant::now() + PATIENT))
}

/// The conversations of Claude's that a journal names. One that cannot be read names none.
fn conversations(journal: &Path, deadline: Instant) -> BTreeSet<Uuid> {
    let mut found = BTreeSet::new();
    let Ok(file) = cib_foreign::open(journal) else {
        return found;
    };
    let mut reader = BufReader::with_capacity(MOST as usize, file);
    let mut line = Vec::new();
    // A piece of a line that is longer is no frame that says so.
    while found.len() < CONVERSATIONS && Instant::now() < deadline {
        line.clear();
        match reader.by_ref().take(MOST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => found.extend(conversation(&line)),
        }
    }
    found
}

fn conversation(line: &[u8]) -> Option<Uuid> {
    line.windows(WORD.len()).position(|part| part == WORD)?;
    let frame: Frame = serde_json::from_slice(line).ok()?;
    match frame.decode().ok()?? {
        Data::Meta(meta) => meta.claude_session?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use cib_protocol::frame::{Meta, Text};
    use cib_protocol::session::SessionId;
    use cib_protocol::time::Timestamp;

    use super::*;

    const ID: SessionId = SessionId::from_u128(7);

    /// A session's folders, beside others'.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for dir in [place.dir(), place.runtime(), place.at("locks")] {
                fs::create_dir_all(dir).unwrap();
            }
            place
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn dir(&self) -> PathBuf {
            self.at("sessions").join(ID.to_string())
        }

        fn runtime(&self) -> PathBuf {
            self.at("run").join(ID.to_string())
        }

        fn lock(&self, claude: u128) -> PathBuf {
            let claude = Uuid::from_u128(claude);
            self.at("locks").join(format!("{claude}.lock"))
        }

        fn write(&self, frames: &[Data]) {
            let mut lines = Vec::new();
            for (seq, data) in (1..).zip(frames) {
                Frame::write_line(&mut lines, ID, seq, Timestamp::now(), data).unwrap();
            }
            fs::write(self.dir().join(FILE), lines).unwrap();
        }

        fn purge(&self) -> Result<Removal, PurgeError> {
            record(&self.dir(), &self.runtime())
        }

        fn is_empty(&self) -> bool {
            let count = |dir: PathBuf| fs::read_dir(dir).unwrap().count();
            count(self.dir()) + count(self.runtime()) == 0
        }
    }

    fn has(claude: u128) -> Data {
        Data::Meta(Meta {
            claude_session: Some(Uuid::from_u128(claude).to_string()),
            ..Meta::default()
        })
    }

    #[test]
    fn a_record_goes_with_its_sockets_and_the_locks_of_its_conversations() {
        let place = Place::new();
        let said = format!("{{\"claude_session\":\"{}\"}}", Uuid::from_u128(3));
        let says = Data::Text(Text {
            text: said,
            ..Text::default()
        });
        place.write(&[has(1), has(2), says]);
        for claude in [1, 2, 3] {
            fs::write(place.lock(claude), "").unwrap();
        }
        fs::write(place.dir().join("hooks.json"), "{}").unwrap();
        fs::create_dir(place.runtime().join("user")).unwrap();
        fs::write(place.runtime().join("user/settings.json"), "{}").unwrap();
        let done = place.purge().unwrap();
        assert_eq!((done.left, done.late), (None, false));
        assert!(done.freed > 0);
        assert!(place.is_empty());
        assert!(!place.lock(1).exists() && !place.lock(2).exists());
        assert!(
            place.lock(3).exists(),
            "what is said of it makes it no lock of this one's"
        );
    }

    #[test]
    fn the_lock_of_a_conversation_that_another_session_drives_stays() {
        let place = Place::new();
        place.write(&[has(1)]);
        let _held = Lock::take(place.lock(1)).unwrap();
        place.purge().unwrap();
        assert!(place.is_empty() && place.lock(1).exists());
    }

    #[test]
    fn nothing_is_removed_of_a_session_that_a_keeper_has() {
        let place = Place::new();
        place.write(&[has(1)]);
        fs::write(place.lock(1), "").unwrap();
        let _keeper = Lock::session(&place.dir()).unwrap();
        let refused = place.purge();
        assert!(matches!(
            refused,
            Err(PurgeError::Locked(LockError::Held(_)))
        ));
        assert!(place.dir().join(FILE).exists() && place.lock(1).exists());
    }

    #[test]
    fn whatever_stands_in_the_journals_place_goes_and_where_a_link_leads_stays() {
        let place = Place::new();
        fs::write(place.at("precious"), "").unwrap();
        std::os::unix::fs::symlink(place.at("precious"), place.dir().join(FILE)).unwrap();
        place.purge().unwrap();
        assert!(place.is_empty() && place.at("precious").exists());
        fs::create_dir_all(place.dir().join(FILE).join("deep")).unwrap();
        place.purge().unwrap();
        assert!(place.is_empty());
        fs::remove_dir(place.dir()).unwrap();
        assert!(matches!(place.purge(), Err(PurgeError::Open(_))));
    }
}
