//! One client that listens to the whole box.

use std::sync::Arc;
use std::time::Duration;

use cib_protocol::api::{BoxChange, BoxSnapshot, FeedEnd, Shell};
use cib_protocol::session::Program;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ring::Event;
use super::{Feed, Listening, state_now};
use crate::app::{App, Shutdown};
use crate::auth::Caller;
use crate::auth::scope::Scope;
use crate::fault::Fault;
use crate::stream::{CLOSE_AWAY, CLOSE_BROKEN, CLOSE_LAPSED};

/// Why a stream ends with the box.
pub const SHUTTING_DOWN: &str = "shutting_down";

/// Sessions in a snapshot at most.
const MOST: usize = 1000;

/// What a reader has to pass on.
#[derive(Debug)]
pub enum Told {
    /// Events, in their order.
    Events(Vec<Event>),
    /// Nothing happened for a while.
    Heartbeat,
    /// The last event.
    End(Finish),
}

/// Why a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The word for it.
    pub reason: &'static str,
    /// Code of the WebSocket's close frame.
    pub close: u16,
    /// Where a client goes on.
    pub cursor: String,
}

impl Finish {
    /// As it is written in the last event.
    #[must_use]
    pub fn body(&self) -> FeedEnd {
        FeedEnd {
            reason: self.reason.to_owned(),
            cursor: self.cursor.clone(),
        }
    }
}

/// One client that listens to the whole box.
#[derive(Debug)]
pub struct Reader {
    app: Arc<App>,
    caller: Caller,
    shutdown: Shutdown,
    heartbeat: Duration,
    told: watch::Receiver<u64>,
    is_ready: watch::Receiver<bool>,
    /// The last event that was handed out; `None` if everything is to be told first.
    at: Option<u64>,
    /// Where a client goes on.
    cursor: String,
    quiet_since: Instant,
    _listening: Listening,
}

impl Reader {
    /// Listens behind a cursor, if it is still of use, else from now on.
    #[must_use]
    pub fn new(app: &Arc<App>, caller: Caller, cursor: Option<&str>) -> Self {
        let listening = Feed::listen(app);
        let at = cursor.and_then(|cursor| app.feed.state().ring.find(cursor));
        Self {
            caller,
            shutdown: app.shutdown(),
            heartbeat: app.heartbeat,
            told: app.feed.told.subscribe(),
            is_ready: app.feed.is_ready.subscribe(),
            at,
            cursor: cursor
                .filter(|_| at.is_some())
                .unwrap_or_default()
                .to_owned(),
            quiet_since: Instant::now(),
            app: Arc::clone(app),
            _listening: listening,
        }
    }

    /// Where a client goes on.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Waits for what is to be told next. Can be dropped and called again without losing any of
    /// it. Nothing follows [`Told::End`].
    pub async fn next(&mut self) -> Told {
        loop {
            self.told.borrow_and_update();
            match self.ready().await {
                Ok(events) if events.is_empty() => {}
                Ok(events) => {
                    self.quiet_since = Instant::now();
                    return Told::Events(events);
                }
                Err(fault) => {
                    fault.log("feed");
                    return self.end("unavailable", CLOSE_BROKEN);
                }
            }
            let beat = self.quiet_since + self.heartbeat;
            tokio::select! {
                biased;
                lapse = self.caller.lapse() => return self.end(lapse.as_str(), CLOSE_LAPSED),
                () = self.shutdown.begun() => return self.end(SHUTTING_DOWN, CLOSE_AWAY),
                // The feed is held, so its sender cannot be gone.
                _ = self.told.changed() => {}
                () = tokio::time::sleep_until(beat) => {
                    self.quiet_since = Instant::now();
                    return Told::Heartbeat;
                }
            }
        }
    }

    fn end(&self, reason: &'static str, close: u16) -> Told {
        Told::End(Finish {
            reason,
            close,
            cursor: self.cursor.clone(),
        })
    }

    /// What is there to be told; everything if something in between is no longer there.
    async fn ready(&mut self) -> Result<Vec<Event>, Fault> {
        if let Some(at) = self.at {
            let state = self.app.feed.state();
            if let Some(events) = state.ring.behind(at, &self.caller.scopes) {
                let last = state.ring.last();
                self.at = Some(last);
                self.cursor = state.ring.cursor(last);
                return Ok(events);
            }
        }
        // An error means that the feed is gone, and everything with it.
        let _ = self.is_ready.wait_for(|is_ready| *is_ready).await;
        let (last, cursor) = {
            let state = self.app.feed.state();
            (state.ring.last(), state.ring.cursor(state.ring.last()))
        };
        // What happens while it is made is told once more behind it.
        let snapshot = BoxChange::Snapshot(Box::new(self.snapshot().await?));
        let event = Event::new(cursor.clone(), snapshot).map_err(Fault::internal)?;
        self.at = Some(last);
        self.cursor = cursor;
        Ok(vec![event])
    }

    async fn snapshot(&self) -> Result<BoxSnapshot, Fault> {
        let app = &self.app;
        let (mut sessions, mut next, mut shells) = (Vec::new(), None, Vec::new());
        if self.caller.scopes.allows(Scope::SessionsRead) {
            let page = app.store.page(Program::Claude, None, MOST).await?;
            next = page.next;
            sessions = page
                .sessions
                .into_iter()
                .map(|session| app.feed.with_viewers(session))
                .collect();
        }
        if self.caller.scopes.allows(Scope::ShellsRead) {
            let page = app.store.page(Program::Shell, None, MOST).await?;
            shells = page.sessions.into_iter().map(Shell::from).collect();
        }
        Ok(BoxSnapshot {
            state: state_now(app).await,
            sessions,
            next,
            shells,
        })
    }
}
