//! Device tokens: shown once, stored as digests, revoked at once.
//!
//! The file is `<data>/control/tokens.json`. It is replaced as a whole, and before a new token
//! is answered it is on the disk. A revoked token stops working in memory first, so a full disk
//! cannot keep it alive until the next start.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cib_base::{files, hex};
use cib_protocol::api::{CreateToken, TokenInfo};
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::digest::Digest;
use super::scope::Scopes;
use super::{Caller, Tenure, Who};
use crate::work;

/// Tokens that may exist at once, expired ones included. Every request is compared with each.
pub const MAX_TOKENS: usize = 256;

/// How a device token begins, so that secret scanners and people recognise one.
const PREFIX: &str = "cib_";

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

/// Why the token file cannot be used at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The file is damaged. Starting without it would quietly lock out every device.
    #[error("{} is damaged; move it away and mint the device tokens anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
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

/// The device tokens of the box.
#[derive(Debug)]
pub struct TokenStore {
    path: Arc<Path>,
    tokens: Mutex<Vec<Token>>,
    /// Held while the file is being replaced, so that an older list never replaces a newer.
    writing: tokio::sync::Mutex<()>,
}

impl TokenStore {
    /// Opens the store in a directory, which is made if it is missing.
    ///
    /// # Errors
    /// If the directory cannot be made or the file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| OpenError::Directory {
                path: dir.into(),
                source,
            })?;
        let path = dir.join("tokens.json");
        let tokens = match cib_foreign::own::read(&path) {
            Ok(bytes) => parse(&bytes).map_err(|source| OpenError::Damaged {
                path: path.clone(),
                source,
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(OpenError::Read { path, source }),
        };
        Ok(Self {
            path: path.into(),
            tokens: Mutex::new(tokens),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// The caller behind a token, if it is one of these and still valid. Every token is
    /// compared, so that the time taken says nothing about which one came close.
    #[must_use]
    pub fn recognise(&self, digest: &Digest, now: Timestamp) -> Option<Caller> {
        let mut tokens = self.tokens();
        let mut found = None;
        for (index, token) in tokens.iter().enumerate() {
            if token.digest.matches(digest) {
                found = Some(index);
            }
        }
        let token = &mut tokens[found?];
        if token.info.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        token.info.last_used_at = Some(now);
        Some(Caller {
            who: Who::Device {
                id: token.info.id.clone(),
                label: token.info.label.clone(),
            },
            scopes: token.scopes,
            tenure: Tenure::Token {
                revoked: token.revoked.subscribe(),
                expires_at: token.info.expires_at,
            },
        })
    }

    /// Every token, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<TokenInfo> {
        self.tokens()
            .iter()
            .map(|token| token.info.clone())
            .collect()
    }

    /// Makes a token and returns it with its text, which is nowhere kept.
    ///
    /// # Errors
    /// See [`MintError`]; no token exists then.
    pub async fn mint(
        &self,
        label: String,
        scopes: Scopes,
        expires_at: Option<Timestamp>,
    ) -> Result<(TokenInfo, String), MintError> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(MintError::Random)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(MintError::Random)?;
        let text = format!("{PREFIX}{}", hex::encode(&secret));
        let info = TokenInfo {
            id: hex::encode(&id),
            label,
            scopes: scopes.words().into_iter().map(str::to_owned).collect(),
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
                digest: Digest::of(&text),
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
        let _writing = self.writing.lock().await;
        let stored = Stored {
            tokens: self
                .tokens()
                .iter()
                .map(|token| StoredToken {
                    sha256: token.digest.to_string(),
                    info: token.info.clone(),
                })
                .collect(),
        };
        let path = Arc::clone(&self.path);
        let write = move || files::replace(&path, &serde_json::to_vec_pretty(&stored)?);
        work::run(write).await.map_err(io::Error::other)
    }

    fn tokens(&self) -> MutexGuard<'_, Vec<Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
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
