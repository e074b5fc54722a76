//! The gate: from a request's address and headers to its caller.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cib_protocol::init::ControlAuth;
use cib_protocol::time::Timestamp;
use http::HeaderMap;

use super::address::{Origin, TrustedProxies};
use super::digest::Digest;
use super::limiter::Limiter;
use super::tokens::TokenStore;
use super::{Caller, Who, credential};
use crate::fault::{Code, Fault};

/// How a caller is recognised.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// By the master token or a device token.
    Token(Digest),
    /// Not at all (`CIB_AUTH_DISABLED=1`): whoever reaches the box's loopback may do
    /// everything.
    Disabled,
}

/// Why the file that init leaves for control cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModeError {
    /// It cannot be read.
    #[error("it cannot be read; init writes it before it starts cib-control")]
    Read(#[source] std::io::Error),
    /// It is not what init writes.
    #[error("it is not what init writes")]
    Parse(#[source] serde_json::Error),
    /// `master_sha256` is not a digest.
    #[error("`master_sha256` is unusable")]
    Digest(#[source] super::digest::BadDigest),
    /// It neither names a token nor disables authentication.
    #[error("it has neither `master_sha256` nor `disabled`")]
    Neither,
    /// It does both.
    #[error("it has both `master_sha256` and `disabled`; only one can be meant")]
    Both,
}

impl Mode {
    /// Reads `/run/cib/control/auth.json`.
    ///
    /// # Errors
    /// If the file cannot be read, or says nothing that could be obeyed.
    pub fn load(path: &Path) -> Result<Self, ModeError> {
        let bytes = std::fs::read(path).map_err(ModeError::Read)?;
        let auth: ControlAuth = serde_json::from_slice(&bytes).map_err(ModeError::Parse)?;
        match (auth.master_sha256, auth.disabled) {
            (Some(digest), false) => digest.parse().map(Self::Token).map_err(ModeError::Digest),
            (None, true) => Ok(Self::Disabled),
            (None, false) => Err(ModeError::Neither),
            (Some(_), true) => Err(ModeError::Both),
        }
    }
}

/// The only way in.
#[derive(Debug)]
pub struct Gate {
    mode: Mode,
    trusted: TrustedProxies,
    tokens: TokenStore,
    limiter: Mutex<Limiter>,
}

impl Gate {
    /// A gate that knows nobody yet but the master and the stored tokens.
    #[must_use]
    pub fn new(mode: Mode, trusted: TrustedProxies, tokens: TokenStore) -> Self {
        Self {
            mode,
            trusted,
            tokens,
            limiter: Mutex::default(),
        }
    }

    /// The device tokens.
    #[must_use]
    pub fn tokens(&self) -> &TokenStore {
        &self.tokens
    }

    /// Whether no token is asked for.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        matches!(self.mode, Mode::Disabled)
    }

    /// Who makes a request.
    ///
    /// # Errors
    /// [`Code::Unauthorized`], [`Code::TooManyAttempts`] or [`Code::CrossOrigin`].
    pub fn admit(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Caller, Fault> {
        let master = match &self.mode {
            Mode::Token(master) => master,
            Mode::Disabled => return anybody(headers),
        };
        if let Some(token) = credential::token(headers) {
            return self.compare(master, token, self.trusted.client(peer, headers));
        }
        if self.trusted.trusts(peer)
            && let Some(user) = headers.get("x-forwarded-user")
            && let Ok(user) = user.to_str()
            && !user.trim().is_empty()
        {
            if credential::is_cross_origin(headers) {
                return Err(cross_origin());
            }
            return Ok(Caller::unlimited(Who::User(user.trim().to_owned())));
        }
        Err(Fault::new(
            Code::Unauthorized,
            "send the token as `Authorization: Bearer <token>`, for a WebSocket as the \
             subprotocol `bearer.<token>`",
        ))
    }

    fn compare(&self, master: &Digest, token: &str, client: IpAddr) -> Result<Caller, Fault> {
        let origin = Origin::from(client);
        self.limiter()
            .check(origin, Instant::now())
            .map_err(|wait| {
                Fault::new(
                    Code::TooManyAttempts,
                    format!("too many wrong tokens came from {origin}"),
                )
                .retry_after(wait)
            })?;
        let digest = Digest::of(token);
        if digest.matches(master) {
            return Ok(Caller::unlimited(Who::Master));
        }
        if let Some(caller) = self.tokens.recognise(&digest, Timestamp::now()) {
            return Ok(caller);
        }
        self.limiter().failed(origin, Instant::now());
        tracing::warn!(%origin, "a wrong token was sent");
        Err(Fault::new(
            Code::Unauthorized,
            "the token is wrong, expired or revoked",
        ))
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn anybody(headers: &HeaderMap) -> Result<Caller, Fault> {
    if credential::is_cross_origin(headers) || !credential::is_for_loopback(headers) {
        return Err(cross_origin());
    }
    Ok(Caller::unlimited(Who::Anybody))
}

fn cross_origin() -> Fault {
    Fault::new(
        Code::CrossOrigin,
        "without a token only pages of the box's own origin are served",
    )
}
