//! Device tokens: shown once, stored as digests, revoked at once.
//!
//! The file is `<data>/control/tokens.json`. It is replaced as a whole, and before a new token
//! is answered it is on the disk. A revoked token stops working in memory first, so a full disk
//! cannot keep it alive until the next start.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cib_base::{files, hex};
use cib_envelope::keys::{self, Key, KeyId};
use cib_protocol::api::{CreateToken, TokenInfo, TokenKind};
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::digest::Digest;
use super::scope::Scopes;
use super::store::File;
pub use super::store::OpenError;
use super::{Caller, Who};

/// Tokens that may exist at once, expired ones included. Every request is compared with each.
pub const MAX_TOKENS: usize = 256;

/// How a device token begins, so that secret scanners and people recognise one.
const PREFIX: &str = "cib_";

/// How one begins that a client of claude-code-runner has asked for: it may look for that.
const RUNNER: &str = "ccr_";

/// What such a token is called. There is one at a time.
pub const RUNNER_LABEL: &str = "claude-code-runner";

/// The file as it is written. Scopes that this version does not know are not granted.
#[derive(Serialize, Deserialize)]
struct Stored {
    tokens: Vec<StoredToken>,
}

#[derive(Serialize, Deserialize)]
struct StoredToken {
    sha256: String,
    info: TokenInfo,
}

#[derive(Debug)]
struct Token {
    digest: Digest,
    scopes: Scopes,
    info: TokenInfo,
    revoked: watch::Sender<bool>,
}

impl Token {
    /// Who holds it, unless it has expired.
    fn caller(&mut self, now: Timestamp) -> Option<Caller> {
        if self.info.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        self.info.last_used_at = Some(now);
        let who = Who::Device {
            id: self.info.id.clone(),
            label: self.info.label.clone(),
        };
        let revoked = self.revoked.subscribe();
        Some(Caller::device(
            who,
            self.scopes,
            revoked,
            self.info.expires_at,
        ))
    }
}

/// Why a token was not minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// There are [`MAX_TOKENS`] already.
    #[error("there are {MAX_TOKENS} device tokens already; revoke one first")]
    TooMany,
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random(#[source] getrandom::Error),
    /// The file could not be written.
    #[error("cannot write the token file")]
    Store(#[source] io::Error),
}

/// Who holds the key of a device.
#[derive(Debug)]
pub enum Holder {
    /// Nobody: there is no such token, or none that has a key.
    Nobody,
    /// A token that has expired.
    Expired,
    /// This caller.
    Caller(Box<Caller>),
}

/// The device tokens of the box.
#[derive(Debug)]
pub struct TokenStore {
    file: File,
    /// What the keys of devices are derived from, so that none has to be kept.
    root: Key,
    tokens: Mutex<Vec<Token>>,
}

impl TokenStore {
    /// Opens the store in a directory, which is made if it is missing.
    ///
    /// # Errors
    /// If the directory cannot be made or the file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let (file, tokens) = File::open(dir, "tokens.json", parse)?;
        Ok(Self {
            file,
            root: root(dir)?,
            tokens: Mutex::new(tokens.unwrap_or_default()),
        })
    }

    /// The key of a device. There is one for every id, minted or not, and it takes as long.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Key {
        keys::device(&self.root, id)
    }

    /// Who holds the key of a device, once it is proven that somebody does.
    #[must_use]
    pub fn device(&self, id: KeyId, now: Timestamp) -> Holder {
        self.of_kind(&id.to_string(), TokenKind::Device, now)
    }

    /// As [`TokenStore::key`], for the earlier envelopes. It is never good for the present one, nor the
    /// other way round.
    #[must_use]
    pub fn legacy_key(&self, id: KeyId) -> Key {
        keys::legacy_device(&self.root, id)
    }

    /// As [`TokenStore::device`], for the earlier envelopes.
    #[must_use]
    pub fn legacy(&self, id: &str, now: Timestamp) -> Holder {
        self.of_kind(id, TokenKind::DeviceLegacy, now)
    }

    fn of_kind(&self, id: &str, kind: TokenKind, now: Timestamp) -> Holder {
        let mut tokens = self.tokens();
        let is_it = |token: &&mut Token| token.info.id == id && token.info.kind == kind;
        let Some(token) = tokens.iter_mut().find(is_it) else {
            return Holder::Nobody;
        };
        token
            .caller(now)
            .map_or(Holder::Expired, |caller| Holder::Caller(Box::new(caller)))
    }

    /// The caller behind a token, if it is one of these and still valid. Every token is
    /// compared, so that the time taken says nothing about which one came close.
    #[must_use]
    pub fn recognise(&self, digest: &Digest, now: Timestamp) -> Option<Caller> {
        let mut tokens = self.tokens();
        let mut found = None;
        for (index, token) in tokens.iter().enumerate() {
            if token.digest.matches(digest) && token.info.kind == TokenKind::Bearer {
                found = Some(index);
            }
        }
        tokens[found?].caller(now)
    }

    /// The caller behind a token that was recognised before, if it is still valid.
    #[must_use]
    pub fn holder(&self, id: &str, now: Timestamp) -> Option<Caller> {
        let mut tokens = self.tokens();
        let token = tokens.iter_mut().find(|token| token.info.id == id)?;
        token.caller(now)
    }

    /// Every token, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<TokenInfo> {
        self.tokens()
            .iter()
            .map(|token| token.info.clone())
            .collect()
    }

    /// Makes a token and returns it with its text, which is nowhere kept: what a bearer sends, or
    /// a device's key.
    ///
    /// # Errors
    /// See [`MintError`]; no token exists then.
    pub async fn mint(
        &self,
        label: String,
        scopes: Scopes,
        expires_at: Option<Timestamp>,
        kind: TokenKind,
    ) -> Result<(TokenInfo, String), MintError> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(MintError::Random)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(MintError::Random)?;
        // A device's key is derived. What stands for its digest is that of a text that nobody has.
        let prefix = match &*label {
            RUNNER_LABEL => RUNNER,
            _ => PREFIX,
        };
        let bearer = format!("{prefix}{}", hex::encode(&secret));
        let text = match kind {
            TokenKind::Bearer => bearer.clone(),
            TokenKind::Device => hex::encode(self.key(KeyId(id)).bytes()),
            TokenKind::DeviceLegacy => hex::encode(self.legacy_key(KeyId(id)).bytes()),
        };
        let info = TokenInfo {
            id: hex::encode(&id),
            label,
            scopes: scopes.words().into_iter().map(str::to_owned).collect(),
            kind,
            created_at: Timestamp::now(),
            expires_at,
            last_used_at: None,
        };
        {
            let mut tokens = self.tokens();
            if tokens.len() >= MAX_TOKENS {
                return Err(MintError::TooMany);
            }
            tokens.push(Token {
                digest: Digest::of(&bearer),
                scopes,
                info: info.clone(),
                revoked: watch::Sender::new(false),
            });
        }
        if let Err(error) = self.save().await {
            self.tokens().retain(|token| token.info.id != info.id);
            return Err(MintError::Store(error));
        }
        Ok((info, text))
    }

    /// Makes a token invalid and closes its open streams. Returns whether there was one.
    ///
    /// # Errors
    /// If the file could not be written: the token is dead, but would live again after a
    /// restart.
    pub async fn revoke(&self, id: &str) -> io::Result<bool> {
        let token = {
            let mut tokens = self.tokens();
            let Some(index) = tokens.iter().position(|token| token.info.id == id) else {
                return Ok(false);
            };
            tokens.remove(index)
        };
        token.revoked.send_replace(true);
        self.save().await?;
        Ok(true)
    }

    /// Writes the list as it is now. Called after every change, and at the end for the sake of
    /// `last_used_at`, which alone is not worth a write.
    ///
    /// # Errors
    /// The kernel's answer; the file is then the old one.
    pub async fn save(&self) -> io::Result<()> {
        let stored = || Stored {
            tokens: self
                .tokens()
                .iter()
                .map(|token| StoredToken {
                    sha256: token.digest.to_string(),
                    info: token.info.clone(),
                })
                .collect(),
        };
        self.file.save(stored).await
    }

    fn tokens(&self) -> MutexGuard<'_, Vec<Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the file with [`TokenStore::root`].
const ROOT: &str = "device-root";

/// Reads what the keys of devices are derived from, or makes it.
fn root(dir: &Path) -> Result<Key, OpenError> {
    let path = dir.join(ROOT);
    match cib_foreign::own::read(&path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(bytes) => Ok(Key::new(bytes)),
            Err(_) => Err(OpenError::Damaged {
                path,
                source: "it has not 32 bytes".into(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(OpenError::Random)?;
            files::replace(&path, &bytes).map_err(|source| OpenError::Write { path, source })?;
            Ok(Key::new(bytes))
        }
        Err(source) => Err(OpenError::Read { path, source }),
    }
}

/// When a token that is asked for now would expire, if it would.
///
/// # Errors
/// If both spellings of the lifetime are used, or it is zero.
pub fn expiry(request: &CreateToken, now: Timestamp) -> Result<Option<Timestamp>, &'static str> {
    let seconds = match (request.ttl, request.ttl_hours) {
        (Some(_), Some(_)) => return Err("`ttl` and `ttl_hours` say the same; send one of them"),
        (Some(seconds), None) => seconds,
        // So an older client says that it never expires.
        (None, Some(0)) => return Ok(None),
        (None, Some(hours)) => hours.saturating_mul(3600),
        (None, None) => return Ok(None),
    };
    if seconds == 0 {
        return Err("a lifetime of zero would make a token that never works");
    }
    let millis = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
    Ok(Some(Timestamp::from_millis(
        now.as_millis().saturating_add(millis),
    )))
}

fn parse(bytes: &[u8]) -> Result<Vec<Token>, Box<dyn std::error::Error + Send + Sync>> {
    let stored: Stored = serde_json::from_slice(bytes)?;
    stored
        .tokens
        .into_iter()
        .map(|token| {
            let known: Vec<_> = token
                .info
                .scopes
                .iter()
                .filter(|word| Scopes::parse(&[word.as_str()]).is_ok())
                .collect();
            Ok(Token {
                digest: token.sha256.parse()?,
                scopes: Scopes::parse(&known)?,
                info: token.info,
                revoked: watch::Sender::new(false),
            })
        })
        .collect()
}
