//! What control knows of every session, so that a list does not open every journal.
//!
//! An entry is a journal as far as it was taken up. Whether there is more of it is seen from
//! its size, and only then is it opened, from where it was left. Nothing here is the truth: it
//! can be thrown away at any time and is made again from the journals. So it is with the file in
//! which it outlives a restart ([`cache`]).

mod cache;
mod entry;
mod mark;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cib_base::errors::chain;
use cib_journal::fold::spent::Spent;
use cib_journal::{FILE, Fold, Progress};
use cib_protocol::session::{Program, SessionId, SessionMeta};

use cache::Cache;
use entry::Entry;
use slot::Slot;

/// How long one journal is read before the next has its turn.
const SLICE: Duration = Duration::from_millis(50);

/// What is to be seen of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// There is none, or it has not said anything yet.
    Nothing,
    /// As its journal has it. One whose journal cannot be used has only `damage`.
    Known(Arc<SessionMeta>),
    /// Its journal is so long that it is not taken up yet.
    Unfinished,
}

/// The sessions on the disk.
#[derive(Debug)]
pub struct Index {
    sessions: PathBuf,
    entries: Mutex<HashMap<SessionId, Arc<Slot>>>,
    /// Those that are still to be looked at, whoever does it.
    unknown: Mutex<VecDeque<SessionId>>,
    cache: Cache,
}

/// Somebody's pass over all sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass {
    is_begun: bool,
}

impl Index {
    /// Nothing is known yet of the sessions in a directory, but what an earlier index has left
    /// in a file.
    #[must_use]
    pub fn new(sessions: PathBuf, cache: PathBuf) -> Self {
        Self {
            sessions,
            entries: Mutex::default(),
            unknown: Mutex::default(),
            cache: Cache::new(cache),
        }
    }

    /// Where the sessions' directories are.
    #[must_use]
    pub fn sessions(&self) -> &Path {
        &self.sessions
    }

    /// Takes up sessions that were not looked at yet, at least one and until `by`, and forgets
    /// those that are gone. Returns whether all are known that were there when the pass began.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub fn scan(&self, pass: &mut Pass, by: Instant) -> io::Result<bool> {
        self.load();
        loop {
            let next = self.unknown().pop_front();
            let Some(id) = next else {
                // What others began before may not have everything in it.
                if pass.is_begun {
                    return Ok(true);
                }
                pass.is_begun = true;
                let found = self.find()?;
                self.unknown().extend(found);
                continue;
            };
            let now = Instant::now();
            let is_unfinished = self.look(id, by.min(now + SLICE)) == View::Unfinished;
            let mut unknown = self.unknown();
            if is_unfinished {
                // A long journal does not keep short ones from being known.
                unknown.push_back(id);
            }
            if Instant::now() >= by && !(pass.is_begun && unknown.is_empty()) {
                return Ok(false);
            }
        }
    }

    /// The sessions in the directory that are not known yet.
    fn find(&self) -> io::Result<Vec<SessionId>> {
        let mut there = HashSet::new();
        for entry in fs::read_dir(&self.sessions)? {
            there.extend(session_id(&entry?.file_name()));
        }
        let mut entries = self.entries();
        let before = entries.len();
        entries.retain(|id, _| there.contains(id));
        if entries.len() < before {
            self.cache.forget();
        }
        let is_known = |id: &SessionId| {
            let slot = entries.get(id);
            slot.is_some_and(|slot| matches!(*slot.shown(), View::Known(_)))
        };
        there.retain(|id| !is_known(id));
        Ok(there.into_iter().collect())
    }

    fn unknown(&self) -> MutexGuard<'_, VecDeque<SessionId>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every session that is known, as it was when it was looked at last.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Arc<SessionMeta>> {
        let slots = self.entries();
        let known = slots.values().filter_map(|slot| match &*slot.shown() {
            View::Known(meta) => Some(Arc::clone(meta)),
            View::Nothing | View::Unfinished => None,
        });
        known.collect()
    }

    /// What every session that is known used, as [`Index::snapshot`].
    #[must_use]
    pub fn spent(&self) -> Vec<(Arc<SessionMeta>, Arc<Spent>)> {
        let slots = self.entries();
        let known = slots.values().filter_map(|slot| match &*slot.shown() {
            View::Known(meta) => Some((Arc::clone(meta), Arc::clone(&slot.spent()))),
            View::Nothing | View::Unfinished => None,
        });
        known.collect()
    }

    /// Looks at one session, until `by`.
    #[must_use]
    pub fn look(&self, id: SessionId, by: Instant) -> View {
        self.load();
        let dir = self.sessions.join(id.to_string());
        let Ok(found) = fs::symlink_metadata(&dir) else {
            if self.entries().remove(&id).is_some() {
                self.cache.forget();
            }
            return View::Nothing;
        };
        if !found.is_dir() {
            return View::Nothing;
        }
        let slot = Arc::clone(
            self.entries()
                .entry(id)
                .or_insert_with(|| Arc::new(Slot::new(id, Entry::new(id)))),
        );
        let Some(mut held) = slot.take(by) else {
            return slot.shown().clone();
        };
        self.cache.note(held.entry.refresh(id, &dir, &found, by));
        let view = held.entry.view(id);
        *slot.shown() = view.clone();
        *slot.spent() = held.entry.spent();
        view
    }

    /// Whether it is time to write down what is known.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.cache.is_due()
    }

    /// Writes down what is known, if that is more than what is written down, and waits for
    /// whoever does so already.
    ///
    /// # Errors
    /// The kernel's answer; what was written before is there then.
    pub fn save(&self) -> io::Result<()> {
        self.cache.save(|writer| {
            let slots: Vec<_> = self.entries().values().cloned().collect();
            for slot in slots {
                // One that is being read at this moment is read again after a restart.
                if let Some(held) = slot.take(Instant::now()) {
                    writer.add(&held.entry);
                }
            }
        })
    }

    /// Where it is written down.
    #[must_use]
    pub fn cache(&self) -> &Path {
        self.cache.path()
    }

    /// Takes up what was written down, the first time.
    fn load(&self) {
        self.cache.load(|kept| {
            let id = kept.id();
            let slot = Slot::new(id, Entry::restored(kept));
            self.entries().entry(id).or_insert_with(|| Arc::new(slot));
        });
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
            Err(error) => return Err(chain(&error)),
        };
        let mut fold = Fold::new(id);
        let read = fold.read(&file, || true);
        match (fold.meta(), fold.flaw(), read) {
            (Some(meta), ..) => Ok(Some(meta.program)),
            (None, Some(flaw), _) => Err(flaw.to_owned()),
            // A whole portion without the end of its first line.
            (None, None, Ok(Progress::More)) => Err("its first line is too long".to_owned()),
            (None, None, Ok(Progress::Done)) => Ok(None),
            (None, None, Err(error)) => Err(chain(&error)),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Slot>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A directory's name as a session id, if it is one as control makes them.
fn session_id(name: &std::ffi::OsStr) -> Option<SessionId> {
    let name = name.to_str()?;
    let id: SessionId = name.parse().ok()?;
    (id.to_string() == name).then_some(id)
}
