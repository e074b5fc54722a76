//! The gate: from a request's address and headers to its caller.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cib_protocol::api::CreateChannel;
use cib_protocol::init::{ControlAuth, FirstAccount};
use cib_protocol::mqtt::MqttSettings;
use cib_protocol::time::Timestamp;
use http::HeaderMap;

use super::accounts::Accounts;
use super::address::{Kin, PROXY_SECRET, Peer, TrustedProxies};
use super::digest::{Digest, Verifier};
use super::limiter::Limiter;
use super::passwords::Passwords;
use super::scope::Scopes;
use super::sign_ins::{Known, SignIns, Subject};
use super::tokens::TokenStore;
use super::{Caller, Who, credential};
use crate::fault::{Code, Fault};
use crate::publish::leak::Secrets;

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

/// What init leaves for control.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// How callers are recognised.
    pub mode: Mode,
    /// How a reverse proxy is.
    pub proxy: Option<Verifier>,
    /// The account to make where there is none.
    pub first: Option<FirstAccount>,
    /// By what the box's own secrets are found.
    pub secrets: Secrets,
    /// Where notices go that the box's variables name.
    pub channels: Vec<CreateChannel>,
    /// The MQTT broker that the box speaks to.
    pub mqtt: Option<MqttSettings>,
}

/// Reads `/run/cib/control/auth.json`.
///
/// # Errors
/// If the file cannot be read, or says nothing that could be obeyed.
pub fn load(path: &Path) -> Result<Loaded, ModeError> {
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
    Ok(Loaded {
        mode,
        proxy: proxy.transpose()?,
        first: auth.admin,
        secrets: Secrets {
            salt,
            prints: auth.prints,
            allowed: Vec::new(),
        },
        channels: auth.channels,
        mqtt: auth.mqtt,
    })
}

/// The only way in.
#[derive(Debug)]
pub struct Gate {
    mode: Mode,
    trusted: TrustedProxies,
    tokens: TokenStore,
    accounts: Accounts,
    sign_ins: SignIns,
    passwords: Passwords,
    limiter: Mutex<Limiter>,
}

/// Where a request came from, as far as it is believed.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Whom it is counted for.
    pub kin: Kin,
    /// Whether it came over TLS.
    pub is_secure: bool,
}

impl Gate {
    /// A gate that knows nobody yet but the master and who is stored.
    #[must_use]
    pub fn new(
        mode: Mode,
        trusted: TrustedProxies,
        tokens: TokenStore,
        accounts: Accounts,
        sign_ins: SignIns,
    ) -> Self {
        Self {
            mode,
            trusted,
            tokens,
            accounts,
            sign_ins,
            passwords: Passwords::default(),
            limiter: Mutex::default(),
        }
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Where people are signed in.
    #[must_use]
    pub fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Where passwords are hashed.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Where a request came from.
    #[must_use]
    pub fn origin(&self, peer: Peer, headers: &HeaderMap) -> Arrival {
        Arrival {
            kin: self.trusted.client(peer, headers),
            is_secure: self.trusted.is_secure(peer, headers),
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
        if let Some(proof) = credential::proof(headers) {
            return self.signed_in(master, peer, headers, proof);
        }
        if self.trusted.vouches(peer, headers) {
            let user = TrustedProxies::user(headers)
                .map_err(|why| Fault::new(Code::BadValue, why.to_owned()))?;
            if let Some(user) = user {
                if credential::is_cross_origin(headers) {
                    return Err(cross_origin());
                }
                let account = self.accounts.holder(user);
                let user = || Caller::unlimited(Who::User(user.to_owned()));
                return Ok(account.unwrap_or_else(user));
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
             subprotocol `bearer.<token>`; or sign in",
        ))
    }

    /// The caller behind a cookie and its proof. Wrong ones are not counted: they are the pages
    /// whose sign-in has ended, and nobody guesses 256 bits.
    fn signed_in(
        &self,
        master: &Verifier,
        peer: Peer,
        headers: &HeaderMap,
        proof: &str,
    ) -> Result<Caller, Fault> {
        if !credential::is_of_this_origin(headers) {
            return Err(cross_origin());
        }
        let name = self.sign_ins.cookie(self.trusted.is_secure(peer, headers));
        let cookies = credential::cookies(headers, &name);
        let known = self.sign_ins.recognise(cookies, proof, Timestamp::now());
        let caller = known.and_then(|known| self.behind(master, known));
        caller.ok_or_else(|| Fault::new(Code::Unauthorized, "this sign-in has ended; sign in"))
    }

    /// Who signed in, if what they did it with is still good.
    fn behind(&self, master: &Verifier, known: Known) -> Option<Caller> {
        let caller = match &known.subject {
            Subject::Account(name) => self.accounts.holder(name)?,
            Subject::Token(id) => self.tokens.holder(id, Timestamp::now())?,
            Subject::Master(name) if *name == master.name() => Caller::unlimited(Who::Master),
            Subject::Master(_) => return None,
        };
        Some(caller.through(known))
    }

    /// What a sign-in of a caller hangs on; nothing for one that comes by no account and no
    /// token.
    #[must_use]
    pub fn subject(&self, who: &Who) -> Option<Subject> {
        match (who, &self.mode) {
            (Who::Master, Mode::Token(master)) => Some(Subject::Master(master.name())),
            (Who::Device { id, .. }, _) => Some(Subject::Token(id.clone())),
            (Who::Account(name), _) => Some(Subject::Account(name.clone())),
            _ => None,
        }
    }

    /// What a subject may do now; nothing if there is none of that name any more.
    #[must_use]
    pub fn scopes_of(&self, subject: &Subject, now: Timestamp) -> Option<Scopes> {
        let words = match (subject, &self.mode) {
            (Subject::Account(name), _) => self.accounts.get(name)?.scopes,
            (Subject::Token(id), _) => {
                let mut tokens = self.tokens.list().into_iter();
                let token = tokens.find(|token| token.id == *id)?;
                if token.expires_at.is_some_and(|at| at <= now) {
                    return None;
                }
                token.scopes
            }
            (Subject::Master(name), Mode::Token(master)) if *name == master.name() => {
                return Some(Scopes::ALL);
            }
            (Subject::Master(_), _) => return None,
        };
        Scopes::parse(&words).ok()
    }

    /// Counts a wrong code of a link, as a wrong token is counted.
    ///
    /// # Errors
    /// [`Code::TooManyAttempts`] if too many of them came from there.
    pub fn wrong_code(&self, from: Arrival) -> Result<(), Fault> {
        self.count(from.kin)
    }

    /// The caller with a token, to sign in with.
    ///
    /// # Errors
    /// [`Code::Unauthorized`], [`Code::TooManyAttempts`] or [`Code::AuthDisabled`].
    pub fn by_token(&self, from: Arrival, token: &str) -> Result<Caller, Fault> {
        let Mode::Token(master) = &self.mode else {
            return Err(disabled());
        };
        self.compare(master, token)
            .ok_or_else(|| self.wrong(from.kin, "the token is wrong, expired or revoked"))
    }

    /// The caller with a name and a password, to sign in with. A password that was hashed as
    /// it would not be today is hashed anew.
    ///
    /// # Errors
    /// [`Code::Unauthorized`], [`Code::TooManyAttempts`], [`Code::AuthDisabled`] or
    /// [`Code::Busy`].
    pub async fn by_password(
        &self,
        from: Arrival,
        name: &str,
        password: &str,
    ) -> Result<Caller, Fault> {
        if self.is_disabled() {
            return Err(disabled());
        }
        let known = self.accounts.password(name);
        let (name, hash) = known.map_or((None, None), |(name, hash)| (Some(name), Some(hash)));
        let is_old = hash
            .as_deref()
            .is_some_and(|hash| !cib_base::password::is_current(hash));
        self.check_password(from, hash, password).await?;
        let wrong = || Fault::new(Code::Unauthorized, WRONG_PASSWORD);
        let name = name.ok_or_else(wrong)?;
        if is_old {
            let hash = self.passwords.hash(password).await?;
            let saved = self.accounts.set_password(&name, hash, true).await;
            saved.map_err(Fault::internal)?;
        }
        self.accounts.holder(&name).ok_or_else(wrong)
    }

    /// Compares a password with a hash, unless too many wrong ones came from there.
    ///
    /// # Errors
    /// [`Code::Unauthorized`], [`Code::TooManyAttempts`] or [`Code::Busy`].
    pub async fn check_password(
        &self,
        from: Arrival,
        hash: Option<String>,
        password: &str,
    ) -> Result<(), Fault> {
        // Counted before it is known to be wrong: many at once would all find room otherwise.
        self.count(from.kin)?;
        if self.passwords.matches(hash, password).await? {
            self.limiter().forgive(from.kin, Instant::now());
            return Ok(());
        }
        tracing::warn!(from = %from.kin, "a wrong name or password was sent");
        Err(Fault::new(Code::Unauthorized, WRONG_PASSWORD))
    }

    /// Whether no token is asked for, as a fault of what needs somebody who is known.
    ///
    /// # Errors
    /// [`Code::AuthDisabled`].
    pub fn check_enabled(&self) -> Result<(), Fault> {
        if self.is_disabled() {
            return Err(disabled());
        }
        Ok(())
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

    /// Counts a message that was sealed with a wrong key, as a wrong token is.
    ///
    /// # Errors
    /// [`Code::TooManyAttempts`].
    pub fn wrong_key(&self, from: Arrival) -> Result<(), Fault> {
        self.count(from.kin)?;
        tracing::warn!(from = %from.kin, "a message was sealed with a wrong key");
        Ok(())
    }

    /// The fault of something wrong; whoever sent too many of them learns nothing more.
    fn wrong(&self, kin: Kin, detail: &str) -> Fault {
        if let Err(fault) = self.count(kin) {
            return fault;
        }
        tracing::warn!(from = %kin, "a wrong token was sent");
        Fault::new(Code::Unauthorized, detail)
    }

    /// Counts something wrong, unless there were too many of them.
    fn count(&self, kin: Kin) -> Result<(), Fault> {
        let now = Instant::now();
        let mut limiter = self.limiter();
        if let Err(wait) = limiter.check(kin, now) {
            let detail = format!("too many wrong tokens or passwords came from {kin}");
            return Err(Fault::new(Code::TooManyAttempts, detail).retry_after(wait));
        }
        limiter.failed(kin, now);
        Ok(())
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

/// One sentence for a name that there is not and a password that is another.
const WRONG_PASSWORD: &str = "the name or the password is wrong";

fn disabled() -> Fault {
    let detail = "the box asks for no token (CIB_AUTH_DISABLED), so it knows nobody";
    Fault::new(Code::AuthDisabled, detail)
}

pub(crate) fn cross_origin() -> Fault {
    Fault::new(
        Code::CrossOrigin,
        "without a token only pages of the box's own origin are served",
    )
}
