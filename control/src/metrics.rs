//! What is counted, and how `/metrics` shows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cib_protocol::session::{SessionMeta, State};

/// A transport that frames go out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Server-sent events.
    Sse,
    /// WebSocket.
    WebSocket,
}

impl Transport {
    const ALL: [Self; 2] = [Self::Sse, Self::WebSocket];

    fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Sse => 0,
            Self::WebSocket => 1,
        }
    }
}

/// Every counter of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    connections: AtomicU64,
    connections_refused: AtomicU64,
    streams: [Stream; 2],
}

#[derive(Debug, Default)]
struct Stream {
    open: AtomicU64,
    opened: AtomicU64,
    frames: AtomicU64,
}

impl Metrics {
    /// A request was answered. `route` is the name of its row in the route table.
    pub fn answered(&self, route: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
    }

    /// A connection was opened; it counts as open until the guard is dropped.
    #[must_use]
    pub fn connected(self: &Arc<Self>) -> ConnectionGauge {
        self.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGauge(Arc::clone(self))
    }

    /// A connection was turned away because there were too many.
    pub fn turned_away(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream was opened; it counts as open until the guard is dropped.
    #[must_use]
    pub fn streaming(self: &Arc<Self>, transport: Transport) -> StreamGauge {
        let stream = &self.streams[transport.index()];
        stream.open.fetch_add(1, Ordering::Relaxed);
        stream.opened.fetch_add(1, Ordering::Relaxed);
        StreamGauge {
            metrics: Arc::clone(self),
            transport,
        }
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    #[must_use]
    pub fn render(&self, sessions: &[SessionMeta], watched: usize) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        family(
            "cib_build_info",
            "gauge",
            "Version of the box.",
            &[(
                format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
                1.0,
            )],
        );
        let requests: Vec<_> = self
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|((route, status), n)| {
                (
                    format!("{{route=\"{route}\",status=\"{status}\"}}"),
                    number(*n),
                )
            })
            .collect();
        family(
            "cib_http_requests_total",
            "counter",
            "Requests answered.",
            &requests,
        );
        family(
            "cib_http_connections",
            "gauge",
            "Connections open.",
            &[(
                String::new(),
                number(self.connections.load(Ordering::Relaxed)),
            )],
        );
        family(
            "cib_http_connections_refused_total",
            "counter",
            "Connections turned away because there were too many.",
            &[(
                String::new(),
                number(self.connections_refused.load(Ordering::Relaxed)),
            )],
        );
        let by_transport = |read: fn(&Stream) -> &AtomicU64| -> Vec<_> {
            Transport::ALL
                .iter()
                .map(|transport| {
                    let stream = &self.streams[transport.index()];
                    let labels = format!("{{transport=\"{}\"}}", transport.as_str());
                    (labels, number(read(stream).load(Ordering::Relaxed)))
                })
                .collect()
        };
        family(
            "cib_streams",
            "gauge",
            "Streams open.",
            &by_transport(|s| &s.open),
        );
        family(
            "cib_streams_opened_total",
            "counter",
            "Streams ever opened.",
            &by_transport(|s| &s.opened),
        );
        family(
            "cib_frames_sent_total",
            "counter",
            "Frames handed to streams.",
            &by_transport(|s| &s.frames),
        );
        family(
            "cib_journals_watched",
            "gauge",
            "Journals that somebody reads.",
            &[(String::new(), number(watched as u64))],
        );
        sessions_families(sessions, &mut family);
        text
    }
}

/// A count as the format's floating point. Above 2^53 the last digits are lost.
#[expect(clippy::cast_precision_loss, reason = "the format has no integers")]
fn number(n: u64) -> f64 {
    n as f64
}

fn sessions_families(
    sessions: &[SessionMeta],
    family: &mut impl FnMut(&str, &str, &str, &[(String, f64)]),
) {
    const STATES: [State; 7] = [
        State::Starting,
        State::Idle,
        State::Working,
        State::WaitingForInput,
        State::Stopped,
        State::Failed,
        State::Interrupted,
    ];
    let states: Vec<_> = STATES
        .iter()
        .map(|state| {
            let n = sessions.iter().filter(|meta| meta.state == *state).count();
            (
                format!("{{state=\"{}\"}}", state.as_str()),
                number(n as u64),
            )
        })
        .collect();
    family("cib_sessions", "gauge", "Sessions by state.", &states);
    let sum = |read: fn(&SessionMeta) -> u64| number(sessions.iter().map(read).sum());
    let tokens = [
        ("{kind=\"input\"}".to_owned(), sum(|meta| meta.usage.input)),
        (
            "{kind=\"output\"}".to_owned(),
            sum(|meta| meta.usage.output),
        ),
        (
            "{kind=\"cache_read\"}".to_owned(),
            sum(|meta| meta.usage.cache_read),
        ),
        (
            "{kind=\"cache_write\"}".to_owned(),
            sum(|meta| meta.usage.cache_write),
        ),
    ];
    family(
        "cib_session_tokens",
        "gauge",
        "Tokens used by all sessions that the box remembers.",
        &tokens,
    );
    family(
        "cib_session_cost_usd",
        "gauge",
        "Cost of all sessions that the box remembers, by Claude's own accounting.",
        &[(
            String::new(),
            sessions.iter().map(|meta| meta.usage.cost_usd).sum(),
        )],
    );
    family(
        "cib_session_turns",
        "gauge",
        "Turns of all sessions that the box remembers.",
        &[(String::new(), sum(|meta| meta.turns))],
    );
}

/// Counts a connection while it lives.
#[derive(Debug)]
pub struct ConnectionGauge(Arc<Metrics>);

impl Drop for ConnectionGauge {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a stream while it lives.
#[derive(Debug)]
pub struct StreamGauge {
    metrics: Arc<Metrics>,
    transport: Transport,
}

impl StreamGauge {
    /// Frames were handed to the transport.
    pub fn sent(&self, frames: usize) {
        self.metrics.streams[self.transport.index()]
            .frames
            .fetch_add(frames as u64, Ordering::Relaxed);
    }
}

impl Drop for StreamGauge {
    fn drop(&mut self) {
        self.metrics.streams[self.transport.index()]
            .open
            .fetch_sub(1, Ordering::Relaxed);
    }
}
