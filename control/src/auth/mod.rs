//! Who asks, and what they may do.
//!
//! [`gate::Gate`] turns a request's address and headers into a [`Caller`]; the route table
//! says which [`scope::Scope`] a route wants. Nothing else decides about access.

pub mod accounts;
pub mod address;
pub mod credential;
pub mod digest;
pub mod gate;
pub mod limiter;
pub mod own;
pub mod passwords;
pub mod scope;
pub mod sign_ins;
pub(crate) mod store;
pub mod tokens;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use cib_protocol::time::Timestamp;
use futures_util::future::select_all;
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
    /// Somebody who has an account.
    Account(String),
    /// A user whom a trusted proxy has authenticated, and who has no account here.
    User(String),
    /// Anybody: authentication is disabled.
    Anybody,
    /// Whoever has a one-time link, by what it was sent by.
    Link(String),
    /// Whoever may publish under the box's topics at its MQTT broker.
    Broker,
}

impl Who {
    /// What other people are told who did something. Whoever mints a token chooses its label, and
    /// whoever makes an account its name; neither passes for somebody of another kind.
    #[must_use]
    pub fn label(&self) -> Cow<'_, str> {
        match self {
            Self::Master => "master".into(),
            Self::Device { id, label } if label.is_empty() => format!("device {id}").into(),
            Self::Device { label, .. } => format!("device {label}").into(),
            Self::Account(name) | Self::User(name) if is_taken(name) => {
                format!("user {name}").into()
            }
            Self::Account(name) | Self::User(name) => name.into(),
            Self::Anybody => "anybody".into(),
            Self::Link(via) => format!("link {via}").into(),
            Self::Broker => "mqtt".into(),
        }
    }
}

/// Whether a person's name reads as what somebody else is called.
fn is_taken(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    ["master", "anybody", "mqtt"].contains(&name.as_str())
        || ["device ", "user ", "link "]
            .iter()
            .any(|kind| name.starts_with(kind))
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Device { id, label } => write!(f, "device {id} ({label:?})"),
            Self::Account(name) => write!(f, "account {name:?}"),
            Self::User(name) => write!(f, "user {name:?}"),
            Self::Anybody => f.write_str("anybody"),
            Self::Link(via) => write!(f, "link by {via:?}"),
            Self::Broker => f.write_str("somebody at the MQTT broker"),
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
    /// The sign-in that it came by, if it came by one.
    pub sign_in: Option<String>,
    /// When what its rights come from ends by itself: a device token. What it makes may not
    /// outlive that.
    authority_until: Option<Timestamp>,
    tenure: Tenure,
}

/// What ends a caller's access while a stream is open.
#[derive(Clone, Debug, Default)]
struct Tenure {
    /// Each is told when something ends that the access hangs on.
    ends: Vec<(watch::Receiver<bool>, Lapse)>,
    /// The moment at which it ends by itself.
    until: Option<(Timestamp, Lapse)>,
}

/// Why a caller's access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Its device token was revoked.
    Revoked,
    /// Its device token reached the end of its time.
    Expired,
    /// Its sign-in was ended, or its account was changed or removed.
    SignedOut,
    /// Its sign-in reached the end of its time.
    SignInExpired,
}

impl Lapse {
    /// The word in the last event of a stream.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "token_revoked",
            Self::Expired => "token_expired",
            Self::SignedOut => "signed_out",
            Self::SignInExpired => "sign_in_expired",
        }
    }
}

/// The wall clock may be set while a stream is open, so it is looked at this often.
const EXPIRY_CHECK: Duration = Duration::from_secs(60);

impl Caller {
    /// Somebody who may do everything, for as long as they like.
    pub(crate) fn unlimited(who: Who) -> Self {
        Self {
            who,
            scopes: Scopes::ALL,
            sign_in: None,
            authority_until: None,
            tenure: Tenure::default(),
        }
    }

    /// Whoever is at the other end of a bridge that the variables set up.
    pub(crate) fn bridge(scopes: Scopes) -> Self {
        Self {
            who: Who::Broker,
            scopes,
            sign_in: None,
            authority_until: None,
            tenure: Tenure::default(),
        }
    }

    /// The holder of a device token.
    fn device(
        who: Who,
        scopes: Scopes,
        revoked: watch::Receiver<bool>,
        expires_at: Option<Timestamp>,
    ) -> Self {
        Self {
            who,
            scopes,
            sign_in: None,
            authority_until: expires_at,
            tenure: Tenure {
                ends: vec![(revoked, Lapse::Revoked)],
                until: expires_at.map(|at| (at, Lapse::Expired)),
            },
        }
    }

    /// Somebody with an account, for as long as that stays as it is.
    fn account(name: String, scopes: Scopes, changed: watch::Receiver<bool>) -> Self {
        Self {
            who: Who::Account(name),
            scopes,
            sign_in: None,
            authority_until: None,
            tenure: Tenure {
                ends: vec![(changed, Lapse::SignedOut)],
                until: None,
            },
        }
    }

    /// The same, but only while a sign-in lasts.
    fn through(mut self, sign_in: sign_ins::Known) -> Self {
        let own = self.tenure.until;
        let ends_first = own.is_none_or(|(at, _)| sign_in.expires_at < at);
        if ends_first {
            self.tenure.until = Some((sign_in.expires_at, Lapse::SignInExpired));
        }
        self.tenure.ends.push((sign_in.over, Lapse::SignedOut));
        self.sign_in = Some(sign_in.id);
        self
    }

    /// Whether the caller may do everything, so also say who else may.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.scopes == Scopes::ALL
    }

    /// When the caller's rights end by themselves, if they do. A sign-in's own end is none: who
    /// signs in again has the same rights.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.authority_until
    }

    /// Why the caller's access has ended, if it has.
    pub(crate) fn lapsed(&self) -> Option<Lapse> {
        let Tenure { ends, until } = &self.tenure;
        // A sender that is gone means the same.
        let over = |over: &watch::Receiver<bool>| *over.borrow() || over.has_changed().is_err();
        let ended = ends.iter().find(|(end, _)| over(end));
        let is_over = |at| left_until(at, Timestamp::now()).is_zero();
        let by_itself = until.filter(|(at, _)| is_over(*at));
        ended
            .map(|(_, lapse)| *lapse)
            .or(by_itself.map(|(_, lapse)| lapse))
    }

    /// The same caller, for whom nothing ends.
    pub(crate) fn outliving(mut self) -> Self {
        self.tenure = Tenure::default();
        self
    }

    /// Waits until the caller's access ends, which may be never. Can be dropped and called
    /// again without missing it.
    pub async fn lapse(&mut self) -> Lapse {
        let Tenure { ends, until } = &mut self.tenure;
        if ends.is_empty() && until.is_none() {
            return std::future::pending().await;
        }
        loop {
            let left = until.map(|(at, lapse)| (left_until(at, Timestamp::now()), lapse));
            if let Some((Duration::ZERO, lapse)) = left {
                return lapse;
            }
            let wait = left.map_or(EXPIRY_CHECK, |(left, _)| left.min(EXPIRY_CHECK));
            tokio::select! {
                lapse = first(ends) => return lapse,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Waits for the first of these to be over.
async fn first(ends: &mut [(watch::Receiver<bool>, Lapse)]) -> Lapse {
    let waits = ends.iter_mut().map(|(over, lapse)| {
        Box::pin(async {
            // An error means that what it hangs on is gone, which is the same.
            let _ = over.wait_for(|over| *over).await;
            *lapse
        })
    });
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    select_all(waits).await.0
}

fn left_until(at: Timestamp, now: Timestamp) -> Duration {
    let millis = at.as_millis().saturating_sub(now.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_of_by_the_name_of_somebody_of_another_kind() {
        let device = |label: &str| Who::Device {
            id: "0a".to_owned(),
            label: label.to_owned(),
        };
        assert_eq!(Who::Master.label(), "master");
        assert_eq!(device("master").label(), "device master");
        assert_eq!(device("").label(), "device 0a");
        assert_eq!(Who::Account("ann".to_owned()).label(), "ann");
        for name in [
            "master",
            "MASTER ",
            "anybody",
            "mqtt",
            "device phone",
            "User ann",
        ] {
            let told = Who::User(name.to_owned()).label().into_owned();
            assert_eq!(told, format!("user {name}"));
        }
    }
}
