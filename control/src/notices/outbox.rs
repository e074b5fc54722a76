//! The outbox: what is still to be told, and what was.
//!
//! A delivery is a file of its own, written before anybody is told and replaced after each try. So
//! nothing is lost whenever control dies: at worst something is told once more, with the same id.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cib_protocol::api::{Delivery, DeliveryAttempt, DeliveryState, Notice};
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::work;

/// Deliveries that are kept when they are over.
const MOST: usize = 500;

/// Deliveries that are kept in all. Then the oldest goes, over or not: somebody makes them faster than
/// they can be told.
const MOST_IN_ALL: usize = 2000;

/// Tries that are remembered.
const MOST_ATTEMPTS: usize = 20;

/// Seconds from one try to the next, as the specification of webhooks suggests it.
const PAUSES: [u64; 9] = [
    5,
    5 * 60,
    30 * 60,
    2 * 3600,
    5 * 3600,
    10 * 3600,
    14 * 3600,
    20 * 3600,
    24 * 3600,
];

/// Milliseconds of a pause, whatever somebody asks for.
const MAX_PAUSE: u64 = 7 * 24 * 3_600_000;

/// Whom a notice is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum To {
    /// A channel, by its id.
    Channel(String),
    /// A browser, by the id of its subscription.
    Push(String),
    /// The webhook of the task that the notice is about.
    Task,
}

impl To {
    fn shown(&self) -> String {
        match self {
            Self::Channel(id) => id.clone(),
            Self::Push(id) => format!("push {id}"),
            Self::Task => "task".to_owned(),
        }
    }
}

/// A notice on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) notice: Notice,
    pub(super) to: To,
    pub(super) state: DeliveryState,
    /// Tries since it was made or asked for again.
    pub(super) tries: usize,
    pub(super) attempts: Vec<DeliveryAttempt>,
    pub(super) next_at: Option<Timestamp>,
}

impl Stored {
    pub(super) fn new(notice: Notice, to: To) -> Self {
        let digest = Sha256::digest(format!("{} {}", notice.id, to.shown()));
        Self {
            id: format!("msg_{}", cib_base::hex::encode(&digest[..12])),
            next_at: Some(notice.at),
            notice,
            to,
            state: DeliveryState::Pending,
            tries: 0,
            attempts: Vec::new(),
        }
    }

    pub(super) fn shown(&self) -> Delivery {
        Delivery {
            id: self.id.clone(),
            notice: self.notice.clone(),
            channel: self.to.shown(),
            state: self.state,
            attempts: self.attempts.clone(),
            next_at: self.next_at,
        }
    }

    /// Takes up what came of a try.
    pub(super) fn tried(&mut self, now: Timestamp, outcome: Outcome, jitter: f64) {
        self.tries += 1;
        let (words, state) = match outcome {
            Outcome::Delivered => ("delivered".to_owned(), DeliveryState::Delivered),
            Outcome::Failed(why) => (why, DeliveryState::Failed),
            Outcome::Dropped(why) => (why, DeliveryState::Dropped),
            Outcome::Later(why, least) => match PAUSES.get(self.tries - 1) {
                Some(pause) => {
                    let at = now.as_millis() + pause_of(*pause, least, jitter);
                    self.next_at = Some(Timestamp::from_millis(at));
                    (why, DeliveryState::Pending)
                }
                None => (why, DeliveryState::Failed),
            },
        };
        if state != DeliveryState::Pending {
            self.next_at = None;
        }
        self.state = state;
        self.attempts.push(DeliveryAttempt {
            at: now,
            outcome: words,
        });
        let surplus = self.attempts.len().saturating_sub(MOST_ATTEMPTS);
        self.attempts.drain(..surplus);
    }
}

/// A pause in milliseconds, not shorter than whoever is told wants it, and up to a tenth longer, so
/// that not all come back at once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "days in milliseconds are far from where either loses anything"
)]
fn pause_of(seconds: u64, least: u64, jitter: f64) -> i64 {
    let millis = seconds.max(least).saturating_mul(1000).min(MAX_PAUSE);
    (millis as f64 * (1.0 + jitter / 10.0)) as i64
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was taken.
    Delivered,
    /// It may be taken later, after so many seconds at least.
    Later(String, u64),
    /// It will not be.
    Failed(String),
    /// It is not needed any more.
    Dropped(String),
}

/// The deliveries of the box.
#[derive(Debug)]
pub(super) struct Outbox {
    folder: PathBuf,
    deliveries: Mutex<BTreeMap<String, Stored>>,
    writing: tokio::sync::Mutex<()>,
    /// Told when there is something new to do.
    pub(super) news: Notify,
}

impl Outbox {
    /// What is in a folder, which need not be there yet. What cannot be read is no reason to have no
    /// API.
    pub(super) fn open(folder: PathBuf) -> Self {
        let deliveries = load(&folder).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::error!(folder = %folder.display(), %error, "the outbox cannot be read");
            }
            BTreeMap::new()
        });
        Self {
            folder,
            deliveries: Mutex::new(deliveries),
            writing: tokio::sync::Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Whether a delivery is known.
    pub(super) fn has(&self, id: &str) -> bool {
        self.held().contains_key(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<Stored> {
        self.held().get(id).cloned()
    }

    /// Those that wait, with when each is due.
    pub(super) fn pending(&self) -> Vec<(Timestamp, String)> {
        let held = self.held();
        let mut all: Vec<_> = held
            .values()
            .filter(|one| one.state == DeliveryState::Pending)
            .map(|one| (one.next_at.unwrap_or(one.notice.at), one.id.clone()))
            .collect();
        all.sort_unstable();
        all
    }

    /// The newest first.
    pub(super) fn all(&self) -> Vec<Stored> {
        let mut all: Vec<_> = self.held().values().cloned().collect();
        all.sort_by(|one, other| (other.notice.at, &other.id).cmp(&(one.notice.at, &one.id)));
        all
    }

    /// Puts a delivery on the disk, and has it tried.
    pub(super) async fn put(&self, delivery: Stored) -> io::Result<()> {
        // Two that are put at once would be in each other's way.
        let _writing = self.writing.lock().await;
        let folder = self.folder.clone();
        let name = folder.join(format!("{}.json", delivery.id));
        let text = serde_json::to_vec(&delivery)?;
        let write = move || {
            use std::os::unix::fs::DirBuilderExt as _;
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)?;
            cib_base::files::replace(&name, &text)
        };
        work::run(write).await.map_err(io::Error::other)?;
        let old = {
            let mut held = self.held();
            held.insert(delivery.id.clone(), delivery);
            surplus(&mut held)
        };
        let folder = self.folder.clone();
        let clear = move || {
            for id in old {
                cib_base::files::remove(&folder.join(format!("{id}.json")))?;
            }
            Ok::<_, io::Error>(())
        };
        work::run(clear).await.map_err(io::Error::other)?;
        self.news.notify_one();
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out what is too much, the oldest first: of what is over, and of all.
fn surplus(held: &mut BTreeMap<String, Stored>) -> Vec<String> {
    let mut over: Vec<_> = held
        .values()
        .map(|one| {
            let is_pending = one.state == DeliveryState::Pending;
            (is_pending, one.notice.at, one.id.clone())
        })
        .collect();
    over.sort_unstable();
    let is_over = over.iter().filter(|(is_pending, ..)| !is_pending).count();
    let most = is_over
        .saturating_sub(MOST)
        .max(over.len().saturating_sub(MOST_IN_ALL));
    let old: Vec<_> = over.into_iter().take(most).map(|(.., id)| id).collect();
    for id in &old {
        held.remove(id);
    }
    old
}

fn load(folder: &Path) -> io::Result<BTreeMap<String, Stored>> {
    let mut all = BTreeMap::new();
    for found in fs::read_dir(folder)? {
        let path = found?.path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let read = cib_foreign::own::read(&path)
            .and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).map_err(io::Error::other));
        match read {
            Ok(delivery) => drop(all.insert(delivery.id.clone(), delivery)),
            Err(error) => {
                let path = path.display();
                tracing::error!(%path, %error, "a delivery cannot be read");
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::bridges::example;
    use super::*;

    fn delivery(n: usize) -> Stored {
        let mut notice = example();
        notice.id = format!("{n:016x}");
        notice.at = Timestamp::from_millis(i64::try_from(n).unwrap());
        Stored::new(notice, To::Channel("c".to_owned()))
    }

    #[test]
    fn a_delivery_has_one_id_however_often_it_is_made_and_another_for_each_channel() {
        let one = delivery(1);
        assert_eq!(one.id, delivery(1).id);
        assert_ne!(one.id, delivery(2).id);
        assert_ne!(one.id, Stored::new(one.notice.clone(), To::Task).id);
    }

    #[test]
    fn it_is_tried_ten_times_at_growing_pauses_and_not_again() {
        let mut one = delivery(0);
        let mut now = Timestamp::from_millis(0);
        let mut pauses = Vec::new();
        for jitter in [0.0, 0.999].into_iter().cycle() {
            one.tried(now, Outcome::Later("down".to_owned(), 0), jitter);
            let Some(next) = one.next_at else { break };
            pauses.push((next.as_millis() - now.as_millis()) / 1000);
            now = next;
        }
        let expected = [5, 329, 1800, 7919, 18_000, 39_596, 50_400, 79_192, 86_400];
        assert_eq!(pauses, expected);
        assert_eq!((one.state, one.tries), (DeliveryState::Failed, 10));
    }

    #[test]
    fn who_asks_for_a_pause_gets_it() {
        let mut one = delivery(0);
        one.tried(
            Timestamp::from_millis(0),
            Outcome::Later("busy".to_owned(), 60),
            0.0,
        );
        assert_eq!(one.next_at, Some(Timestamp::from_millis(60_000)));
    }

    #[tokio::test]
    async fn what_is_in_the_outbox_outlives_control_and_what_is_over_is_forgotten_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path().join("outbox"));
        outbox.put(delivery(1)).await.unwrap();
        for n in 2..MOST + 10 {
            let mut one = delivery(n);
            one.tried(one.notice.at, Outcome::Delivered, 0.0);
            outbox.put(one).await.unwrap();
        }
        let outbox = Outbox::open(dir.path().join("outbox"));
        assert_eq!(outbox.all().len(), MOST + 1);
        assert_eq!(
            outbox.pending(),
            [(Timestamp::from_millis(1), delivery(1).id)]
        );
        assert!(!outbox.has(&delivery(2).id) && outbox.has(&delivery(MOST + 9).id));
    }
}
