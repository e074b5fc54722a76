//! The sealed envelope of devices, between its bytes (`cib_envelope`) and the routes.
//!
//! A message that opens is a request like any other: it is put to the table of routes as its
//! token's, and its answer is sealed. Nothing here decides what may be asked.

pub mod answer;
pub(crate) mod earlier;
pub(crate) mod events;
pub(crate) mod seen;

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cib_envelope::head::Method;
use cib_envelope::keys::{Key, KeyId, Sid};
use cib_envelope::message::{CHALLENGE, Prefix};
use cib_envelope::server::{Candidate, Proven, Refusal, Responder, Server};
use cib_protocol::time::Timestamp;
use nix::time::{ClockId, clock_gettime};

use crate::app::App;
use crate::auth::Caller;
use crate::auth::tokens::Holder;
use crate::fault::Fault;
use crate::work;
use seen::Seen;

/// What whoever serves the earlier envelopes has to know.
pub const WARNING: &str = "CIB_AES_LEGACY: versions 1 and 2 of the sealed envelope are served; in \
    version 2 whoever holds a request back can send it with another method, a stream that is cut looks \
    whole, and in both an answer is bound to no request. Take version 3 where you can";

/// What control knows of sealed sessions. It dies with the process, and every ticket with it.
#[derive(Debug)]
pub struct Envelope {
    server: Mutex<Server>,
    clock: Clock,
    /// What the earlier envelopes have asked, if they are served.
    seen: Option<Arc<Seen>>,
}

/// The wall clock as it was at the start, and what has gone by since: a clock that is set back
/// makes no old ticket young.
#[derive(Debug)]
struct Clock {
    /// Milliseconds from 1970 to the machine's start.
    offset: u64,
}

/// Milliseconds since the machine started, those it slept for included.
fn since_boot() -> u64 {
    let time =
        clock_gettime(ClockId::CLOCK_BOOTTIME).or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC));
    let time = time.map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Clock {
    fn new() -> Self {
        let now = u64::try_from(Timestamp::now().as_millis()).unwrap_or(0);
        Self {
            offset: now.saturating_sub(since_boot()),
        }
    }

    fn now(&self) -> u64 {
        self.offset.saturating_add(since_boot())
    }
}

/// A request that came sealed, and how it is answered.
#[derive(Debug)]
pub struct Sealed {
    /// What was asked, or why it is not put to the routes.
    pub asked: Result<Asked, Fault>,
    /// How the answer is sealed.
    pub responder: Responder,
    /// The longest plaintext of a record that the device takes.
    pub max_record: usize,
    /// The box's time, in milliseconds since 1970.
    pub now: u64,
    /// Random bytes for the answer's key.
    pub salt: [u8; 8],
}

/// A request to a route.
#[derive(Debug)]
pub struct Asked {
    /// Whose it is.
    pub caller: Caller,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// Its body.
    pub body: Bytes,
}

/// A device whose message is proven and new.
#[derive(Debug)]
pub struct Known {
    /// Who it is; nobody, if its token has expired.
    pub caller: Option<Caller>,
    /// How it is answered.
    pub responder: Responder,
}

impl Envelope {
    /// Begins with nothing.
    ///
    /// # Errors
    /// If there are no random bytes.
    pub fn begin() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self {
            server: Mutex::new(Server::new(Key::new(key))),
            clock: Clock::new(),
            seen: None,
        })
    }

    /// Serves the earlier envelopes as well, with a folder of control's own for what they asked.
    #[must_use]
    pub fn with_earlier(mut self, own: &Path) -> Self {
        self.seen = Some(Arc::new(Seen::new(own.join("aes-legacy"))));
        self
    }

    /// What the earlier envelopes have asked; nothing if they are not served.
    pub(crate) fn seen(&self) -> Option<Arc<Seen>> {
        self.seen.clone()
    }

    /// Whether the earlier envelopes are served.
    #[must_use]
    pub fn serves_earlier(&self) -> bool {
        self.seen.is_some()
    }

    /// The time by which messages are judged, in milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// A challenge.
    #[must_use]
    pub fn challenge(&self, random: [u8; 16]) -> [u8; CHALLENGE] {
        self.server().challenge(self.now(), random)
    }

    /// As [`Server::judge`].
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn judge(&self, prefix: &Prefix) -> Result<Candidate, Refusal> {
        self.server().judge(prefix, self.now())
    }

    fn accept(&self, proven: Proven) -> Result<Responder, Refusal> {
        self.server().accept(proven, self.now())
    }

    /// Whose a proven message is, if it is new. `opens` says that it begins a session.
    ///
    /// # Errors
    /// [`Refusal::Refused`] and [`Refusal::Stale`] for a token that there is not, else as
    /// [`Server::accept`].
    pub fn known(&self, app: &App, proven: Proven, opens: bool) -> Result<Known, Refusal> {
        let caller = match app.gate.tokens().device(proven.key_id(), Timestamp::now()) {
            Holder::Nobody if opens => return Err(Refusal::Refused),
            Holder::Nobody => return Err(Refusal::Stale),
            Holder::Expired => None,
            Holder::Caller(caller) => Some(*caller),
        };
        let responder = self.accept(proven)?;
        Ok(Known { caller, responder })
    }

    /// Forgets the sessions of a token that was revoked, and what it asked.
    pub async fn forget(&self, id: &str) {
        let byte = |at: usize| u8::from_str_radix(id.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..id.len()).step_by(2).map(byte).collect();
        if let Some(id) = bytes.and_then(|bytes| bytes.try_into().ok()) {
            self.server().forget(KeyId(id));
        }
        if let Some(seen) = self.seen() {
            let token = id.to_owned();
            let forgetting = move || {
                seen.forget(&token);
                Ok::<_, Infallible>(())
            };
            if let Err(fault) = work::run(forgetting).await {
                // What stays is a file that nobody reads: the token is no more.
                fault.log("aes");
            }
        }
    }

    /// Whether a session is there, and neither idle nor old.
    #[must_use]
    pub fn lives(&self, sid: Sid) -> bool {
        self.server().lives(sid, self.now())
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.server().sessions()
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
