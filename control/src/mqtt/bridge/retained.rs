//! What is retained of the box at the broker, and what Home Assistant is shown of it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};

use cib_protocol::time::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::discovery::{SESSIONS, is_shown};
use super::super::states;
use super::Bridge;

impl<S> Bridge<'_, S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    /// That the box is there, and what Home Assistant is to know of it.
    pub(super) fn here(&mut self) {
        self.retained
            .insert(self.topics.status(), b"online".to_vec());
        if let Some(discovery) = &self.discovery {
            self.retained.insert(
                discovery.box_topic(),
                discovery.the_box().to_string().into_bytes(),
            );
        }
    }

    /// What the box is, and how many sessions it has.
    pub(super) fn info(&mut self) {
        let info = states::info(&self.desk.boot, &self.state, self.metas.values());
        self.retained
            .insert(self.topics.info(), info.to_string().into_bytes());
    }

    /// Shows the newest sessions to Home Assistant, and no others.
    pub(super) fn discover(&mut self) {
        let Some(discovery) = &self.discovery else {
            return;
        };
        let now = Timestamp::now();
        let mut newest: Vec<_> = self
            .metas
            .values()
            .filter(|meta| is_shown(meta, now))
            .collect();
        newest.sort_unstable_by_key(|meta| std::cmp::Reverse(meta.created_at));
        newest.truncate(SESSIONS);
        let mut shown = BTreeMap::new();
        for meta in newest {
            let told = discovery.session(meta).to_string().into_bytes();
            let mut hasher = DefaultHasher::new();
            hasher.write(&told);
            let hash = Some(hasher.finish());
            if self.shown.remove(&meta.id) != Some(hash) {
                self.retained.insert(discovery.session_topic(meta.id), told);
            }
            shown.insert(meta.id, hash);
        }
        for id in self.shown.keys() {
            self.retained
                .insert(discovery.session_topic(*id), Vec::new());
        }
        self.shown = shown;
    }

    /// Says everything that is retained once more.
    pub(super) fn anew(&mut self) {
        self.here();
        for meta in self.metas.values() {
            let state = states::session(meta).to_string().into_bytes();
            self.retained.insert(self.topics.state(meta.id), state);
        }
        self.info();
        self.shown.values_mut().for_each(|told| *told = None);
        self.discover();
    }
}
