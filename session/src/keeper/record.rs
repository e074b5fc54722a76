//! What a session leaves on disk: its journal, and what follows from it.

use cib_protocol::frame::{Data, Meta, Status};
use cib_protocol::limits::Resources;
use cib_protocol::session::SessionMeta;
use cib_protocol::time::Timestamp;

use super::Clock;
use super::authors::Authors;
use crate::journal::Journal;
use crate::meta;

/// Milliseconds between attempts to write a journal that could not be written.
const RETRY_MS: u64 = 500;

/// A journal that cannot be written at the moment.
#[derive(Debug)]
struct Blocked {
    since_ms: u64,
    retry_at: u64,
    why: String,
}

/// The journal, and what the session is, which is folded from what is appended.
#[derive(Debug)]
pub(super) struct Record {
    journal: Journal,
    /// What the session is.
    pub(super) meta: SessionMeta,
    /// Who asked for what is to be appended.
    pub(super) authors: Authors,
    clock: Clock,
    blocked: Option<Blocked>,
}

impl Record {
    pub(super) fn new(journal: Journal, meta: SessionMeta, clock: Clock) -> Self {
        Self {
            journal,
            meta,
            authors: Authors::default(),
            clock,
            blocked: None,
        }
    }

    /// Appends frames. They are on disk after the next [`Record::flush`].
    pub(super) fn append(&mut self, frames: impl IntoIterator<Item = Data>) {
        for mut data in frames {
            if let Data::Stop(stop) = &mut data {
                // Whoever has the journal alone is to know it as well.
                stop.resources = Some(Resources {
                    run_ms: Some(self.clock.run_ms()),
                    ..self.meta.resources
                });
                if stop.last {
                    stop.exit_code = self.meta.exit_code;
                    stop.ended_in = self.meta.ended_in;
                }
            }
            self.authors.sign(&mut data);
            let ts = Timestamp::now();
            let seq = self.journal.push(ts, &data);
            meta::apply(&mut self.meta, seq, ts, &data);
        }
    }

    /// Changes what is known of the session; the next `stop` tells it.
    pub(super) fn amend(&mut self, change: impl FnOnce(&mut SessionMeta)) {
        change(&mut self.meta);
    }

    /// Why nothing can be written, if that is so. Until it can, whoever produces frames has
    /// to wait, so that none is lost.
    pub(super) fn blocked(&self) -> Option<&str> {
        self.blocked.as_ref().map(|blocked| blocked.why.as_str())
    }

    /// When to flush again although nothing was appended.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.blocked.as_ref().map(|blocked| blocked.retry_at)
    }

    /// Writes what was appended.
    pub(super) fn flush(&mut self, now_ms: u64) {
        if let Some(blocked) = &self.blocked
            && now_ms < blocked.retry_at
        {
            return;
        }
        match self.journal.flush() {
            Ok(()) => self.unblock(now_ms),
            Err(error) => self.block(&error, now_ms),
        }
    }

    /// Puts everything onto the disk.
    pub(super) fn sync(&mut self) {
        if let Err(error) = self.journal.sync() {
            tracing::warn!("the journal may not be on the disk yet: {error}");
        }
    }

    /// Whether frames wait that could not be written.
    pub(super) fn is_behind(&self) -> bool {
        self.journal.pending() > 0
    }

    fn block(&mut self, error: &std::io::Error, now_ms: u64) {
        let why = format!("the journal cannot be written: {error}");
        let since_ms = match &self.blocked {
            Some(blocked) => blocked.since_ms,
            None => {
                tracing::warn!("{why}; Claude waits until it can");
                now_ms
            }
        };
        self.meta.reason = Some(why.clone());
        self.blocked = Some(Blocked {
            since_ms,
            retry_at: now_ms + RETRY_MS,
            why,
        });
    }

    fn unblock(&mut self, now_ms: u64) {
        let Some(blocked) = self.blocked.take() else {
            return;
        };
        tracing::info!("the journal can be written again");
        self.amend(|meta| meta.reason = None);
        let waited_ms = now_ms.saturating_sub(blocked.since_ms);
        let note = format!("{} for {waited_ms} ms; no frame was lost", blocked.why);
        self.append([Data::Meta(Meta {
            note: Some(note),
            ..Meta::default()
        })]);
        if !self.meta.state.is_live() {
            // The last frame of a session that has ended says so.
            self.append([Data::Status(Status {
                state: self.meta.state,
                elapsed_ms: 0,
            })]);
        }
        if let Err(error) = self.journal.flush() {
            self.block(&error, now_ms);
        }
    }
}
