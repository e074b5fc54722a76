//! The gate: from a request's address and headers to its caller.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cib_protocol::init::ControlAuth;
use cib_protocol::time::Timestamp;
use http::HeaderMap;

use super::address::{Kin, PROXY_SECRET, Peer, TrustedProxies};
use super::digest::{Digest, Verifier};
use super::limiter::Limiter;
use super::tokens::TokenStore;
use super::{Caller, Who, credential};
use crate::fault::{Code, Fault};

/// How a caller is recognised.
#[derive(Clone, Debug)]
pub enum Mode {
    /// By the master token or a device token.
    Token(Verifier),
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
    /// A digest is none.
    #[error("`{name}` is unusable")]
    Digest {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        source: super::digest::BadDigest,
    },
    /// It neither names a token nor disables authentication.
    #[error("it has neither `master_sha256` nor `disabled`")]
    Neither,
    /// It does both.
    #[error("it has both `master_sha256` and `disabled`; only one can be meant")]
    Both,
}

/// Reads `/run/cib/control/auth.json`: how callers are recognised, and how a reverse proxy is.
///
/// # Errors
/// If the file cannot be read, or says nothing that could be obeyed.
pub fn load(path: &Path) -> Result<(Mode, Option<Verifier>), ModeError> {
    let bytes = cib_foreign::own::read(path).map_err(ModeError::Read)?;
    let auth: ControlAuth = serde_json::from_slice(&bytes).map_err(ModeError::Parse)?;
    let salt = auth.salt.unwrap_or_default();
    let verifier = |name: &'static str, digest: &str| {
        let digest = digest
            .parse()
            .map_err(|source| ModeError::Digest { name, source })?;
        Ok(Verifier::new(salt.as_bytes(), digest))
    };
    let mode = match (auth.master_sha256, auth.disabled) {
        (Some(digest), false) => Mode::Token(verifier("master_sha256", &digest)?),
        (None, true) => Mode::Disabled,
        (None, false) => return Err(ModeError::Neither),
        (Some(_), true) => return Err(ModeError::Both),
    };
    let proxy = auth.proxy_sha256;
    let proxy = proxy.map(|digest| verifier("proxy_sha256", &digest));
    Ok((mode, proxy.transpose()?))
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
    /// [`Code::Unauthorized`], [`Code::TooManyAttempts`], [`Code::CrossOrigin`], or
    /// [`Code::BadValue`] for a proxy that does not say clearly who its user is.
    pub fn admit(&self, peer: Peer, headers: &HeaderMap) -> Result<Caller, Fault> {
        let master = match &self.mode {
            Mode::Token(master) => master,
            Mode::Disabled => return anybody(headers),
        };
        if let Some(token) = credential::token(headers) {
            return self.compare(master, token).ok_or_else(|| {
                let wrong = "the token is wrong, expired or revoked";
                self.wrong(self.trusted.client(peer, headers), wrong)
            });
        }
        if self.trusted.vouches(peer, headers) {
            let user = TrustedProxies::user(headers)
                .map_err(|why| Fault::new(Code::BadValue, why.to_owned()))?;
            if let Some(user) = user {
                if credential::is_cross_origin(headers) {
                    return Err(cross_origin());
                }
                return Ok(Caller::unlimited(Who::User(user.to_owned())));
            }
        } else if headers.contains_key(PROXY_SECRET) && self.trusted.secret.is_some() {
            return Err(self.wrong(
                peer.into(),
                "the proxy's secret is wrong, or not from there",
            ));
        }
        Err(Fault::new(
            Code::Unauthorized,
            "send the token as `Authorization: Bearer <token>`, for a WebSocket as the \
             subprotocol `bearer.<token>`",
        ))
    }

    /// The caller behind a token. It is compared first and whatever came before it, so that
    /// whoever has the right one is always let in.
    fn compare(&self, master: &Verifier, token: &str) -> Option<Caller> {
        let is_master = master.matches(token.as_bytes());
        let device = self.tokens.recognise(&Digest::of(token), Timestamp::now());
        if is_master {
            return Some(Caller::unlimited(Who::Master));
        }
        device
    }

    /// The fault of something wrong; whoever sent too many of them learns nothing more.
    fn wrong(&self, kin: Kin, detail: &str) -> Fault {
        let now = Instant::now();
        let mut limiter = self.limiter();
        if let Err(wait) = limiter.check(kin, now) {
            let detail = format!("too many wrong tokens came from {kin}");
            return Fault::new(Code::TooManyAttempts, detail).retry_after(wait);
        }
        limiter.failed(kin, now);
        tracing::warn!(from = %kin, "a wrong token was sent");
        Fault::new(Code::Unauthorized, detail)
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
