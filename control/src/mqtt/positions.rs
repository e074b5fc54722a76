//! How far the broker has each session's journal.
//!
//! The file is `<data>/control/mqtt/positions.json`, written once a second at most. What it lacks after
//! a crash comes twice, and the reader knows it by its seq.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use cib_protocol::session::SessionId;
use serde::{Deserialize, Serialize};

use crate::auth::store::{File, OpenError};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Stored {
    /// Which broker and prefix this is of: another one has nothing yet.
    broker: String,
    sessions: BTreeMap<SessionId, u64>,
}

/// One session's.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Seq of the last frame that the broker has, with everything before it.
    acknowledged: u64,
    /// Frames on their way, and whether the broker has them.
    flying: VecDeque<(u64, bool)>,
}

impl Position {
    /// Behind a frame, with nothing on its way.
    pub(super) fn at(acknowledged: u64) -> Self {
        Self {
            acknowledged,
            flying: VecDeque::new(),
        }
    }

    /// Seq of the last frame that the broker has, with everything before it.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// A frame is on its way.
    pub(super) fn sent(&mut self, seq: u64) {
        self.flying.push_back((seq, false));
    }

    /// The broker has a frame; whether it has all up to some frame by that.
    pub(super) fn acknowledge(&mut self, seq: u64) -> bool {
        if let Some(frame) = self.flying.iter_mut().find(|frame| frame.0 == seq) {
            frame.1 = true;
        }
        let mut is_changed = false;
        while let Some((seq, true)) = self.flying.front().copied() {
            self.flying.pop_front();
            self.acknowledged = seq;
            is_changed = true;
        }
        is_changed
    }

    /// Nothing is on its way any more.
    pub(super) fn ground(&mut self) {
        self.flying.clear();
    }
}

/// How far the broker has each session.
#[derive(Debug)]
pub(super) struct Positions {
    file: File,
    broker: String,
    sessions: BTreeMap<SessionId, Position>,
    /// Whether nothing is known of this broker yet.
    is_new: bool,
    is_changed: bool,
}

impl Positions {
    pub(super) fn open(folder: &Path, broker: String) -> Result<Self, OpenError> {
        let parse = |bytes: &[u8]| Ok(serde_json::from_slice::<Stored>(bytes)?);
        let (file, stored) = File::open(folder, "positions.json", parse)?;
        let stored = stored.filter(|stored| stored.broker == broker);
        let is_new = stored.is_none();
        let sessions = stored.unwrap_or_default().sessions.into_iter();
        let position = |(id, acknowledged)| (id, Position::at(acknowledged));
        Ok(Self {
            file,
            broker,
            sessions: sessions.map(position).collect(),
            is_new,
            is_changed: false,
        })
    }

    /// Whether nothing is known of this broker yet. It is asked once.
    pub(super) fn take_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    pub(super) fn get(&self, session: SessionId) -> Option<u64> {
        let position = self.sessions.get(&session);
        position.map(|position| position.acknowledged)
    }

    pub(super) fn known(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    /// Begins with a session, behind a frame, unless it is known.
    pub(super) fn begin(&mut self, session: SessionId, acknowledged: u64) {
        self.sessions.entry(session).or_insert_with(|| {
            self.is_changed = true;
            Position::at(acknowledged)
        });
    }

    /// A frame is on its way.
    pub(super) fn sent(&mut self, session: SessionId, seq: u64) {
        self.sessions.entry(session).or_default().sent(seq);
    }

    /// The broker has a frame.
    pub(super) fn acknowledged(&mut self, session: SessionId, seq: u64) {
        if let Some(position) = self.sessions.get_mut(&session) {
            self.is_changed |= position.acknowledge(seq);
        }
    }

    /// Nothing is on its way any more.
    pub(super) fn grounded(&mut self) {
        self.sessions.values_mut().for_each(Position::ground);
    }

    /// A session is no more.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.is_changed |= self.sessions.remove(&session).is_some();
    }

    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    pub(super) async fn save(&mut self) {
        let of = |(id, position): (&SessionId, &Position)| (*id, position.acknowledged);
        let stored = Stored {
            broker: self.broker.clone(),
            sessions: self.sessions.iter().map(of).collect(),
        };
        self.is_changed = false;
        if let Err(error) = self.file.save(move || stored).await {
            self.is_changed = true;
            tracing::warn!(%error, "what the MQTT broker has is not written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: u8) -> SessionId {
        format!("00000000-0000-4000-8000-0000000000{n:02x}")
            .parse()
            .unwrap()
    }

    #[tokio::test]
    async fn a_frame_counts_when_the_broker_has_all_before_it_and_another_broker_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let open = |broker: &str| Positions::open(folder.path(), broker.to_owned()).unwrap();
        let mut positions = open("a");
        assert!(positions.take_new() && !positions.take_new());
        positions.begin(session(1), 4);
        for seq in [5, 7, 8] {
            positions.sent(session(1), seq);
        }
        positions.acknowledged(session(1), 7);
        assert_eq!(positions.get(session(1)), Some(4));
        positions.acknowledged(session(1), 5);
        assert_eq!(positions.get(session(1)), Some(7));
        assert!(positions.is_changed());
        positions.save().await;
        let mut again = open("a");
        assert!(!again.take_new());
        assert_eq!(again.get(session(1)), Some(7));
        again.forget(session(1));
        assert!(again.known().is_empty());
        assert!(open("b").take_new());
    }
}
