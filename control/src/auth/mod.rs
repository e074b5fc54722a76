//! Who asks, and what they may do.
//!
//! [`gate::Gate`] turns a request's address and headers into a [`Caller`]; the route table
//! says which [`scope::Scope`] a route wants. Nothing else decides about access.

pub mod address;
pub mod credential;
pub mod digest;
pub mod gate;
pub mod limiter;
pub mod own;
pub mod scope;
pub mod tokens;

use std::fmt;
use std::time::Duration;

use cib_protocol::time::Timestamp;
use tokio::sync::watch;

use scope::Scopes;

/// Who made a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The holder of the master token.
    Master,
    /// A device token.
    Device {
        /// The token's id.
        id: String,
        /// Its label.
        label: String,
    },
    /// A user whom a trusted proxy has authenticated.
    User(String),
    /// Anybody: authentication is disabled.
    Anybody,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Device { id, label } => write!(f, "device {id} ({label:?})"),
            Self::User(name) => write!(f, "user {name:?}"),
            Self::Anybody => f.write_str("anybody"),
        }
    }
}

/// A request's caller, and for how long it stays one.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub who: Who,
    /// What it may do.
    pub scopes: Scopes,
    tenure: Tenure,
}

/// What ends a caller's access while a stream is open.
#[derive(Clone, Debug)]
enum Tenure {
    Unlimited,
    Token {
        revoked: watch::Receiver<bool>,
        expires_at: Option<Timestamp>,
    },
}

/// Why a caller's access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Its device token was revoked.
    Revoked,
    /// Its device token reached the end of its time.
    Expired,
}

impl Lapse {
    /// The word in the last event of a stream.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "token_revoked",
            Self::Expired => "token_expired",
        }
    }
}

/// The wall clock may be set while a stream is open, so it is looked at this often.
const EXPIRY_CHECK: Duration = Duration::from_secs(60);

impl Caller {
    fn unlimited(who: Who) -> Self {
        Self {
            who,
            scopes: Scopes::ALL,
            tenure: Tenure::Unlimited,
        }
    }

    /// When the caller's access ends by itself.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.tenure {
            Tenure::Unlimited => None,
            Tenure::Token { expires_at, .. } => *expires_at,
        }
    }

    /// Waits until the caller's access ends, which may be never. Can be dropped and called
    /// again without missing it.
    pub async fn lapse(&mut self) -> Lapse {
        let Tenure::Token {
            revoked,
            expires_at,
        } = &mut self.tenure
        else {
            return std::future::pending().await;
        };
        loop {
            let left = expires_at.map(|at| left_until(at, Timestamp::now()));
            if left == Some(Duration::ZERO) {
                return Lapse::Expired;
            }
            let wait = left.unwrap_or(EXPIRY_CHECK).min(EXPIRY_CHECK);
            tokio::select! {
                // An error means that the store is gone, which only happens at the end.
                _ = revoked.wait_for(|revoked| *revoked) => return Lapse::Revoked,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

fn left_until(at: Timestamp, now: Timestamp) -> Duration {
    let millis = at.as_millis().saturating_sub(now.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
