//! Locks that survive crashes: `flock` on a file, gone with the process that held it.
//!
//! Two locks guard a session. `lock` in its directory makes its keeper the only writer of the
//! journal. `locks/<claude id>.lock` makes it the only one that drives that Claude
//! conversation, because the CLI itself happily resumes one that is running elsewhere.
//!
//! A keeper that is killed lets both go at once, while what it ran still needs a moment to end.
//! So the second lock's file also names the launcher of all that, which ends it and is itself
//! gone last. Who takes the lock afterwards waits for that, and kills nobody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollTimeout, poll};
use uuid::Uuid;

use crate::own;

/// How long what an earlier keeper left behind may take to go: a launcher's patience, and some.
pub const PATIENCE: Duration = Duration::from_secs(6);

/// How often a lock is tried whose file is removed while it is being taken.
const ATTEMPTS: u32 = 16;

/// How often a process that has to end is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Why a lock cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is held by another keeper", .0.display())]
    Held(PathBuf),
    /// The file cannot be opened or locked.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// What the last holder left behind does not end.
    #[error("launcher {pid} of an earlier keeper still ends what that has left behind")]
    Haunted {
        /// The launcher's process.
        pid: i32,
    },
}

/// A lock that is held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
}

impl Lock {
    /// Takes a lock without waiting; makes its file if there is none.
    ///
    /// # Errors
    /// If somebody else has it, or its file cannot be opened.
    pub fn take(path: PathBuf) -> Result<Self, LockError> {
        let open = || {
            let mut how = OpenOptions::new();
            how.read(true).write(true).create(true).truncate(false);
            own::open(&path, &mut how, 0o600)
        };
        let mut source = io::Error::from(io::ErrorKind::NotFound);
        for _ in 0..ATTEMPTS {
            let file = match open() {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    source = error;
                    continue;
                }
                Err(source) => return Err(LockError::Io { path, source }),
            };
            if let Some(held) = Self::hold(file, &path)? {
                return Ok(held);
            }
        }
        Err(LockError::Io { path, source })
    }

    /// Locks a file that was opened by its name; `None` if the name is another's by now.
    fn hold(file: File, path: &Path) -> Result<Option<Self>, LockError> {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // A lock on a file that was removed meanwhile keeps nobody out.
            Ok(file) => Ok(is_named(&file, path).then_some(Self { file })),
            Err((_, Errno::EWOULDBLOCK)) => Err(LockError::Held(path.to_owned())),
            Err((_, errno)) => Err(LockError::Io {
                path: path.to_owned(),
                source: errno.into(),
            }),
        }
    }

    /// Takes the lock of a session's directory.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn session(dir: &Path) -> Result<Self, LockError> {
        Self::take(dir.join("lock"))
    }

    /// Takes the lock of a Claude conversation and waits until everything that drove it last is
    /// gone, at most for `patience`.
    ///
    /// # Errors
    /// As [`Lock::take`], and if something is left.
    pub fn conversation(dir: &Path, claude: Uuid, patience: Duration) -> Result<Self, LockError> {
        let locks = locks_dir(dir);
        fs::create_dir_all(&locks).map_err(|source| LockError::Io {
            path: locks.clone(),
            source,
        })?;
        let mut lock = Self::take(conversation_file(dir, claude))?;
        match lock.read_driver() {
            Some(process) if !wait_gone(process, patience) => {
                Err(LockError::Haunted { pid: process.pid })
            }
            _ => Ok(lock),
        }
    }

    /// Names the process that is gone when nothing drives any more what this lock guards.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_driver(&mut self, pid: i32) -> io::Result<()> {
        let started = start_time(pid).unwrap_or(0);
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{pid} {started}")
    }

    /// Says that the process is gone. The file stays for as long as its session does.
    pub fn clear_driver(&mut self) {
        // What stays written names a process that no longer is; reading it costs a look.
        let _ = self.file.set_len(0);
    }

    /// Removes the lock of a conversation, file and all, when everything that drove it last is
    /// gone. One that another session holds is that session's, and stays.
    ///
    /// # Errors
    /// If the file cannot be removed, or something is left.
    pub fn remove_conversation(
        dir: &Path,
        claude: Uuid,
        patience: Duration,
    ) -> Result<(), LockError> {
        let path = conversation_file(dir, claude);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(());
        }
        // Whoever opens the file before it is gone finds out that it holds a nameless one.
        match Self::conversation(dir, claude, patience) {
            Ok(_held) => fs::remove_file(&path).map_err(|source| LockError::Io { path, source }),
            Err(LockError::Held(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn read_driver(&mut self) -> Option<Process> {
        let mut text = String::new();
        self.file.rewind().ok()?;
        self.file.read_to_string(&mut text).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Process {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }
}

/// Whether a path names this file.
fn is_named(file: &File, path: &Path) -> bool {
    let named = fs::symlink_metadata(path);
    named
        .and_then(|named| Ok((named, file.metadata()?)))
        .is_ok_and(|(named, held)| (named.dev(), named.ino()) == (held.dev(), held.ino()))
}

/// The lock of a conversation.
fn conversation_file(dir: &Path, claude: Uuid) -> PathBuf {
    locks_dir(dir).join(format!("{claude}.lock"))
}

/// The directory of conversation locks, seen from a session's directory.
fn locks_dir(dir: &Path) -> PathBuf {
    dir.join("../../locks")
}

/// A process that cannot be mistaken for a later one with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    /// Clock ticks since the host's boot, field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)).
    started: u64,
}

impl Process {
    fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

/// When a process started; `None` if there is none, or only its remains.
fn start_time(pid: i32) -> Option<u64> {
    let stat = cib_foreign::own::read_lossy(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn wait_gone(process: Process, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while process.is_alive() {
        if Instant::now() >= deadline {
            return false;
        }
        // A signal ends the pause early, which only means another look.
        let _ = poll(
            &mut [],
            PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO),
        );
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_lock_has_one_holder_also_if_its_file_is_removed_by_each() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (holders, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let until = Instant::now() + Duration::from_secs(30);
                    while taken.load(Ordering::SeqCst) < 2000 && Instant::now() < until {
                        let Ok(_held) = Lock::take(path.clone()) else {
                            continue;
                        };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::SeqCst);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        fs::remove_file(&path).unwrap();
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) >= 2000);
    }

    #[test]
    fn a_file_that_lost_its_name_while_it_was_being_locked_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open = || File::create(&path).unwrap();
        assert!(Lock::hold(open(), &path).unwrap().is_some());
        let file = open();
        fs::remove_file(&path).unwrap();
        assert!(Lock::hold(file, &path).unwrap().is_none());
        let file = open();
        fs::rename(&path, dir.path().join("old")).unwrap();
        open();
        assert!(Lock::hold(file, &path).unwrap().is_none());
    }

    #[test]
    fn a_conversation_that_is_held_keeps_its_lock_and_one_that_is_not_loses_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("sessions/one");
        fs::create_dir_all(&dir).unwrap();
        let claude = Uuid::from_u128(1);
        let remove = || Lock::remove_conversation(&dir, claude, Duration::ZERO);
        remove().unwrap();
        assert!(
            !root.path().join("locks").exists(),
            "nothing is made for that"
        );
        let held = Lock::conversation(&dir, claude, Duration::ZERO).unwrap();
        remove().unwrap();
        assert!(conversation_file(&dir, claude).exists());
        drop(held);
        remove().unwrap();
        assert!(!conversation_file(&dir, claude).exists());
    }
}
