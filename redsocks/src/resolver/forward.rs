//! Questions that go out: along the route, within a deadline, and not at all while the
//! upstream is known to be down.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::config::Mode;
use super::gate::{Entry, Gate};
use super::link::{Ground, Link, LinkError};
use super::route::{Leg, Outcome, Route, Way, Ways};
use super::server::DnsServer;
use super::wire::{Digest, digest};
use crate::client::{DialError, Dialer};
use crate::service::log;

/// How long a query is worked on. glibc asks again after 5 s; it should have an answer before.
const QUERY: Duration = Duration::from_millis(4500);
/// How long one leg is waited for before the next one is tried.
const LEG: Duration = Duration::from_millis(1500);
/// How long the upstream is left alone after it refused or broke off a connection, which
/// takes no time to find out again.
const AFTER_REFUSAL: Duration = Duration::from_millis(250);
/// And after it kept silent, which does.
const AFTER_SILENCE: Duration = Duration::from_secs(2);
/// How long the query that finds out whether the upstream lives again may wait for it.
const REVIVAL: Duration = Duration::from_millis(300);

/// Nobody could be asked. The client gets SERVFAIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// A reply, and what is to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The message as it came, with some id.
    pub(super) reply: Vec<u8>,
    /// What it means.
    pub(super) digest: Digest,
}

/// Sends questions through the upstream.
#[derive(Debug)]
pub(super) struct Forwarder {
    ground: Arc<Ground>,
    links: Vec<[Link; 2]>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    route: Route,
    /// Closed while the upstream is down.
    gate: Gate,
    /// What was logged last, so that it is logged once.
    reported: Reported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Nothing,
    Down,
    Unanswered,
}

impl Forwarder {
    /// A forwarder to `servers`, which are reached by `dialer`.
    #[must_use]
    pub(super) fn new(
        dialer: Arc<Dialer>,
        servers: &[DnsServer],
        mode: Mode,
        ca_bundle: PathBuf,
    ) -> Self {
        let ways = |server: &DnsServer| Ways {
            tcp53: server.tcp().is_some(),
            doh: true,
        };
        let link =
            |server: &DnsServer| [Way::Tcp53, Way::Doh].map(|way| Link::new(server.clone(), way));
        let state = Arc::new(Mutex::new(State {
            route: Route::new(mode, servers.iter().map(ways).collect()),
            gate: Gate::Open,
            reported: Reported::Nothing,
        }));
        // A silent upstream is found out after its query went home, and is for the next to
        // know.
        let known = Arc::clone(&state);
        let on_failure = move |error: &DialError| {
            if error.is_upstream_down() {
                lock(&known).lose(&log::chain(error), pause_after(error));
            }
        };
        Self {
            ground: Arc::new(Ground::new(dialer, ca_bundle, Box::new(on_failure))),
            links: servers.iter().map(link).collect(),
            state,
        }
    }

    /// Whether the upstream was found dead a moment ago, so that asking is no use.
    #[must_use]
    pub(super) fn is_down(&self) -> bool {
        self.lock().gate.turns_away(Instant::now())
    }

    /// Asks until somebody answers, at most 4.5 s.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], at once when the upstream is down.
    pub(super) async fn ask(&self, query: &[u8]) -> Result<Answer, NoAnswer> {
        let entry = self.lock().gate.enter(Instant::now());
        match entry {
            Entry::Pass => {}
            Entry::Turned => return Err(NoAnswer),
            Entry::Try => self.revive().await?,
        }
        let deadline = Instant::now() + QUERY;
        let legs = self.lock().route.legs(Instant::now());
        let mut misses = Vec::new();
        for leg in legs {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.try_leg(leg, query, left.min(LEG)).await {
                Ok(answer) => {
                    self.succeeded(leg);
                    return Ok(answer);
                }
                Err(Missed::UpstreamDown { why, pause }) => {
                    self.lock().lose(&why, pause);
                    return Err(NoAnswer);
                }
                Err(Missed::Leg { outcome, why }) => {
                    self.lock().route.report(leg, outcome, Instant::now());
                    misses.push(format!("server {} over {}: {why}", leg.server + 1, leg.way));
                    // Found out meanwhile, on another leg's account.
                    if self.is_down() {
                        return Err(NoAnswer);
                    }
                }
            }
        }
        self.unanswered(&misses);
        Err(NoAnswer)
    }

    /// Finds out whether the upstream lives again, which may take longer than the query that
    /// gave rise to it waits.
    async fn revive(&self) -> Result<(), NoAnswer> {
        let (done, found) = oneshot::channel();
        let (state, ground) = (Arc::clone(&self.state), Arc::clone(&self.ground));
        tokio::spawn(async move {
            let greeted = ground.dialer.greet().await;
            let mut state = lock(&state);
            match &greeted {
                Ok(()) => state.gate.open(),
                Err(error) => state.gate.close(Instant::now(), pause_after(error), true),
            }
            // The query may not have waited.
            let _ = done.send(greeted.is_ok());
        });
        match timeout(REVIVAL, found).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(NoAnswer),
        }
    }

    async fn try_leg(&self, leg: Leg, query: &[u8], within: Duration) -> Result<Answer, Missed> {
        let silent = |why: &dyn fmt::Display| Missed::Leg {
            outcome: Outcome::Silent,
            why: why.to_string(),
        };
        let link = &self.links[leg.server][usize::from(leg.way == Way::Doh)];
        match timeout(within, link.ask(&self.ground, query)).await {
            Ok(Ok(reply)) => match digest(&reply) {
                Some(digest) if !digest.is_refusal => Ok(Answer { reply, digest }),
                Some(_) => Err(silent(&"the server refused to look it up")),
                None => Err(silent(&"the server's reply is not DNS")),
            },
            Ok(Err(LinkError::Dial(error))) => Err(Missed::of_dial(&error)),
            Ok(Err(LinkError::Setup(fault))) => Err(silent(&log::chain(&*fault))),
            Ok(Err(error)) => Err(silent(&error)),
            Err(_) => Err(silent(&"no reply in time")),
        }
    }

    fn succeeded(&self, leg: Leg) {
        let now = Instant::now();
        let mut state = self.lock();
        let before = state.route.prefers_doh(now);
        state.route.report(leg, Outcome::Answered, now);
        let after = state.route.prefers_doh(now);
        state.gate.open();
        if std::mem::replace(&mut state.reported, Reported::Nothing) != Reported::Nothing {
            log::info(format_args!("DNS works again"));
        }
        match (before, after) {
            (false, true) => log::info(format_args!(
                "port 53 does not go through the proxy; asking over HTTPS"
            )),
            (true, false) => log::info(format_args!("port 53 goes through the proxy again")),
            _ => {}
        }
    }

    /// The reasons name servers, and never what was looked up.
    fn unanswered(&self, misses: &[String]) {
        let reasons = misses.join("; ");
        let mut state = self.lock();
        if state.reported == Reported::Nothing {
            state.reported = Reported::Unanswered;
            log::warn(format_args!(
                "no DNS: no server in CIB_DNS_SERVERS answered through the proxy ({reasons})"
            ));
        } else {
            log::debug(format_args!("no DNS: {reasons}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// The upstream is down.
    fn lose(&mut self, why: &str, pause: Duration) {
        self.gate.close(Instant::now(), pause, false);
        if std::mem::replace(&mut self.reported, Reported::Down) != Reported::Down {
            log::warn(format_args!("no DNS: {why}"));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pause_after(error: &DialError) -> Duration {
    match error {
        DialError::TimedOut { .. } => AFTER_SILENCE,
        _ => AFTER_REFUSAL,
    }
}

enum Missed {
    /// No other leg will do better.
    UpstreamDown { why: String, pause: Duration },
    /// The next leg may.
    Leg { outcome: Outcome, why: String },
}

impl Missed {
    fn of_dial(error: &DialError) -> Self {
        let why = log::chain(error);
        if error.is_upstream_down() {
            return Self::UpstreamDown {
                why,
                pause: pause_after(error),
            };
        }
        let outcome = match error {
            DialError::TimedOut { .. } => Outcome::Silent,
            _ => Outcome::Refused,
        };
        Self::Leg { outcome, why }
    }
}
