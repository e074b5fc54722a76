//! The last events, by number.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use cib_protocol::api::{BoxChange, BoxEvent};
use uuid::Uuid;

use crate::auth::scope::{Scope, Scopes};

/// Events that are kept.
const MOST: usize = 1024;

/// Bytes of events that are kept.
const ROOM: usize = 1024 * 1024;

/// Whom an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whoever may read sessions.
    Sessions,
    /// Whoever may read shells.
    Shells,
    /// Whoever may read one of them: it names something and says nothing of it.
    Either,
    /// Everybody who was let in.
    Box,
}

impl Part {
    /// Whether a caller with these scopes may have it.
    #[must_use]
    pub fn is_for(self, scopes: &Scopes) -> bool {
        let (sessions, shells) = (Scope::SessionsRead, Scope::ShellsRead);
        match self {
            Self::Sessions => scopes.allows(sessions),
            Self::Shells => scopes.allows(shells),
            Self::Either => scopes.allows(sessions) || scopes.allows(shells),
            Self::Box => true,
        }
    }
}

/// The last events. Seqs count from 1 in each epoch; what was told in another is not known here.
#[derive(Debug)]
pub struct Ring {
    epoch: String,
    last: u64,
    events: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    part: Part,
    /// What it is about; of several about the same only the last counts.
    subject: String,
    event: Event,
}

/// An event as it is sent.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// Where a client goes on that has it.
    pub cursor: String,
    /// The whole of it, as a JSON value in one line.
    pub json: Bytes,
}

impl Event {
    /// An event that says something.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn new(cursor: String, change: BoxChange) -> Result<Self, serde_json::Error> {
        let name = match &change {
            BoxChange::Snapshot(_) => "snapshot",
            BoxChange::Session(_) => "session",
            BoxChange::Shell(_) => "shell",
            BoxChange::Gone(_) => "gone",
            BoxChange::Box(_) => "box",
        };
        let event = BoxEvent { cursor, change };
        let json = serde_json::to_vec(&event)?.into();
        let cursor = event.cursor;
        Ok(Self { name, cursor, json })
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            epoch: epoch(),
            last: 0,
            events: VecDeque::new(),
            bytes: 0,
        }
    }
}

fn epoch() -> String {
    Uuid::new_v4().simple().to_string()
}

impl Ring {
    /// Forgets everything: no cursor that was given out is of use from now on.
    pub fn begin_anew(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// Adds an event and returns its seq.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn push(&mut self, part: Part, change: BoxChange) -> Result<u64, serde_json::Error> {
        let subject = match &change {
            BoxChange::Session(seen) => seen.session.id.to_string(),
            BoxChange::Shell(shell) => shell.id.to_string(),
            BoxChange::Gone(gone) => gone.id.to_string(),
            BoxChange::Snapshot(_) | BoxChange::Box(_) => String::new(),
        };
        let seq = self.last + 1;
        let event = Event::new(self.cursor(seq), change)?;
        self.last = seq;
        self.bytes += event.json.len();
        self.events.push_back(Kept {
            part,
            subject,
            event,
        });
        while self.events.len() > MOST || self.bytes > ROOM {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.event.json.len();
        }
        Ok(seq)
    }

    /// Seq of the last event.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// What a client sends to go on behind an event.
    #[must_use]
    pub fn cursor(&self, seq: u64) -> String {
        format!("{}-{seq}", self.epoch)
    }

    /// The event that a cursor names, if those behind it are still here.
    #[must_use]
    pub fn find(&self, cursor: &str) -> Option<u64> {
        let (epoch, seq) = cursor.split_once('-')?;
        let seq = seq.parse().ok()?;
        (epoch == self.epoch && self.has_behind(seq)).then_some(seq)
    }

    fn has_behind(&self, seq: u64) -> bool {
        seq <= self.last && self.last - seq <= self.events.len() as u64
    }

    /// The events behind one that a caller may have, without those that a later one makes
    /// pointless; `None` if some are no longer here.
    #[must_use]
    pub fn behind(&self, seq: u64, scopes: &Scopes) -> Option<Vec<Event>> {
        if !self.has_behind(seq) {
            return None;
        }
        let count = usize::try_from(self.last - seq).unwrap_or(usize::MAX);
        let mut told = HashSet::new();
        let mut events: Vec<_> = self
            .events
            .iter()
            .rev()
            .take(count)
            .filter(|kept| kept.part.is_for(scopes) && told.insert(&kept.subject))
            .map(|kept| kept.event.clone())
            .collect();
        events.reverse();
        Some(events)
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::api::{BoxState, GoneSession};

    use super::*;

    fn gone(id: u128) -> BoxChange {
        BoxChange::Gone(GoneSession {
            id: Uuid::from_u128(id),
        })
    }

    fn count(ring: &Ring, seq: u64) -> Option<usize> {
        ring.behind(seq, &Scopes::ALL).map(|events| events.len())
    }

    #[test]
    fn a_reader_gets_what_it_missed_and_of_each_subject_only_the_last() {
        let mut ring = Ring::default();
        for id in [1, 2, 1, 3, 1] {
            ring.push(Part::Either, gone(id)).unwrap();
        }
        assert_eq!(count(&ring, 0), Some(3));
        assert_eq!(count(&ring, 4), Some(1));
        assert_eq!(count(&ring, 5), Some(0));
        let events = ring.behind(0, &Scopes::ALL).unwrap();
        assert_eq!(events[2].cursor, ring.cursor(5));
        let last: BoxEvent = serde_json::from_slice(&events[2].json).unwrap();
        assert_eq!((last.cursor, last.change), (ring.cursor(5), gone(1)));
    }

    #[test]
    fn what_is_too_long_ago_is_not_made_up() {
        let mut ring = Ring::default();
        let first = ring.cursor(0);
        assert_eq!(ring.find(&first), Some(0));
        for id in 0..=MOST as u128 {
            ring.push(Part::Either, gone(id)).unwrap();
        }
        assert_eq!(ring.find(&first), None);
        assert_eq!(count(&ring, 0), None);
        assert_eq!(count(&ring, 1), Some(MOST));
        // Neither what was never told, nor what another run of the box told.
        assert_eq!(ring.find(&ring.cursor(9999)), None);
        let old = ring.cursor(ring.last());
        ring.begin_anew();
        assert_eq!(ring.find(&old), None);
        for cursor in ["", "-", "x-1", "1", &format!("{}-x", ring.epoch)] {
            assert_eq!(ring.find(cursor), None, "{cursor}");
        }
    }

    #[test]
    fn large_events_do_not_pile_up() {
        let mut ring = Ring::default();
        let state = BoxState {
            warnings: vec!["x".repeat(ROOM / 4)],
            ..BoxState::default()
        };
        for _ in 0..20 {
            ring.push(Part::Box, BoxChange::Box(Box::new(state.clone())))
                .unwrap();
        }
        assert!(ring.bytes <= ROOM && ring.events.len() == 3);
    }
}
