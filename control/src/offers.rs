//! What Claude has to choose from: asked of the keepers that live, and kept for when none does.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cib_base::errors::chain;
use cib_protocol::keeper::{KeeperReply, KeeperRequest};
use cib_protocol::offers::Offers;
use cib_protocol::session::{Driver, Program, SessionId, SessionMeta};
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::fault::{Code, Fault};
use crate::sessions::keeper;
use crate::work;

/// How old what is known may be before a keeper is asked again.
const FRESH: Duration = Duration::from_secs(30);

/// How many of the newest sessions are looked through for one that lives.
const LOOKED_AT: usize = 64;

/// How many keepers are asked at most: one that is just starting does not know.
const ASKED: usize = 3;

/// How long a keeper has.
const PATIENCE: Duration = Duration::from_secs(1);

/// What each Claude Code takes for a model.
const ALIASES: [&str; 5] = ["default", "haiku", "opus", "opusplan", "sonnet"];

/// What was said, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// What.
    pub offers: Offers,
}

/// What the last Claude that was asked said.
#[derive(Debug)]
pub struct Known {
    /// Whether Claude speaks to a gateway or a cloud: nobody here knows what that has.
    gateway: bool,
    path: PathBuf,
    said: Mutex<Option<Arc<Said>>>,
    /// When keepers were asked last. Held while they are.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl Known {
    /// Kept in a folder of control's own. A file that cannot be used is as none.
    #[must_use]
    pub fn open(folder: &Path, gateway: bool) -> Self {
        let path = folder.join("offers.json");
        let said = cib_foreign::own::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map(Arc::new);
        Self {
            gateway,
            path,
            said: Mutex::new(said),
            asked: tokio::sync::Mutex::default(),
        }
    }

    /// What was said last, by whichever session.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Said>> {
        self.said().clone()
    }

    /// Whether a model can be one, as far as anybody knows: before a Claude has said what there is, it
    /// is what each Claude Code takes. None is refused where it is somebody else's than Anthropic's to say.
    ///
    /// # Errors
    /// [`Code::BadValue`], with what there is.
    fn check(&self, model: &str) -> Result<(), Fault> {
        if self.gateway {
            return Ok(());
        }
        let said = self.last();
        let listed = said.iter().flat_map(|said| &said.offers.models);
        let listed: Vec<_> = listed.map(|known| &*known.value).collect();
        // As it is asked for with a larger context.
        let plain = model.split('[').next().unwrap_or(model);
        let is_listed = listed.contains(&model) || listed.contains(&plain);
        // Ids are many, and clouds have their own around them.
        if is_listed || ALIASES.contains(&plain) || plain.contains("claude") {
            return Ok(());
        }
        let names = if listed.is_empty() {
            &ALIASES[..]
        } else {
            &listed
        };
        let detail = format!(
            "`model` is {} or the id of a Claude, not `{model}`; other models are those of a provider \
             (`provider_id`), or of the gateway or cloud that the box is given (`ANTHROPIC_BASE_URL`)",
            names.join(", ")
        );
        Err(Fault::new(Code::BadValue, detail))
    }

    fn said(&self) -> MutexGuard<'_, Option<Arc<Said>>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what a Claude said; the disk has it if it is something new.
    async fn learn(&self, offers: Offers) {
        let at = Timestamp::now();
        let said = Arc::new(Said { at, offers });
        let before = self.said().replace(Arc::clone(&said));
        if before.is_some_and(|before| before.offers == said.offers) {
            return;
        }
        let path = self.path.clone();
        let kept = work::run(move || {
            let text = serde_json::to_vec(&*said)?;
            cib_base::files::replace(&path, &text)
        });
        if let Err(error) = kept.await {
            // It is asked for again when there is a session.
            tracing::warn!(error = chain(&error), "what Claude offers is not kept");
        }
    }
}

/// What Claude offers in this box, as fresh as can be had.
///
/// # Errors
/// If the sessions cannot be read.
pub async fn current(app: &App) -> Result<Option<Arc<Said>>, Fault> {
    let mut asked = app.offers.asked.lock().await;
    if asked.is_none_or(|at| at.elapsed() >= FRESH) {
        let page = app.store.page(Program::Claude, None, LOOKED_AT).await?;
        let live = page.sessions.iter().filter(|meta| tells(meta)).take(ASKED);
        for meta in live {
            if of_session(app, meta.id).await.is_some() {
                *asked = Some(Instant::now());
                break;
            }
        }
    }
    Ok(app.offers.last())
}

/// Whether a model can be one, as far as anybody in the box knows; sessions that live are asked where
/// nobody has been yet.
///
/// # Errors
/// [`Code::BadValue`], with what there is.
pub async fn check(app: &App, model: &str) -> Result<(), Fault> {
    if !app.offers.gateway
        && app.offers.last().is_none()
        && let Err(fault) = current(app).await
    {
        fault.log("offers");
    }
    app.offers.check(model)
}

/// Whether a session's Claude says what it has.
#[must_use]
pub fn tells(meta: &SessionMeta) -> bool {
    meta.state.is_live() && meta.driver == Driver::Stream
}

/// What the Claude of a session offers; `None` if it does not say so in time.
pub async fn of_session(app: &App, id: SessionId) -> Option<Offers> {
    let asked = keeper::ask(app.store.runtime(), id, &KeeperRequest::Offers);
    let Ok(Ok(KeeperReply::Offers(offers))) = tokio::time::timeout(PATIENCE, asked).await else {
        return None;
    };
    if offers.is_empty() {
        return None;
    }
    app.offers.learn((*offers).clone()).await;
    Some(*offers)
}
