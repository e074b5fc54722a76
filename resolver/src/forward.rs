//! Sends queries to DNS servers through the upstream, within a deadline, and sends none while
//! the upstream is known to be down.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cib_base::errors;
use cib_upstream::client::{DialError, Dialer};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::breaker::{Admission, Breaker, Reporter};
use crate::config::Mode;
use crate::connection::{Connection, Connector};
use crate::exchange::ExchangeError;
use crate::selection::{Attempt, Outcome, Protocol, Protocols, Selection};
use crate::server::DnsServer;
use crate::wire::{ReplyInfo, inspect};

/// How long a query may take. glibc asks again after 5 s, and should have an answer before that.
const QUERY: Duration = Duration::from_millis(4500);
/// How long one attempt may take before the next one begins.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// How long nothing is sent to the upstream after it refused or closed a connection. It takes no
/// time to find that out again.
const AFTER_REFUSAL: Duration = Duration::from_millis(250);
/// The same after it did not answer. It takes long to find that out again.
const AFTER_SILENCE: Duration = Duration::from_secs(2);
/// How long the query waits that finds out whether the upstream works again.
const TRIAL: Duration = Duration::from_millis(300);

/// No server answered. The client gets SERVFAIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer;

/// A reply, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The message as it came, with some id.
    pub(crate) reply: Vec<u8>,
    /// What it means.
    pub(crate) info: ReplyInfo,
}

/// Sends questions through the upstream.
#[derive(Debug)]
pub(crate) struct Forwarder {
    connector: Arc<Connector>,
    /// Of each server, one for each protocol.
    connections: Vec<[Connection; 2]>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    selection: Selection,
    breaker: Breaker,
    /// What was logged last: the same is not logged again.
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
    pub(crate) fn new(
        dialer: Arc<Dialer>,
        servers: &[DnsServer],
        mode: Mode,
        ca_bundle: PathBuf,
    ) -> Self {
        let protocols = |server: &DnsServer| Protocols {
            tcp: server.tcp().is_some(),
            https: true,
        };
        let connections = |server: &DnsServer| {
            [Protocol::Tcp, Protocol::Https]
                .map(|protocol| Connection::new(server.clone(), protocol))
        };
        let state = Arc::new(Mutex::new(State {
            selection: Selection::new(mode, servers.iter().map(protocols).collect()),
            breaker: Breaker::Closed,
            reported: Reported::Nothing,
        }));
        // A silent upstream may be found out after its query has failed. The next query then
        // knows of it.
        let known = Arc::clone(&state);
        let on_failure = move |error: &DialError| {
            if error.is_upstream_down() {
                lock(&known).lost(&errors::chain(error), pause_after(error));
            }
        };
        Self {
            connector: Arc::new(Connector::new(dialer, ca_bundle, Box::new(on_failure))),
            connections: servers.iter().map(connections).collect(),
            state,
        }
    }

    /// Whether the upstream was found dead a moment ago, so that a query would fail.
    #[must_use]
    pub(crate) fn is_down(&self) -> bool {
        self.lock().breaker.rejects(Instant::now())
    }

    /// Asks until somebody answers, at most 4.5 s.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], at once when the upstream is down.
    pub(crate) async fn ask(&self, query: &[u8]) -> Result<Answer, NoAnswer> {
        let admission = self.lock().breaker.admit(Instant::now());
        match admission {
            Admission::Pass => {}
            Admission::Reject => return Err(NoAnswer),
            Admission::Trial => self.try_upstream().await?,
        }
        let deadline = Instant::now() + QUERY;
        let attempts = self.lock().selection.attempts(Instant::now());
        let mut failures = Vec::new();
        for attempt in attempts {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.make(attempt, query, left.min(ATTEMPT)).await {
                Ok(answer) => {
                    self.succeeded(attempt);
                    return Ok(answer);
                }
                Err(Failure::Upstream { why, pause }) => {
                    self.lock().lost(&why, pause);
                    return Err(NoAnswer);
                }
                Err(Failure::Server { outcome, why }) => {
                    self.lock()
                        .selection
                        .report(attempt, outcome, Instant::now());
                    let Attempt { server, protocol } = attempt;
                    failures.push(format!("server {} over {protocol}: {why}", server + 1));
                    // Another query may have found the upstream dead meanwhile.
                    if self.is_down() {
                        return Err(NoAnswer);
                    }
                }
            }
        }
        self.unanswered(&failures);
        Err(NoAnswer)
    }

    /// Finds out whether the upstream works again. That may take longer than the query waits.
    async fn try_upstream(&self) -> Result<(), NoAnswer> {
        let (done, found) = oneshot::channel();
        let (state, connector) = (Arc::clone(&self.state), Arc::clone(&self.connector));
        tokio::spawn(async move {
            let greeted = connector.dialer.greet().await;
            let mut state = lock(&state);
            match &greeted {
                Ok(()) => state.breaker.close(),
                Err(error) => {
                    state
                        .breaker
                        .open(Instant::now(), pause_after(error), Reporter::Trial);
                }
            }
            // The query may not have waited.
            let _ = done.send(greeted.is_ok());
        });
        match timeout(TRIAL, found).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(NoAnswer),
        }
    }

    async fn make(
        &self,
        attempt: Attempt,
        query: &[u8],
        within: Duration,
    ) -> Result<Answer, Failure> {
        let silent = |why: &dyn fmt::Display| Failure::Server {
            outcome: Outcome::Silent,
            why: why.to_string(),
        };
        let https = usize::from(attempt.protocol == Protocol::Https);
        let connection = &self.connections[attempt.server][https];
        match timeout(within, connection.ask(&self.connector, query)).await {
            Ok(Ok(reply)) => match inspect(&reply) {
                Some(info) if !info.is_refusal => Ok(Answer { reply, info }),
                Some(_) => Err(silent(&"the server refused to look it up")),
                None => Err(silent(&"the server's reply is not DNS")),
            },
            Ok(Err(ExchangeError::Dial(error))) => Err(Failure::of_dial(&error)),
            Ok(Err(ExchangeError::Setup(fault))) => Err(silent(&errors::chain(&*fault))),
            Ok(Err(error)) => Err(silent(&error)),
            Err(_) => Err(silent(&"no reply in time")),
        }
    }

    fn succeeded(&self, attempt: Attempt) {
        let now = Instant::now();
        let mut state = self.lock();
        let before = state.selection.prefers_https(now);
        state.selection.report(attempt, Outcome::Answered, now);
        let after = state.selection.prefers_https(now);
        state.breaker.close();
        if std::mem::replace(&mut state.reported, Reported::Nothing) != Reported::Nothing {
            tracing::info!("DNS works again");
        }
        match (before, after) {
            (false, true) => {
                tracing::info!("port 53 does not go through the proxy; asking over HTTPS");
            }
            (true, false) => tracing::info!("port 53 goes through the proxy again"),
            _ => {}
        }
    }

    /// Logs why. The reasons name servers, and never the name that was looked up.
    fn unanswered(&self, failures: &[String]) {
        let reasons = failures.join("; ");
        let mut state = self.lock();
        if state.reported == Reported::Nothing {
            state.reported = Reported::Unanswered;
            tracing::warn!(
                "no DNS: no server in CIB_DNS_SERVERS answered through the proxy ({reasons})"
            );
        } else {
            tracing::debug!("no DNS: {reasons}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// The upstream is down.
    fn lost(&mut self, why: &str, pause: Duration) {
        self.breaker.open(Instant::now(), pause, Reporter::Other);
        if std::mem::replace(&mut self.reported, Reported::Down) != Reported::Down {
            tracing::warn!("no DNS: {why}");
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

/// Why an attempt failed.
enum Failure {
    /// The upstream is down, so every other attempt would fail too.
    Upstream { why: String, pause: Duration },
    /// This attempt failed. The next one may succeed.
    Server { outcome: Outcome, why: String },
}

impl Failure {
    fn of_dial(error: &DialError) -> Self {
        let why = errors::chain(error);
        if error.is_upstream_down() {
            return Self::Upstream {
                why,
                pause: pause_after(error),
            };
        }
        let outcome = match error {
            DialError::TimedOut { .. } => Outcome::Silent,
            _ => Outcome::Refused,
        };
        Self::Server { outcome, why }
    }
}
