//! Looks at what lives, for as long as somebody listens.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cib_protocol::keeper::{KeeperReply, KeeperRequest};
use cib_protocol::limits::Resources;
use cib_protocol::session::{Program, SessionId, SessionMeta, State};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{LINGER, state_now};
use crate::app::App;
use crate::fault::Fault;
use crate::sessions::index::View;
use crate::sessions::keeper;

/// How often one session is looked at while its journal grows.
const PACE: Duration = Duration::from_millis(200);

/// How often a session is looked at that says nothing: its keeper may have died.
const KNOCK: Duration = Duration::from_secs(5);

/// How often init is asked what the box is.
const ASK: Duration = Duration::from_secs(5);

/// How long a keeper has to say what its session uses.
const ANSWER: Duration = Duration::from_millis(500);

/// How long a session that is new is waited for.
const BIRTH: Duration = Duration::from_secs(20);

pub(super) async fn run(app: Arc<App>, mut news: mpsc::Receiver<SessionId>) {
    let mut shutdown = app.shutdown();
    let mut following = Following::default();
    let mut live = Vec::new();
    for program in [Program::Claude, Program::Shell] {
        match app.store.list(program).await {
            Ok(sessions) => live.extend(sessions.into_iter().filter(|meta| meta.state.is_live())),
            Err(fault) => tracing::warn!(detail = fault.detail(), "live sessions are not known"),
        }
    }
    let ids: Vec<_> = live.iter().map(|meta| meta.id).collect();
    app.feed.begin(live);
    for id in ids {
        following.begin(&app, id, true);
    }
    let mut ask = tokio::time::interval(ASK);
    ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unheard: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            id = news.recv() => match id {
                Some(id) => following.begin(&app, id, false),
                None => return,
            },
            Some(ended) = following.tasks.join_next() => following.ended(ended.ok()),
            _ = ask.tick() => {
                app.feed.box_is(state_now(&app).await);
                unheard = app.feed.is_unheard().then(|| unheard.unwrap_or_else(Instant::now));
                if unheard.is_some_and(|since| since.elapsed() > LINGER) && app.feed.stop() {
                    return;
                }
            }
        }
    }
}

/// The sessions that are looked at. All of that ends with this.
#[derive(Default)]
struct Following {
    tasks: JoinSet<SessionId>,
    ids: HashSet<SessionId>,
    /// Those that began again while the end of their last life was being looked at.
    again: HashSet<SessionId>,
    app: Option<Arc<App>>,
}

impl Following {
    /// Looks at a session, which was seen to live or is about to.
    fn begin(&mut self, app: &Arc<App>, id: SessionId, lives: bool) {
        if self.ids.insert(id) {
            self.tasks.spawn(follow(Arc::clone(app), id, lives));
        } else {
            self.again.insert(id);
            self.app = Some(Arc::clone(app));
        }
    }

    fn ended(&mut self, id: Option<SessionId>) {
        let Some(id) = id else {
            return;
        };
        self.ids.remove(&id);
        if self.again.remove(&id)
            && let Some(app) = self.app.clone()
        {
            self.begin(&app, id, false);
        }
    }
}

/// What a session uses while it works. Its journal says so when a turn has ended, and while one goes
/// on its keeper is asked, for as long as somebody listens.
#[derive(Default)]
struct UseNow {
    /// What the journal said last.
    recorded: Resources,
    /// What the keeper said after that, and when.
    asked: Option<(Instant, Resources)>,
}

impl UseNow {
    /// The session with what it uses.
    async fn of(&mut self, app: &App, meta: Arc<SessionMeta>) -> Arc<SessionMeta> {
        if meta.state != State::Working || meta.program != Program::Claude {
            *self = Self::default();
            return meta;
        }
        if self.recorded != meta.resources {
            self.recorded = meta.resources;
            self.asked = None;
        }
        let is_old = self.asked.is_none_or(|(at, _)| at.elapsed() >= ASK);
        if is_old {
            let asking = keeper::ask(app.store.runtime(), meta.id, &KeeperRequest::Status);
            // One that does not answer is no news of what it uses.
            if let Ok(Ok(KeeperReply::Status(now))) = timeout(ANSWER, asking).await {
                self.asked = Some((Instant::now(), now.resources));
            }
        }
        let Some((_, resources)) = self.asked else {
            return meta;
        };
        let mut meta = meta;
        Arc::make_mut(&mut meta).resources = resources;
        meta
    }
}

/// Follows one session until it has ended.
async fn follow(app: Arc<App>, id: SessionId, lives: bool) -> SessionId {
    if let Err(fault) = look(&app, id, lives).await {
        tracing::warn!(session = %id, detail = fault.detail(), "is not looked at any more");
    }
    id
}

async fn look(app: &Arc<App>, id: SessionId, mut seen: bool) -> Result<(), Fault> {
    let born_by = Instant::now() + BIRTH;
    let mut use_now = UseNow::default();
    loop {
        // What is written from here on wakes it; what was before is seen now.
        let tail = crate::routes::streams::tail(app, id).await?.ok();
        let mut extent = tail.as_ref().map(|tail| tail.subscribe());
        let grown = async {
            match &mut extent {
                Some(extent) => drop(extent.changed().await),
                None => std::future::pending().await,
            }
        };
        match app.store.view(id).await? {
            View::Known(meta) => {
                let lives = meta.state.is_live();
                seen |= lives;
                // One that begins again has still ended at first.
                let has_ended = !lives && (seen || Instant::now() > born_by);
                if lives || has_ended {
                    app.feed.seen(use_now.of(app, meta).await);
                }
                if has_ended {
                    return Ok(());
                }
            }
            View::Nothing if seen || Instant::now() > born_by => return Ok(()),
            View::Nothing | View::Unfinished => {}
        }
        // It may be waited for on one, and is looked at soon while it is not there yet.
        let patience = if seen { KNOCK } else { PACE };
        let _ = tokio::time::timeout(patience, grown).await;
        tokio::time::sleep(PACE).await;
    }
}
