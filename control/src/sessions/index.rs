//! What control knows of every session, so that a list does not open every journal.
//!
//! An entry is a journal as far as it was taken up. Whether there is more of it is seen from
//! its size, and only then is it opened, from where it was left. Nothing here is the truth: it
//! can be thrown away at any time and is made again from the journals.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use cib_journal::{FILE, Fold, Progress, fold};
use cib_protocol::session::{Program, SessionId, SessionMeta, State};
use cib_protocol::time::Timestamp;

/// How long one journal is read before the next has its turn.
const SLICE: Duration = Duration::from_millis(50);

/// How long a session's directory may be without a frame before that is damage.
const YOUTH: Duration = Duration::from_secs(60);

/// What is to be seen of a session.
#[derive(Clone, Debug)]
pub enum View {
    /// There is none, or it has not said anything yet.
    Nothing,
    /// As its journal has it. One whose journal cannot be used has only `damage`.
    Known(Box<SessionMeta>),
    /// Its journal is so long that it is not taken up yet.
    Unfinished,
}

/// The sessions on the disk.
#[derive(Debug)]
pub struct Index {
    sessions: PathBuf,
    entries: Mutex<HashMap<SessionId, Arc<Slot>>>,
}

/// A session's place in the index.
#[derive(Debug)]
struct Slot {
    /// What the last look at it gave. Nobody reads a file while holding this.
    shown: Mutex<View>,
    entry: Mutex<Entry>,
}

impl Slot {
    fn shown(&self) -> MutexGuard<'_, View> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Entry {
    fold: Fold,
    /// The journal that was taken up: device, file, size.
    seen: Option<(u64, u64, u64)>,
    /// Whether all of it was.
    is_done: bool,
    /// Why it cannot be used.
    trouble: Option<String>,
    /// When the session's directory was made or changed last, if it has to stand for more.
    at: Timestamp,
}

impl Index {
    /// Nothing is known yet of the sessions in a directory.
    #[must_use]
    pub fn new(sessions: PathBuf) -> Self {
        Self {
            sessions,
            entries: Mutex::default(),
        }
    }

    /// Where the sessions' directories are.
    #[must_use]
    pub fn sessions(&self) -> &Path {
        &self.sessions
    }

    /// Takes up sessions that were not looked at yet, until `by`, and forgets those that are
    /// gone. Returns whether all of them are known now.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub fn scan(&self, by: Instant) -> io::Result<bool> {
        let mut there = HashSet::new();
        for entry in fs::read_dir(&self.sessions)? {
            there.extend(session_id(&entry?.file_name()));
        }
        let unknown: Vec<_> = {
            let mut entries = self.entries();
            entries.retain(|id, _| there.contains(id));
            let is_known = |id: &SessionId| {
                let slot = entries.get(id);
                slot.is_some_and(|slot| matches!(*slot.shown(), View::Known(_)))
            };
            there.into_iter().filter(|id| !is_known(id)).collect()
        };
        let mut unknown = unknown;
        while !unknown.is_empty() {
            let mut left = Vec::new();
            for id in unknown {
                let now = Instant::now();
                if now >= by {
                    return Ok(false);
                }
                // A long journal does not keep short ones from being known.
                if let View::Unfinished = self.look(id, by.min(now + SLICE)) {
                    left.push(id);
                }
            }
            unknown = left;
        }
        Ok(true)
    }

    /// Every session that is known, as it was when it was looked at last.
    #[must_use]
    pub fn snapshot(&self) -> Vec<SessionMeta> {
        let slots = self.entries();
        let known = slots.values().filter_map(|slot| match &*slot.shown() {
            View::Known(meta) => Some(meta.as_ref().clone()),
            View::Nothing | View::Unfinished => None,
        });
        known.collect()
    }

    /// Looks at one session, until `by`.
    #[must_use]
    pub fn look(&self, id: SessionId, by: Instant) -> View {
        let dir = self.sessions.join(id.to_string());
        let Ok(found) = fs::symlink_metadata(&dir) else {
            self.entries().remove(&id);
            return View::Nothing;
        };
        if !found.is_dir() {
            return View::Nothing;
        }
        let slot = Arc::clone(self.entries().entry(id).or_insert_with(|| {
            Arc::new(Slot {
                shown: Mutex::new(View::Unfinished),
                entry: Mutex::new(Entry::new(id)),
            })
        }));
        let Some(mut entry) = lock(&slot.entry, by) else {
            return slot.shown().clone();
        };
        entry.refresh(id, &dir, &found, by);
        let view = entry.view(id);
        *slot.shown() = view.clone();
        view
    }

    /// What a session is the journal of, from its beginning alone; `None` if that does not say.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn program(&self, id: SessionId) -> Result<Option<Program>, String> {
        let path = self.sessions.join(id.to_string()).join(FILE);
        let file = match cib_foreign::open(&path) {
            Ok(file) => file,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(what(&error)),
        };
        let mut fold = Fold::new(id);
        let read = fold.read(&file, || true);
        match (fold.meta(), fold.flaw(), read) {
            (Some(meta), ..) => Ok(Some(meta.program)),
            (None, Some(flaw), _) => Err(flaw.to_owned()),
            // A whole portion without the end of its first line.
            (None, None, Ok(Progress::More)) => Err("its first line is too long".to_owned()),
            (None, None, Ok(Progress::Done)) => Ok(None),
            (None, None, Err(error)) => Err(what(&error)),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Slot>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(id: SessionId) -> Self {
        Self {
            fold: Fold::new(id),
            seen: None,
            is_done: false,
            trouble: None,
            at: Timestamp::from_millis(0),
        }
    }

    fn refresh(&mut self, id: SessionId, dir: &Path, found: &fs::Metadata, by: Instant) {
        self.at = Timestamp::from_millis(found.mtime().saturating_mul(1000));
        let path = dir.join(FILE);
        let stamp = match fs::symlink_metadata(&path) {
            Ok(file) => Some((file.dev(), file.ino(), file.len())),
            Err(_) => None,
        };
        if self.is_done && stamp.is_some() && stamp == self.seen {
            return;
        }
        let is_same = matches!((stamp, self.seen), (Some(now), Some(then)) if now.0 == then.0 && now.1 == then.1);
        if !is_same {
            self.fold = Fold::new(id);
        }
        self.seen = stamp;
        self.is_done = true;
        self.trouble = None;
        let file = match cib_foreign::open(&path) {
            Ok(file) => file,
            Err(error) => {
                self.seen = None;
                let is_young = found.modified().is_ok_and(is_recent);
                if !(error.is_absent() && is_young) {
                    self.trouble = Some(what(&error));
                }
                return;
            }
        };
        match self.fold.read(&file, || Instant::now() >= by) {
            Ok(Progress::Done) => {}
            Ok(Progress::More) => self.is_done = false,
            // It was cut, or replaced under our hands: the next look begins anew.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.fold = Fold::new(id);
                self.is_done = false;
            }
            Err(error) => self.trouble = Some(what(&error)),
        }
        if self.is_done && self.trouble.is_none() && self.fold.meta().is_none() {
            let is_young = found.modified().is_ok_and(is_recent);
            self.trouble = match self.fold.flaw() {
                Some(flaw) => Some(format!("no line of the journal is a frame: {flaw}")),
                None if is_young => None,
                None => Some("the journal is empty".to_owned()),
            };
            if is_young {
                self.seen = None;
            }
        }
    }

    fn view(&self, id: SessionId) -> View {
        if let Some(trouble) = &self.trouble {
            let known = self.fold.meta().cloned();
            let mut meta = known.unwrap_or_else(|| fold::unknown(id, self.at));
            if meta.state.is_live() {
                meta.state = State::Failed;
            }
            meta.damage = Some(trouble.clone());
            return View::Known(Box::new(meta));
        }
        if !self.is_done {
            return View::Unfinished;
        }
        match self.fold.meta() {
            Some(meta) => View::Known(Box::new(meta.clone())),
            None => View::Nothing,
        }
    }
}

/// Waits for whoever looks at the same session, until `deadline`.
fn lock(entry: &Mutex<Entry>, deadline: Instant) -> Option<MutexGuard<'_, Entry>> {
    loop {
        match entry.try_lock() {
            Ok(entry) => return Some(entry),
            Err(TryLockError::Poisoned(entry)) => return Some(entry.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
            Err(TryLockError::WouldBlock) => {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }
}

fn is_recent(time: SystemTime) -> bool {
    // A clock that stepped back makes it young.
    time.elapsed().is_ok_and(|age| age < YOUTH) || time.elapsed().is_err()
}

fn what(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A directory's name as a session id, if it is one as control makes them.
fn session_id(name: &std::ffi::OsStr) -> Option<SessionId> {
    let name = name.to_str()?;
    let id: SessionId = name.parse().ok()?;
    (id.to_string() == name).then_some(id)
}
