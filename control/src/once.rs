//! What is asked twice is done once: a client that does not know whether its request arrived sends
//! it again with the same `client_id`, and is answered as the first time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

use crate::auth::Who;
use crate::fault::{Code, Fault};
use crate::routes::call::Reply;

/// How long it is remembered what was answered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Answers that are remembered, the oldest forgotten first.
const MOST: usize = 4096;

/// Bytes of an answer that is remembered whole.
const MOST_BYTES: usize = 64 * 1024;

/// Bytes of a client's id of a request.
const MAX_ID: usize = 64;

/// Which request it is: whose, of what, and by which of the client's ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The key of a request for `what`, which names the route and its subject.
    ///
    /// # Errors
    /// [`Code::BadValue`] if the client's id is empty, too long or no plain word.
    pub fn new(who: &Who, what: &str, client_id: &str) -> Result<Self, Fault> {
        let is_word = |byte: u8| byte.is_ascii_graphic();
        if client_id.is_empty() || client_id.len() > MAX_ID || !client_id.bytes().all(is_word) {
            let detail = format!("`client_id` has 1 to {MAX_ID} printable ASCII characters");
            return Err(Fault::new(Code::BadValue, detail));
        }
        // A label may be anything, but not end the words around it: it is quoted.
        Ok(Self(format!("{client_id} {what} {who}")))
    }

    /// An id that is always the same for the same request.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let digest = Sha256::digest(self.0.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// What was answered.
#[derive(Clone, Debug)]
enum Kept {
    Json(Vec<u8>),
    Created { location: String, json: Vec<u8> },
}

/// `None` until it is done, and for ever if nothing was done.
type Outcome = watch::Receiver<Option<Kept>>;

/// The answers of the last ten minutes.
#[derive(Debug, Default)]
pub struct Once {
    answers: Mutex<HashMap<Key, (Instant, Outcome)>>,
}

impl Once {
    /// Does what is asked, unless it was done or is being done already; then the answer is the same.
    /// What was begun is done whether or not the client waits for it. A refusal is not remembered,
    /// because nothing was done.
    ///
    /// # Errors
    /// What the work gave.
    pub async fn run<W>(self: &Arc<Self>, key: Key, work: W) -> Result<Reply, Fault>
    where
        W: Future<Output = Result<Reply, Fault>> + Send + 'static,
    {
        let mut work = Some(work);
        loop {
            let (sender, found) = {
                let mut answers = self.answers();
                match answers.get(&key) {
                    Some((_, outcome)) => (None, outcome.clone()),
                    None => {
                        make_room(&mut answers);
                        let (sender, outcome) = watch::channel(None);
                        answers.insert(key.clone(), (Instant::now(), outcome.clone()));
                        (Some(sender), outcome)
                    }
                }
            };
            if let Some(sender) = sender
                && let Some(work) = work.take()
            {
                let (once, key) = (Arc::clone(self), key.clone());
                let done = tokio::spawn(async move {
                    let reply = work.await;
                    match reply.as_ref().ok().and_then(kept) {
                        Some(kept) => drop(sender.send_replace(Some(kept))),
                        None => drop(once.answers().remove(&key)),
                    }
                    reply
                });
                return done.await.map_err(Fault::internal)?;
            }
            let mut found = found;
            if let Ok(kept) = found.wait_for(Option::is_some).await
                && let Some(kept) = kept.clone()
            {
                return Ok(match kept {
                    Kept::Json(json) => Reply::Json(json),
                    Kept::Created { location, json } => Reply::Created { location, json },
                });
            }
            // The first one was refused, so this one is the first.
            self.answers().retain(|other, (_, outcome)| {
                *other != key || outcome.has_changed().is_ok() || outcome.borrow().is_some()
            });
        }
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Key, (Instant, Outcome)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(answers: &mut HashMap<Key, (Instant, Outcome)>) {
    answers.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
    if answers.len() >= MOST {
        let oldest = answers.iter().min_by_key(|(_, (at, _))| *at);
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            answers.remove(&oldest);
        }
    }
}

fn kept(reply: &Reply) -> Option<Kept> {
    match reply {
        Reply::Json(json) if json.len() <= MOST_BYTES => Some(Kept::Json(json.clone())),
        Reply::Created { location, json } if json.len() <= MOST_BYTES => Some(Kept::Created {
            location: location.clone(),
            json: json.clone(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn key(id: &str) -> Key {
        Key::new(&Who::Master, "input x", id).unwrap()
    }

    fn text(reply: Result<Reply, Fault>) -> Result<String, Code> {
        match reply {
            Ok(Reply::Json(json)) => Ok(String::from_utf8(json).unwrap()),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.code()),
        }
    }

    #[tokio::test]
    async fn what_is_asked_again_is_answered_again_and_not_done_again() {
        let (once, done) = (Arc::new(Once::default()), Arc::new(AtomicUsize::new(0)));
        let work = |done: &Arc<AtomicUsize>| {
            let done = Arc::clone(done);
            async move {
                tokio::task::yield_now().await;
                let count = done.fetch_add(1, Ordering::Relaxed);
                Reply::json(&count)
            }
        };
        let first = once.run(key("a"), work(&done));
        let second = once.run(key("a"), work(&done));
        let (first, second) = tokio::join!(first, second);
        assert_eq!(
            (text(first), text(second)),
            (Ok("0".into()), Ok("0".into()))
        );
        assert_eq!(text(once.run(key("a"), work(&done)).await), Ok("0".into()));
        assert_eq!(text(once.run(key("b"), work(&done)).await), Ok("1".into()));
        let other = Key::new(&Who::User("master".into()), "input x", "a").unwrap();
        assert_eq!(text(once.run(other, work(&done)).await), Ok("2".into()));
    }

    #[tokio::test]
    async fn a_refusal_is_not_remembered() {
        let once = Arc::new(Once::default());
        let refused = async { Err(Fault::new(Code::Busy, "later")) };
        let waiting = once.run(key("a"), async { Reply::json(&2) });
        let (first, second) = tokio::join!(once.run(key("a"), refused), waiting);
        assert_eq!(text(first), Err(Code::Busy));
        assert_eq!(text(second), Ok("2".into()));
        assert_eq!(
            text(once.run(key("a"), async { Reply::json(&3) }).await),
            Ok("2".into())
        );
    }

    #[tokio::test]
    async fn what_was_begun_is_done_though_its_client_has_gone() {
        let once = Arc::new(Once::default());
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let first = once.run(key("a"), async move {
            gone.await.unwrap();
            Reply::json(&1)
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(1), first)
                .await
                .is_err()
        );
        go.send(()).unwrap();
        assert_eq!(
            text(once.run(key("a"), async { Reply::json(&2) }).await),
            Ok("1".into())
        );
    }

    #[tokio::test]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let once = Arc::new(Once::default());
        for n in 0..MOST + 10 {
            let reply = once
                .run(key(&n.to_string()), async { Reply::json(&1) })
                .await;
            reply.unwrap();
        }
        assert_eq!(once.answers().len(), MOST);
        for bad in ["", "a b", "\u{e9}", &"x".repeat(MAX_ID + 1)] {
            let refused = Key::new(&Who::Master, "", bad).unwrap_err();
            assert_eq!(refused.code(), Code::BadValue, "{bad}");
        }
    }
}
