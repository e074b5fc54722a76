//! Forges that the box has an account at, for whoever submits a task.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cib_forge::{Forge, ForgeError, ForgesFault};
use cib_https::{Client, Options};
use cib_protocol::api::{
    ForgeInfo, ForgeList, ForgeProblem, ForgeRate, ForgeRepositories, ForgeRepository,
};
use cib_protocol::time::Timestamp;
use futures_util::future;

/// How old may be what a forge said of an account.
const FRESH: Duration = Duration::from_secs(30);

/// How long a forge has to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The forges, and what they said of the accounts.
#[derive(Debug, Default)]
pub struct Forges {
    forges: Arc<cib_forge::Forges>,
    said: tokio::sync::Mutex<Option<(Instant, ForgeList)>>,
}

impl Forges {
    /// Of the file that init leaves; none without it. Requests go through `bridge` if there is
    /// one, which understands `CONNECT`.
    ///
    /// # Errors
    /// It is there and cannot be used.
    pub fn open(file: &Path, bridge: Option<std::net::SocketAddr>) -> Result<Self, ForgesFault> {
        let https = Client::new(Options {
            bridge,
            patience: PATIENCE,
            ..Options::default()
        });
        Ok(Self {
            forges: Arc::new(cib_forge::Forges::read(file, &Arc::new(https))?),
            said: tokio::sync::Mutex::default(),
        })
    }

    /// The forges themselves.
    #[must_use]
    pub fn known(&self) -> &cib_forge::Forges {
        &self.forges
    }

    /// The same, for who keeps them.
    #[must_use]
    pub fn shared(&self) -> Arc<cib_forge::Forges> {
        Arc::clone(&self.forges)
    }

    /// What each says of the account, all asked at once, and twice a minute at most.
    pub async fn list(&self) -> ForgeList {
        let mut said = self.said.lock().await;
        if let Some((at, list)) = &*said
            && at.elapsed() < FRESH
        {
            return list.clone();
        }
        let asked = self.forges.iter().map(|forge| ask(forge));
        let list = ForgeList {
            forges: future::join_all(asked).await,
        };
        *said = Some((Instant::now(), list.clone()));
        list
    }

    /// The repositories that an account sees.
    ///
    /// # Errors
    /// As [`Forge::repositories`].
    pub async fn repositories(
        forge: &Forge,
        query: &str,
        page: u32,
    ) -> Result<ForgeRepositories, ForgeError> {
        let listed = forge.repositories(query, page).await?;
        let repositories = listed.items.into_iter().map(|one| ForgeRepository {
            name: one.slug.to_string(),
            url: forge.clone_url(&one.slug),
            description: one.description,
            default_branch: one.default_branch,
            may_push: one.may_push,
            archived: one.archived,
            private: one.private,
            fork: one.fork,
        });
        Ok(ForgeRepositories {
            repositories: repositories.collect(),
            next: listed.next,
        })
    }
}

async fn ask(forge: &Forge) -> ForgeInfo {
    let asked = forge.me().await;
    let mut info = ForgeInfo {
        host: forge.host().to_owned(),
        kind: forge.kind(),
        login: None,
        scopes: None,
        rate: forge.rate().map(|rate| ForgeRate {
            limit: rate.limit,
            remaining: rate.remaining,
            reset_at: at(rate.reset),
        }),
        error: None,
    };
    match asked {
        Ok(me) => {
            info.login = Some(me.login);
            info.scopes = me.scopes;
        }
        Err(error) => {
            tracing::warn!(
                host = forge.host(),
                error = &error as &dyn std::error::Error,
                "a forge cannot be used"
            );
            info.error = Some(ForgeProblem {
                kind: error.kind().as_str().to_owned(),
                detail: error.to_string(),
            });
        }
    }
    info
}

/// A time of a forge's, which may have said anything.
fn at(seconds: u64) -> Timestamp {
    const LATEST: u64 = 253_402_300_799;
    let millis = seconds.min(LATEST) * 1000;
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(0))
}
