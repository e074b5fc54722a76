//! One-time codes, each of which answers one question.
//!
//! A code is 120 bits, good for an hour and for one answer. Only its digest is kept, on the disk as
//! well, so that a restart ends none. The codes themselves follow from a key that dies with this
//! process: what is sent again has the same one, and nothing that is kept leads to it.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cib_protocol::session::SessionId;
use cib_protocol::time::Timestamp;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::auth::digest::Digest;
use crate::auth::store::{Damage, File, OpenError};

/// How long a code is good.
pub(crate) const LIFE: Duration = Duration::from_secs(3600);

/// Bytes of a code.
const BYTES: usize = 15;

/// Codes that are kept at most; the oldest goes.
const MOST: usize = 1000;

/// What a code answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Of which session.
    pub(crate) session: SessionId,
    /// Which question.
    pub(crate) question: String,
    /// What the code was sent by.
    pub(crate) via: String,
    /// Until when.
    pub(crate) until: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    sha256: String,
    #[serde(flatten)]
    asked: Asked,
    /// Whether it was used.
    #[serde(default)]
    used: bool,
    /// The message of a chat that it is in, to which somebody may reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<(String, i64)>,
}

#[derive(Debug)]
struct Code {
    digest: Digest,
    stored: Stored,
}

/// The codes of the box.
#[derive(Debug)]
pub(crate) struct Answers {
    file: File,
    key: hmac::Key,
    codes: Mutex<Vec<Code>>,
}

/// A code that was taken out, to be put back if it was of no use.
#[derive(Debug)]
pub(crate) struct Taken {
    digest: Digest,
    /// What it answers.
    pub(crate) asked: Asked,
}

impl Answers {
    /// Those that are kept in a folder.
    pub(super) fn open(folder: &Path) -> Result<Self, OpenError> {
        let (file, codes) = File::open(folder, "answers.json", parse)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| OpenError::Damaged {
            path: folder.into(),
            source: error.into(),
        })?;
        Ok(Self {
            file,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            codes: Mutex::new(codes.unwrap_or_default()),
        })
    }

    /// The code of a delivery. It is on the disk, as a digest, before anybody is told of it. `None`
    /// if its time is over, or it was used.
    pub(super) async fn code(
        &self,
        delivery: &str,
        asked: Asked,
        now: Timestamp,
    ) -> std::io::Result<Option<String>> {
        if asked.until <= now {
            return Ok(None);
        }
        let tag = hmac::sign(&self.key, delivery.as_bytes());
        let code = URL_SAFE_NO_PAD.encode(&tag.as_ref()[..BYTES]);
        let digest = Digest::of(&code);
        {
            let mut codes = self.codes();
            if let Some(known) = codes.iter().find(|known| known.digest.matches(&digest)) {
                return Ok((!known.stored.used).then_some(code));
            }
            codes.retain(|code| code.stored.asked.until > now);
            if codes.len() >= MOST {
                codes.remove(0);
            }
            codes.push(Code {
                digest,
                stored: Stored {
                    sha256: digest.to_string(),
                    asked,
                    used: false,
                    message: None,
                },
            });
        }
        self.save().await?;
        Ok(Some(code))
    }

    /// What a code answers, if it still does. All are compared, whichever comes close.
    pub(crate) fn find(&self, code: &str, now: Timestamp) -> Option<Asked> {
        let digest = Digest::of(code);
        let mut found = None;
        for code in self.codes().iter() {
            if code.digest.matches(&digest) && !code.stored.used && code.stored.asked.until > now {
                found = Some(code.stored.asked.clone());
            }
        }
        found
    }

    /// Takes a code: from here on nobody else can use it.
    pub(crate) async fn take(&self, code: &str, now: Timestamp) -> std::io::Result<Option<Taken>> {
        let digest = Digest::of(code);
        self.take_where(|known| known.digest.matches(&digest), now)
            .await
    }

    /// Takes the code that a message of a chat has, to which somebody replied.
    pub(super) async fn take_message(
        &self,
        channel: &str,
        message: i64,
        now: Timestamp,
    ) -> std::io::Result<Option<Taken>> {
        let is_it = |known: &Code| {
            let of = known.stored.message.as_ref();
            of.is_some_and(|(of, id)| of == channel && *id == message)
        };
        self.take_where(is_it, now).await
    }

    async fn take_where(
        &self,
        is_it: impl Fn(&Code) -> bool,
        now: Timestamp,
    ) -> std::io::Result<Option<Taken>> {
        let taken = {
            let mut codes = self.codes();
            let mut found = None;
            for code in codes.iter_mut() {
                if is_it(code) && !code.stored.used && code.stored.asked.until > now {
                    found = Some(code);
                }
            }
            let Some(found) = found else {
                return Ok(None);
            };
            found.stored.used = true;
            Taken {
                digest: found.digest,
                asked: found.stored.asked.clone(),
            }
        };
        if let Err(error) = self.save().await {
            self.mark(&taken, false);
            return Err(error);
        }
        Ok(Some(taken))
    }

    /// Puts a code back: the question could not be answered now, and may be later.
    pub(crate) async fn put_back(&self, taken: &Taken) -> std::io::Result<()> {
        self.mark(taken, false);
        self.save().await
    }

    /// Remembers which message of a chat has a code.
    pub(super) async fn sent(
        &self,
        code: &str,
        channel: &str,
        message: i64,
    ) -> std::io::Result<()> {
        let digest = Digest::of(code);
        for known in self.codes().iter_mut() {
            if known.digest.matches(&digest) {
                known.stored.message = Some((channel.to_owned(), message));
            }
        }
        self.save().await
    }

    /// Ends every code of a session's questions but for those that are open. Whether there was any.
    pub(super) async fn revoke(&self, session: SessionId, open: &[&str]) -> std::io::Result<bool> {
        let is_over = |code: &Code| {
            let asked = &code.stored.asked;
            asked.session == session && !open.contains(&&*asked.question)
        };
        {
            let mut codes = self.codes();
            let before = codes.len();
            codes.retain(|code| !is_over(code));
            if codes.len() == before {
                return Ok(false);
            }
        }
        self.save().await?;
        Ok(true)
    }

    /// The sessions that have codes.
    pub(super) fn sessions(&self) -> Vec<SessionId> {
        let mut all: Vec<_> = self
            .codes()
            .iter()
            .map(|code| code.stored.asked.session)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn mark(&self, taken: &Taken, used: bool) {
        for code in self.codes().iter_mut() {
            if code.digest.matches(&taken.digest) {
                code.stored.used = used;
            }
        }
    }

    async fn save(&self) -> std::io::Result<()> {
        let content = || {
            let codes = self.codes();
            codes
                .iter()
                .map(|code| code.stored.clone())
                .collect::<Vec<_>>()
        };
        self.file.save(content).await
    }

    fn codes(&self) -> MutexGuard<'_, Vec<Code>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Code>, Damage> {
    let stored: Vec<Stored> = serde_json::from_slice(bytes)?;
    let read = |stored: Stored| {
        let digest = stored.sha256.parse()?;
        Ok(Code { digest, stored })
    };
    stored.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn asked(question: &str) -> Asked {
        Asked {
            session: SessionId::from_u128(7),
            question: question.to_owned(),
            via: "ntfy".to_owned(),
            until: at(HOUR),
        }
    }

    #[tokio::test]
    async fn a_code_is_good_once_for_an_hour_and_outlives_a_restart_as_a_digest_alone() {
        let dir = tempfile::tempdir().unwrap();
        let answers = Answers::open(dir.path()).unwrap();
        let code = answers
            .code("msg_1", asked("q"), at(0))
            .await
            .unwrap()
            .unwrap();
        let again = answers
            .code("msg_1", asked("q"), at(1))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((code.len(), &code), (20, &again));
        let other = answers
            .code("msg_2", asked("q"), at(0))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(code, other);
        let file = std::fs::read_to_string(dir.path().join("answers.json")).unwrap();
        assert!(!file.contains(&code) && file.contains(&Digest::of(&code).to_string()));

        let answers = Answers::open(dir.path()).unwrap();
        assert_eq!(answers.find(&code, at(HOUR - 1)), Some(asked("q")));
        assert_eq!(answers.find(&code, at(HOUR)), None);
        assert_eq!(answers.find("", at(0)), None);
        let taken = answers.take(&code, at(1)).await.unwrap().unwrap();
        assert_eq!(taken.asked, asked("q"));
        assert!(answers.take(&code, at(1)).await.unwrap().is_none());
        let answers = Answers::open(dir.path()).unwrap();
        assert_eq!(answers.find(&code, at(1)), None);
        answers.put_back(&taken).await.unwrap();
        assert!(answers.take(&code, at(1)).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_code_that_was_used_is_not_given_again_and_an_answered_question_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let answers = Answers::open(dir.path()).unwrap();
        let code = answers
            .code("msg_1", asked("q"), at(0))
            .await
            .unwrap()
            .unwrap();
        answers.take(&code, at(1)).await.unwrap().unwrap();
        assert_eq!(
            answers.code("msg_1", asked("q"), at(2)).await.unwrap(),
            None
        );
        let open = answers
            .code("msg_2", asked("r"), at(0))
            .await
            .unwrap()
            .unwrap();
        let gone = answers
            .code("msg_3", asked("s"), at(0))
            .await
            .unwrap()
            .unwrap();
        assert!(
            answers
                .revoke(SessionId::from_u128(7), &["r"])
                .await
                .unwrap()
        );
        assert!(answers.find(&open, at(1)).is_some() && answers.find(&gone, at(1)).is_none());
        assert!(
            !answers
                .revoke(SessionId::from_u128(7), &["r"])
                .await
                .unwrap()
        );
    }
}
