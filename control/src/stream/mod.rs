//! Following a session: one source of events, written down by each transport in its own way.

pub(crate) mod preview;
pub mod size;
pub mod socket;
pub mod sse;
pub mod ttyd;

use std::sync::Arc;
use std::time::Duration;

use cib_protocol::api::StreamEnd;
use cib_protocol::session::SessionId;
use tokio::time::Instant;

use crate::app::{App, Shutdown};
use crate::auth::Caller;
use crate::feed::{Feed, Viewing};
use crate::journal::cursor::{Batch, Cursor, Read};
use crate::journal::tail::End;

/// What a follower has to pass on.
#[derive(Debug)]
pub enum Event {
    /// Frames.
    Frames(Batch),
    /// Nothing happened for a while.
    Heartbeat,
    /// The last event.
    End(Finish),
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The word for it.
    pub reason: &'static str,
    /// Code of the WebSocket's close frame.
    pub close: u16,
    /// Where a client goes on.
    pub last_seq: u64,
}

/// Close code: the session ended and every frame was sent.
pub const CLOSE_ENDED: u16 = 1000;
/// Close code: the box is shutting down; connect again later.
pub const CLOSE_AWAY: u16 = 1001;
/// Close code: the journal cannot be read.
pub const CLOSE_BROKEN: u16 = 1011;
/// Close code: the caller's access ended while the stream was open.
pub const CLOSE_LAPSED: u16 = 4401;
/// Close code: the session's directory was removed.
pub const CLOSE_GONE: u16 = 4410;

impl Finish {
    /// As it is written in the last event.
    #[must_use]
    pub fn body(&self) -> StreamEnd {
        StreamEnd {
            reason: self.reason.to_owned(),
            last_seq: self.last_seq,
        }
    }
}

/// One client that follows one session.
#[derive(Debug)]
pub struct Follow {
    cursor: Cursor,
    caller: Caller,
    shutdown: Shutdown,
    heartbeat: Duration,
    quiet_since: Instant,
    _viewing: Viewing,
}

impl Follow {
    /// Follows from a cursor until the session, the caller's access or the box ends.
    #[must_use]
    pub fn new(app: &Arc<App>, session: SessionId, cursor: Cursor, caller: Caller) -> Self {
        let viewing = Feed::view(app, session, &caller.who);
        Self {
            cursor,
            caller,
            shutdown: app.shutdown(),
            heartbeat: app.heartbeat,
            _viewing: viewing,
            quiet_since: Instant::now(),
        }
    }

    /// Seq of the last frame that was handed out or passed over.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Waits for the next event. Can be dropped and called again without losing frames.
    /// Nothing follows [`Event::End`].
    pub async fn next(&mut self) -> Event {
        let beat = self.quiet_since + self.heartbeat;
        let event = tokio::select! {
            biased;
            lapse = self.caller.lapse() => Event::End(Finish {
                reason: lapse.as_str(),
                close: CLOSE_LAPSED,
                last_seq: self.cursor.position(),
            }),
            () = self.shutdown.begun() => Event::End(Finish {
                reason: "shutting_down",
                close: CLOSE_AWAY,
                last_seq: self.cursor.position(),
            }),
            step = self.cursor.next() => match step {
                Read::Frames(batch) => Event::Frames(batch),
                Read::End(end) => Event::End(Finish {
                    reason: end.as_str(),
                    close: close_code(end),
                    last_seq: self.cursor.position(),
                }),
            },
            () = tokio::time::sleep_until(beat) => {
                self.cursor.nudge();
                Event::Heartbeat
            }
        };
        self.quiet_since = Instant::now();
        event
    }
}

fn close_code(end: End) -> u16 {
    match end {
        End::Session(_) => CLOSE_ENDED,
        End::Gone => CLOSE_GONE,
        End::Unreadable => CLOSE_BROKEN,
    }
}
