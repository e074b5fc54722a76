//! Which browsers are told, and for whom.
//!
//! A subscription belongs to the account or the token that made it, and to the sign-in: it ends with
//! whichever ends first, and tells no more than they may read.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cib_base::hex;
use cib_protocol::api::{NoticeEvent, PushKeys, PushSubscription, Subscribe};
use cib_protocol::time::Timestamp;
use http::Uri;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::seal;
use crate::auth::gate::Gate;
use crate::auth::scope::Scopes;
use crate::auth::sign_ins::Subject;
use crate::auth::store::{Damage, File, OpenError};
use crate::auth::{Caller, Who};
use crate::fault::{Code, Fault};
use crate::notices::outside::Outside;

/// Subscriptions of one owner; the oldest goes for another.
const MOST_OF_ONE: usize = 16;

/// Subscriptions in all.
const MOST: usize = 256;

/// Characters of a label.
const MAX_LABEL: usize = 100;

/// Whose a subscription is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::notices) enum Owner {
    /// An account's, a device token's or the master token's.
    Of(Subject),
    /// A user's whom a reverse proxy vouches for.
    User(String),
    /// Anybody's: the box asks for no token.
    Anybody,
}

impl Owner {
    /// Whose a caller's would be.
    pub(in crate::notices) fn of(gate: &Gate, caller: &Caller) -> Self {
        match (gate.subject(&caller.who), &caller.who) {
            (Some(subject), _) => Self::Of(subject),
            (None, Who::User(name)) => Self::User(name.clone()),
            (None, _) => Self::Anybody,
        }
    }
}

/// A subscription as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::notices) struct Stored {
    pub(in crate::notices) id: String,
    pub(in crate::notices) label: String,
    pub(in crate::notices) endpoint: String,
    pub(in crate::notices) keys: PushKeys,
    pub(in crate::notices) events: Vec<NoticeEvent>,
    pub(in crate::notices) owner: Owner,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::notices) sign_in: Option<String>,
    pub(in crate::notices) created_at: Timestamp,
}

impl Stored {
    /// What its owner may do now; nothing if there is no such owner any more.
    pub(in crate::notices) fn scopes(&self, gate: &Gate, now: Timestamp) -> Option<Scopes> {
        if let Some(id) = &self.sign_in
            && !gate.sign_ins().lasts(id, now)
        {
            return None;
        }
        match &self.owner {
            Owner::Of(subject) => gate.scopes_of(subject, now),
            Owner::User(_) => (!gate.is_disabled()).then_some(Scopes::ALL),
            Owner::Anybody => gate.is_disabled().then_some(Scopes::ALL),
        }
    }

    /// As it is shown.
    pub(in crate::notices) fn shown(&self) -> PushSubscription {
        let uri: Option<Uri> = self.endpoint.parse().ok();
        let host = uri.and_then(|uri| uri.host().map(str::to_owned));
        PushSubscription {
            id: self.id.clone(),
            label: self.label.clone(),
            service: host.unwrap_or_default(),
            endpoint_sha256: hex::encode(&Sha256::digest(&self.endpoint)),
            events: self.events.clone(),
            created_at: self.created_at,
        }
    }
}

/// The subscriptions of the box.
#[derive(Debug)]
pub(in crate::notices) struct Subscriptions {
    file: File,
    all: Mutex<Vec<Stored>>,
}

impl Subscriptions {
    pub(in crate::notices) fn open(folder: &Path) -> Result<Self, OpenError> {
        let (file, kept) = File::open(folder, "subscriptions.json", parse)?;
        Ok(Self {
            file,
            all: Mutex::new(kept.unwrap_or_default()),
        })
    }

    pub(in crate::notices) fn all(&self) -> Vec<Stored> {
        self.held().clone()
    }

    pub(in crate::notices) fn get(&self, id: &str) -> Option<Stored> {
        self.held().iter().find(|one| one.id == id).cloned()
    }

    /// Adds one. A browser that subscribes again takes its own place.
    pub(in crate::notices) async fn add(
        &self,
        owner: Owner,
        sign_in: Option<String>,
        asked: Subscribe,
        outside: &Outside,
    ) -> Result<Stored, Fault> {
        let bad = |detail: String| Fault::new(Code::BadValue, detail);
        let checked = outside.check(&asked.endpoint);
        checked.map_err(|why| bad(format!("`endpoint` {why}")))?;
        let key = seal::public_key(&asked.keys.p256dh);
        key.map_err(|why| bad(format!("`p256dh` {why}")))?;
        let secret = seal::secret(&asked.keys.auth);
        secret.map_err(|why| bad(format!("`auth` {why}")))?;
        if asked.label.chars().count() > MAX_LABEL || asked.label.chars().any(char::is_control) {
            return Err(bad(format!(
                "`label` has at most {MAX_LABEL} characters and no control characters"
            )));
        }
        let events = asked.events.unwrap_or_else(|| NoticeEvent::ALL.to_vec());
        if events.is_empty() {
            return Err(bad("`events` is empty; nothing would be told".to_owned()));
        }
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(Fault::internal)?;
        let mut made = Stored {
            id: hex::encode(&id),
            label: asked.label,
            endpoint: asked.endpoint,
            keys: asked.keys,
            events,
            owner,
            sign_in,
            created_at: Timestamp::now(),
        };
        {
            let mut all = self.held();
            if let Some(at) = all.iter().position(|one| one.endpoint == made.endpoint) {
                let before = all.remove(at);
                if before.owner == made.owner {
                    made.id = before.id;
                }
            }
            let own = all.iter().filter(|one| one.owner == made.owner).count();
            if own >= MOST_OF_ONE
                && let Some(at) = all.iter().position(|one| one.owner == made.owner)
            {
                all.remove(at);
            }
            if all.len() >= MOST {
                let detail = format!("there are {MOST} subscriptions already");
                return Err(Fault::new(Code::TooManyChannels, detail));
            }
            all.push(made.clone());
        }
        self.save().await?;
        Ok(made)
    }

    /// Removes one. Whether there was any.
    pub(in crate::notices) async fn remove(
        &self,
        is_it: impl Fn(&Stored) -> bool,
    ) -> Result<bool, Fault> {
        {
            let mut all = self.held();
            let before = all.len();
            all.retain(|one| !is_it(one));
            if all.len() == before {
                return Ok(false);
            }
        }
        self.save().await?;
        Ok(true)
    }

    async fn save(&self) -> Result<(), Fault> {
        let content = || self.held().clone();
        self.file.save(content).await.map_err(Fault::internal)
    }

    fn held(&self) -> MutexGuard<'_, Vec<Stored>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Stored>, Damage> {
    Ok(serde_json::from_slice(bytes)?)
}
