//! The stream of the whole box: what changed of sessions, of shells and of the box itself.
//!
//! * [`ring::Ring`] has the last events, for whoever was away for a moment. A reader is a number
//!   in it ([`reader::Reader`]): nothing is kept for each of them, and one that is too slow gets
//!   everything as it is instead of what it missed.
//! * While somebody listens, and for a moment after, [`watch`] looks at what lives: the journals of
//!   live sessions wake it, and a keeper that died without a word is knocked at. Sessions that
//!   have ended are not looked at; who starts or purges one says so here.
//! * A session is told of when something changed that is worth it, and not for every frame.

pub mod reader;
pub mod ring;
pub mod sse;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cib_protocol::api::{BoxChange, BoxState, Disk, GoneSession, SeenSession, Shell};
use cib_protocol::init::BoxStatus;
use cib_protocol::session::{Program, SessionId, SessionMeta};
use tokio::sync::{mpsc, watch as told};

use crate::app::App;
use crate::auth::Who;
use crate::disks::part_free;
use ring::{Part, Ring};

/// How long what lives is looked at although nobody listens: as long as a reload takes, and more.
const LINGER: Duration = Duration::from_secs(30);

/// Sessions that may wait to be looked at because somebody said that they are new.
const NEWS: usize = 256;

/// Names of who looks at a session that are told, at most.
const MAX_NAMES: usize = 8;

/// The last events, and who takes part.
#[derive(Debug)]
pub struct Feed {
    state: Mutex<State>,
    /// Seq of the last event.
    told: told::Sender<u64>,
    /// Whether what lives is known, so that from now on every change of it is told.
    is_ready: told::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    ring: Ring,
    readers: usize,
    /// Says to [`watch`] that there is something new; `None` while it does not run.
    news: Option<mpsc::Sender<SessionId>>,
    /// What was told last of each that lives.
    known: HashMap<SessionId, Arc<SessionMeta>>,
    /// The box as it was told last; `None` until it is asked.
    state: Option<BoxState>,
    /// Who looks at each, as often as it does.
    viewers: HashMap<SessionId, Vec<Arc<str>>>,
}

/// Somebody who listens.
#[derive(Debug)]
pub struct Listening(Arc<App>);

/// Somebody who looks at a session.
#[derive(Debug)]
pub struct Viewing {
    app: Arc<App>,
    session: SessionId,
    who: Arc<str>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            told: told::Sender::new(0),
            is_ready: told::Sender::new(false),
        }
    }
}

impl Feed {
    /// Listens, which has what lives looked at for as long as this is kept.
    #[must_use]
    pub fn listen(app: &Arc<App>) -> Listening {
        let mut state = app.feed.state();
        state.readers += 1;
        if state.news.is_none() {
            let (sender, news) = mpsc::channel(NEWS);
            state.news = Some(sender);
            // What happened meanwhile is known to nobody.
            state.ring.begin_anew();
            state.state = None;
            app.feed.is_ready.send_replace(false);
            tokio::spawn(watch::run(Arc::clone(app), news));
        }
        drop(state);
        Listening(Arc::clone(app))
    }

    /// Looks at a session, which is told to whoever listens.
    #[must_use]
    pub fn view(app: &Arc<App>, session: SessionId, who: &Who) -> Viewing {
        let who: Arc<str> = who.label().into();
        app.feed.count(session, &who, true);
        Viewing {
            app: Arc::clone(app),
            session,
            who,
        }
    }

    /// Says that a session or a shell begins, for the first time or again.
    pub fn begun(&self, session: SessionId) {
        if let Some(news) = &self.state().news {
            // With so many new ones at once, one is seen later: when it is listed.
            let _ = news.try_send(session);
        }
    }

    /// Says that a session or a shell was removed.
    pub fn removed(&self, session: SessionId) {
        let mut state = self.state();
        if state.news.is_none() {
            return;
        }
        state.known.remove(&session);
        let change = BoxChange::Gone(GoneSession { id: session });
        self.publish(&mut state, Part::Either, change);
    }

    /// A session with who looks at it now.
    pub(super) fn with_viewers(&self, session: SessionMeta) -> SeenSession {
        with_viewers(&self.state(), session)
    }

    /// Tells that there is another event, for as long as somebody listens.
    #[must_use]
    pub fn changes(&self) -> told::Receiver<u64> {
        self.told.subscribe()
    }

    /// Waits until what lives is known. Somebody has to listen.
    pub async fn ready(&self) {
        // An error means that the feed is gone, and everything with it.
        let _ = self
            .is_ready
            .subscribe()
            .wait_for(|is_ready| *is_ready)
            .await;
    }

    /// Takes up what a session is now.
    fn seen(&self, meta: Arc<SessionMeta>) {
        let mut state = self.state();
        let before = state.known.get(&meta.id);
        let is_news = before.is_none_or(|before| is_worth_telling(before, &meta));
        if !is_news {
            return;
        }
        self.tell(&mut state, &meta);
        if meta.state.is_live() {
            state.known.insert(meta.id, meta);
        } else {
            state.known.remove(&meta.id);
        }
    }

    /// Takes up what lives, before anybody is told anything.
    fn begin(&self, live: Vec<SessionMeta>) {
        let live = live.into_iter().map(|meta| (meta.id, Arc::new(meta)));
        self.state().known.extend(live);
        self.is_ready.send_replace(true);
    }

    /// Takes up what the box is now.
    fn box_is(&self, now: BoxState) {
        let mut state = self.state();
        let before = state.state.replace(now.clone());
        // Who listens since before that has asked for itself.
        if before.is_some_and(|before| still(&before) != still(&now)) {
            self.publish(&mut state, Part::Box, BoxChange::Box(Box::new(now)));
        }
    }

    fn tell(&self, state: &mut State, meta: &SessionMeta) {
        let (part, change) = match meta.program {
            Program::Claude => {
                let seen = with_viewers(state, meta.clone());
                (Part::Sessions, BoxChange::Session(Box::new(seen)))
            }
            Program::Shell => {
                let shell = Shell::from(meta.clone());
                (Part::Shells, BoxChange::Shell(Box::new(shell)))
            }
        };
        self.publish(state, part, change);
    }

    fn publish(&self, state: &mut State, part: Part, change: BoxChange) {
        match state.ring.push(part, change) {
            Ok(seq) => drop(self.told.send_replace(seq)),
            Err(error) => tracing::error!(%error, "an event of the box is not told"),
        }
    }

    fn count(&self, session: SessionId, who: &Arc<str>, comes: bool) {
        let mut state = self.state();
        let viewers = state.viewers.entry(session).or_default();
        if comes {
            viewers.push(Arc::clone(who));
        } else if let Some(at) = viewers.iter().position(|one| one == who) {
            viewers.remove(at);
        }
        if viewers.is_empty() {
            state.viewers.remove(&session);
        }
        if state.news.is_some()
            && let Some(meta) = state.known.get(&session).cloned()
        {
            self.tell(&mut state, &meta);
        }
    }

    /// Whether nobody listens.
    fn is_unheard(&self) -> bool {
        self.state().readers == 0
    }

    /// Stops looking, if still nobody listens.
    fn stop(&self) -> bool {
        let mut state = self.state();
        if state.readers > 0 {
            return false;
        }
        state.news = None;
        state.known.clear();
        state.ring.begin_anew();
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.feed.state().readers -= 1;
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.app.feed.count(self.session, &self.who, false);
    }
}

/// A session with who looks at it.
fn with_viewers(state: &State, session: SessionMeta) -> SeenSession {
    let all = state
        .viewers
        .get(&session.id)
        .map_or(&[][..], Vec::as_slice);
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if names.len() < MAX_NAMES && !names.iter().any(|known| **known == **name) {
            names.push(name.to_string());
        }
    }
    SeenSession {
        session,
        viewers: u32::try_from(all.len()).unwrap_or(u32::MAX),
        viewer_names: names,
    }
}

/// Whether something changed but how long the journal is.
fn is_worth_telling(before: &SessionMeta, now: &SessionMeta) -> bool {
    let mut before = before.clone();
    before.last_seq = now.last_seq;
    before != *now
}

/// What does not change by itself.
fn still(state: &BoxState) -> BoxState {
    let mut still = state.clone();
    still.uptime_ms = 0;
    for service in &mut still.services {
        service.uptime_ms = None;
    }
    for disk in &mut still.disks {
        *disk = Disk {
            free: part_free(disk),
            total: 0,
            path: std::mem::take(&mut disk.path),
        };
    }
    still
}

/// The box as init tells it.
fn state_of(status: BoxStatus, disks: Vec<Disk>) -> BoxState {
    BoxState {
        disks,
        phase: status.phase,
        uptime_ms: status.uptime_ms,
        egress: status.egress,
        services: status.services,
        warnings: status.warnings,
    }
}

/// The box as it is.
async fn state_now(app: &App) -> BoxState {
    match app.status().await {
        Ok(status) => state_of(status, app.disks().await),
        Err(_) => silent(),
    }
}

/// The box when init says nothing.
fn silent() -> BoxState {
    BoxState {
        phase: "unknown".to_owned(),
        ..BoxState::default()
    }
}
