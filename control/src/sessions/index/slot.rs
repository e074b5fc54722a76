//! A session's place in the index.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cib_journal::fold::spent::Spent;
use cib_protocol::session::SessionId;

use super::View;
use super::entry::Entry;

/// What was seen of a session last, and what is known of it. Nobody reads a file while holding
/// a lock: whoever does takes the entry out for as long.
#[derive(Debug)]
pub(super) struct Slot {
    id: SessionId,
    shown: Mutex<View>,
    spent: Mutex<Arc<Spent>>,
    entry: Mutex<Option<Entry>>,
    free: Condvar,
}

impl Slot {
    pub(super) fn new(id: SessionId, entry: Entry) -> Self {
        Self {
            id,
            shown: Mutex::new(View::Unfinished),
            spent: Mutex::new(entry.spent()),
            entry: Mutex::new(Some(entry)),
            free: Condvar::new(),
        }
    }

    /// What the last look at it gave.
    pub(super) fn shown(&self) -> MutexGuard<'_, View> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was used by the last look at it.
    pub(super) fn spent(&self) -> MutexGuard<'_, Arc<Spent>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the entry, waiting for whoever has it until `by`.
    pub(super) fn take(&self, by: Instant) -> Option<Held<'_>> {
        let wait = by.saturating_duration_since(Instant::now());
        let (mut entry, _) = self
            .free
            .wait_timeout_while(self.entry(), wait, |entry| entry.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let entry = entry.take()?;
        Some(Held { slot: self, entry })
    }

    fn entry(&self) -> MutexGuard<'_, Option<Entry>> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry that was taken, and is put back when this is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    slot: &'a Slot,
    pub(super) entry: Entry,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut entry = std::mem::replace(&mut self.entry, Entry::new(self.slot.id));
        if std::thread::panicking() {
            // Half of it may have been taken up.
            entry = Entry::new(self.slot.id);
        }
        *self.slot.entry() = Some(entry);
        self.slot.free.notify_one();
    }
}
