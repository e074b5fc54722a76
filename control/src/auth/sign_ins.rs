//! Sign-ins: a cookie and a proof, which open nothing without each other.
//!
//! A browser sends a cookie by itself, also to whatever listens on another port of the host; the
//! proof is what only a page of our own origin has. The file is `<data>/control/sign-ins.json` and
//! holds digests alone. A sign-in hangs on what it was made with: an account, a device token, or
//! the master token as it is now.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cib_base::hex;
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::digest::Digest;
use super::store::{Damage, File, OpenError};

/// How long a sign-in lasts that is not used.
pub const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long it lasts whatever happens.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long a cookie is used before it is replaced.
pub const ROTATION: Duration = Duration::from_secs(24 * 3600);

/// How long a cookie still opens after its successor was used: requests cross each other.
const OVERLAP: Duration = Duration::from_secs(60);

/// Sign-ins of one account or token; the one that was unused longest goes for another.
const MOST_OF_ONE: usize = 32;

/// Cookies of the right name that are looked at in one request. Another port of the host can set
/// some of its own, which must not hide the right one: these are more than fit into the headers
/// of a request.
const MOST_COOKIES: usize = 256;

/// Bytes of a cookie and of a proof.
const SECRET: usize = 32;

/// What a sign-in hangs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// An account's name.
    Account(String),
    /// A device token's id.
    Token(String),
    /// The digest of the master token, which is another at each start of the box.
    Master(String),
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Tells the cookies of two boxes of one host apart.
    id: String,
    sign_ins: Vec<StoredSignIn>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredSignIn {
    id: String,
    subject: Subject,
    proof: String,
    cookie: String,
    /// A cookie that was sent to take the other's place, and was not used yet.
    #[serde(default)]
    next: Option<String>,
    created_at: Timestamp,
    rotated_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    address: String,
    device: String,
}

#[derive(Debug)]
struct SignIn {
    stored: StoredSignIn,
    proof: Digest,
    cookie: Digest,
    next: Option<(Digest, Timestamp)>,
    /// The cookie before this one, for as long as it still opens.
    last: Option<(Digest, Timestamp)>,
    /// Told when it is over. Dropping it tells the same.
    over: watch::Sender<bool>,
}

/// A sign-in that was recognised.
#[derive(Debug)]
pub struct Known {
    /// Its id.
    pub id: String,
    /// What it hangs on.
    pub subject: Subject,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// Told when it is over.
    pub over: watch::Receiver<bool>,
}

/// A sign-in as its owner sees it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// What it hangs on.
    pub subject: Subject,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// Where it was made from.
    pub address: String,
    /// What its browser calls itself.
    pub device: String,
}

/// Both halves of a new sign-in, which are nowhere kept.
#[derive(Debug)]
pub struct Made {
    /// The cookie's value.
    pub cookie: String,
    /// The proof.
    pub proof: String,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
}

/// Why a cookie was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random(#[source] getrandom::Error),
    /// The file could not be written.
    #[error("cannot write the file of sign-ins")]
    Store(#[source] io::Error),
}

/// The sign-ins of the box.
#[derive(Debug)]
pub struct SignIns {
    file: File,
    id: String,
    sign_ins: Mutex<Vec<SignIn>>,
}

impl SignIn {
    fn is_over(&self, now: Timestamp) -> bool {
        let stored = &self.stored;
        stored.expires_at <= now || after(stored.last_used_at, IDLE) <= now
    }

    /// Whether a cookie is its own. A successor that is used for the first time takes the
    /// place.
    fn accepts(&mut self, cookie: &Digest, now: Timestamp) -> bool {
        if self.cookie.matches(cookie) {
            return true;
        }
        if let Some((next, _)) = self.next
            && next.matches(cookie)
        {
            self.last = Some((self.cookie, after(now, OVERLAP)));
            self.cookie = next;
            self.next = None;
            self.stored.cookie = next.to_string();
            self.stored.next = None;
            self.stored.rotated_at = now;
            return true;
        }
        self.last
            .is_some_and(|(last, until)| now < until && last.matches(cookie))
    }

    fn shown(&self) -> Shown {
        let stored = self.stored.clone();
        Shown {
            id: stored.id,
            subject: stored.subject,
            created_at: stored.created_at,
            last_used_at: stored.last_used_at,
            expires_at: stored.expires_at,
            address: stored.address,
            device: stored.device,
        }
    }
}

impl SignIns {
    /// Opens the store in a directory, which is made if it is missing.
    ///
    /// # Errors
    /// If the directory cannot be made or the file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let (file, found) = File::open(dir, "sign-ins.json", parse)?;
        let (id, sign_ins) = match found {
            Some(found) => found,
            None => (random(4).map_err(|error| unmade(dir, error))?, Vec::new()),
        };
        Ok(Self {
            file,
            id,
            sign_ins: Mutex::new(sign_ins),
        })
    }

    /// The name of the cookie. Over TLS it is one that no other host and no page without TLS can
    /// set.
    #[must_use]
    pub fn cookie(&self, is_secure: bool) -> String {
        let prefix = if is_secure { "__Host-" } else { "" };
        format!("{prefix}cib-{}", self.id)
    }

    /// The sign-in of a proof and one of these cookies, if both are the same one's and it is not
    /// over. All are compared, so that the time taken says nothing about which came close.
    pub fn recognise<'c>(
        &self,
        cookies: impl Iterator<Item = &'c str>,
        proof: &str,
        now: Timestamp,
    ) -> Option<Known> {
        let cookies: Vec<_> = cookies.take(MOST_COOKIES).map(Digest::of).collect();
        let proof = Digest::of(proof);
        let mut sign_ins = self.sign_ins();
        let mut found = None;
        for (index, sign_in) in sign_ins.iter().enumerate() {
            if sign_in.proof.matches(&proof) {
                found = Some(index);
            }
        }
        let sign_in = &mut sign_ins[found?];
        let is_its = cookies.iter().any(|cookie| sign_in.accepts(cookie, now));
        if !is_its || sign_in.is_over(now) {
            return None;
        }
        sign_in.stored.last_used_at = now;
        Some(Known {
            id: sign_in.stored.id.clone(),
            subject: sign_in.stored.subject.clone(),
            expires_at: sign_in.stored.expires_at,
            over: sign_in.over.subscribe(),
        })
    }

    /// Makes a sign-in, which ends with `until` at the latest.
    ///
    /// # Errors
    /// If there are no random bytes; no sign-in exists then.
    pub async fn make(
        &self,
        subject: Subject,
        until: Option<Timestamp>,
        address: String,
        device: String,
    ) -> Result<Made, getrandom::Error> {
        let now = Timestamp::now();
        let longest = after(now, LONGEST);
        let expires_at = until.map_or(longest, |until| until.min(longest));
        let (id, cookie, proof) = (random(8)?, random(SECRET)?, random(SECRET)?);
        let stored = StoredSignIn {
            id,
            subject: subject.clone(),
            proof: Digest::of(&proof).to_string(),
            cookie: Digest::of(&cookie).to_string(),
            next: None,
            created_at: now,
            rotated_at: now,
            last_used_at: now,
            expires_at,
            address,
            device,
        };
        let sign_in = SignIn {
            proof: Digest::of(&proof),
            cookie: Digest::of(&cookie),
            next: None,
            last: None,
            over: watch::Sender::new(false),
            stored,
        };
        {
            let mut sign_ins = self.sign_ins();
            sign_ins.retain(|one| !one.is_over(now));
            let of_one = |one: &SignIn| one.stored.subject == subject;
            if sign_ins.iter().filter(|one| of_one(one)).count() >= MOST_OF_ONE
                && let Some(oldest) = sign_ins
                    .iter()
                    .enumerate()
                    .filter(|(_, one)| of_one(one))
                    .min_by_key(|(_, one)| one.stored.last_used_at)
                    .map(|(index, _)| index)
            {
                sign_ins.remove(oldest);
            }
            sign_ins.push(sign_in);
        }
        // A disk that is full keeps nobody out, who may have come to make room on it.
        if let Err(error) = self.save().await {
            tracing::warn!(%error, "a sign-in lasts until control ends, and no longer");
        }
        Ok(Made {
            cookie,
            proof,
            expires_at,
        })
    }

    /// A successor for a cookie that is old, with when the sign-in ends; nothing for one that is
    /// not, or whose successor is on its way. It opens already, and the old one until then.
    ///
    /// # Errors
    /// If there are no random bytes, or the file could not be written; the cookie stays then.
    pub async fn rotate(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<(String, Timestamp)>, RotateError> {
        let fresh = {
            let mut sign_ins = self.sign_ins();
            let Some(sign_in) = sign_ins.iter_mut().find(|one| one.stored.id == id) else {
                return Ok(None);
            };
            let is_due = after(sign_in.stored.rotated_at, ROTATION) <= now;
            // Of two that cross each other the browser might keep the wrong one.
            let is_sent = sign_in
                .next
                .is_some_and(|(_, sent)| now < after(sent, OVERLAP));
            if !is_due || is_sent {
                return Ok(None);
            }
            let cookie = random(SECRET).map_err(RotateError::Random)?;
            let digest = Digest::of(&cookie);
            sign_in.next = Some((digest, now));
            sign_in.stored.next = Some(digest.to_string());
            (cookie, sign_in.stored.expires_at)
        };
        self.save().await.map_err(RotateError::Store)?;
        Ok(Some(fresh))
    }

    /// Those of a subject, or all; the latest used first.
    #[must_use]
    pub fn list(&self, subject: Option<&Subject>, now: Timestamp) -> Vec<Shown> {
        let mut shown: Vec<_> = self
            .sign_ins()
            .iter()
            .filter(|one| !one.is_over(now))
            .filter(|one| subject.is_none_or(|subject| one.stored.subject == *subject))
            .map(SignIn::shown)
            .collect();
        shown.sort_by_key(|one| std::cmp::Reverse(one.last_used_at));
        shown
    }

    /// Whether one of this id is not over.
    #[must_use]
    pub fn lasts(&self, id: &str, now: Timestamp) -> bool {
        let sign_ins = self.sign_ins();
        let mut all = sign_ins.iter();
        all.any(|one| one.stored.id == id && !one.is_over(now))
    }

    /// Ends those that a test picks, with their streams; how many there were.
    ///
    /// # Errors
    /// If the file could not be written: after a restart they are there again.
    pub async fn end(&self, is_meant: impl Fn(&str, &Subject) -> bool) -> io::Result<usize> {
        let ended: Vec<_> = {
            let mut sign_ins = self.sign_ins();
            let is_meant = |one: &mut SignIn| is_meant(&one.stored.id, &one.stored.subject);
            sign_ins.extract_if(.., is_meant).collect()
        };
        for one in &ended {
            one.over.send_replace(true);
        }
        if !ended.is_empty() {
            self.save().await?;
        }
        Ok(ended.len())
    }

    /// Writes the list as it is now. Called after every change, and at the end for the sake of
    /// when each was last used, which alone is not worth a write.
    ///
    /// # Errors
    /// The kernel's answer; the file is then the old one.
    pub async fn save(&self) -> io::Result<()> {
        let stored = || Stored {
            id: self.id.clone(),
            sign_ins: self
                .sign_ins()
                .iter()
                .map(|one| one.stored.clone())
                .collect(),
        };
        self.file.save(stored).await
    }

    fn sign_ins(&self) -> MutexGuard<'_, Vec<SignIn>> {
        self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn after(time: Timestamp, span: Duration) -> Timestamp {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(time.as_millis().saturating_add(millis))
}

fn random(bytes: usize) -> Result<String, getrandom::Error> {
    let mut secret = vec![0; bytes];
    getrandom::fill(&mut secret)?;
    Ok(hex::encode(&secret))
}

fn unmade(dir: &Path, error: getrandom::Error) -> OpenError {
    OpenError::Directory {
        path: dir.into(),
        source: io::Error::other(error),
    }
}

fn parse(bytes: &[u8]) -> Result<(String, Vec<SignIn>), Damage> {
    let stored: Stored = serde_json::from_slice(bytes)?;
    if stored.id.is_empty() || !stored.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("`id` is not made of hexadecimal digits".into());
    }
    let sign_ins = stored.sign_ins.into_iter().map(|stored| {
        let next = stored.next.as_deref().map(str::parse).transpose()?;
        Ok(SignIn {
            proof: stored.proof.parse()?,
            cookie: stored.cookie.parse()?,
            next: next.map(|digest| (digest, stored.rotated_at)),
            last: None,
            over: watch::Sender::new(false),
            stored,
        })
    });
    let sign_ins: Result<_, Damage> = sign_ins.collect();
    Ok((stored.id, sign_ins?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, SignIns) {
        let dir = tempfile::tempdir().unwrap();
        let store = SignIns::open(dir.path()).unwrap();
        (dir, store)
    }

    async fn made(store: &SignIns, until: Option<Timestamp>) -> Made {
        let ann = Subject::Account("ann".to_owned());
        let made = store.make(ann, until, "192.0.2.1".to_owned(), String::new());
        made.await.unwrap()
    }

    fn opens(store: &SignIns, cookie: &str, proof: &str, now: Timestamp) -> Option<String> {
        let known = store.recognise([cookie].into_iter(), proof, now);
        known.map(|known| known.id)
    }

    #[tokio::test]
    async fn neither_half_opens_without_the_other_and_those_of_two_do_not_go_together() {
        let (_dir, store) = store();
        let (one, two) = (made(&store, None).await, made(&store, None).await);
        let now = Timestamp::now();
        assert!(opens(&store, &one.cookie, &one.proof, now).is_some());
        for (cookie, proof) in [
            (&*one.cookie, ""),
            ("", &*one.proof),
            (&*one.cookie, &*two.proof),
            (&*one.proof, &*one.cookie),
        ] {
            assert_eq!(opens(&store, cookie, proof, now), None);
        }
        let among_others = ["x", &*one.cookie, "y"].into_iter();
        assert!(store.recognise(among_others, &one.proof, now).is_some());
    }

    #[tokio::test]
    async fn it_ends_after_a_week_unused_and_after_a_month_in_any_case() {
        let (_dir, store) = store();
        let made = made(&store, None).await;
        let mut now = Timestamp::now();
        for _ in 0..4 {
            now = after(now, IDLE - Duration::from_secs(60));
            assert!(opens(&store, &made.cookie, &made.proof, now).is_some());
        }
        let late = after(now, Duration::from_secs(3 * 24 * 3600));
        assert_eq!(opens(&store, &made.cookie, &made.proof, late), None);
        let unused = self::made(&store, None).await;
        let week = after(Timestamp::now(), IDLE);
        assert_eq!(opens(&store, &unused.cookie, &unused.proof, week), None);
    }

    #[tokio::test]
    async fn it_lasts_no_longer_than_what_it_was_made_with() {
        let (_dir, store) = store();
        let soon = after(Timestamp::now(), Duration::from_secs(5));
        let made = made(&store, Some(soon)).await;
        assert_eq!(made.expires_at, soon);
        assert_eq!(opens(&store, &made.cookie, &made.proof, soon), None);
    }

    #[tokio::test]
    async fn a_cookie_is_replaced_after_a_day_and_opens_until_its_successor_was_used() {
        let (_dir, store) = store();
        let made = made(&store, None).await;
        let now = Timestamp::now();
        let id = opens(&store, &made.cookie, &made.proof, now).unwrap();
        assert!(store.rotate(&id, now).await.unwrap().is_none());
        let day = after(now, ROTATION);
        let (next, _) = store.rotate(&id, day).await.unwrap().unwrap();
        assert!(
            store.rotate(&id, day).await.unwrap().is_none(),
            "one is on its way"
        );
        // The answer may have been lost.
        let later = after(day, IDLE / 2);
        assert!(opens(&store, &made.cookie, &made.proof, later).is_some());
        assert!(opens(&store, &next, &made.proof, later).is_some());
        let crossing = after(later, OVERLAP / 2);
        assert!(opens(&store, &made.cookie, &made.proof, crossing).is_some());
        let over = after(later, OVERLAP);
        assert_eq!(opens(&store, &made.cookie, &made.proof, over), None);
        assert!(opens(&store, &next, &made.proof, over).is_some());
        assert!(store.rotate(&id, over).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_file_holds_digests_alone_and_brings_everybody_back() {
        let (dir, store) = store();
        let one = made(&store, None).await;
        let text = std::fs::read_to_string(dir.path().join("sign-ins.json")).unwrap();
        assert!(!text.contains(&one.cookie) && !text.contains(&one.proof));
        let again = SignIns::open(dir.path()).unwrap();
        assert_eq!(again.cookie(false), store.cookie(false));
        assert!(opens(&again, &one.cookie, &one.proof, Timestamp::now()).is_some());
    }

    #[tokio::test]
    async fn the_one_unused_longest_goes_for_one_too_many() {
        let (_dir, store) = store();
        let first = made(&store, None).await;
        let second = made(&store, None).await;
        let now = after(Timestamp::now(), Duration::from_secs(1));
        assert!(opens(&store, &first.cookie, &first.proof, now).is_some());
        for _ in 2..=MOST_OF_ONE {
            made(&store, None).await;
        }
        assert!(opens(&store, &first.cookie, &first.proof, now).is_some());
        assert_eq!(opens(&store, &second.cookie, &second.proof, now), None);
    }
}
