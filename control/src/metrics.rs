//! What is counted, and how `/metrics` shows it: `OpenMetrics` text, which Prometheus reads.

use std::sync::atomic::AtomicU64;

use cib_protocol::limits::Usage;
use cib_protocol::session::{SessionMeta, State};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The media type of what [`Metrics::render`] writes.
pub const MEDIA: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gauge of something that is no whole number.
type FloatGauge = Gauge<f64, AtomicU64>;

/// A transport that frames go out by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Server-sent events.
    Sse,
    /// WebSocket.
    WebSocket,
}

impl From<Transport> for By {
    fn from(transport: Transport) -> Self {
        Self {
            transport: match transport {
                Transport::Sse => "sse",
                Transport::WebSocket => "websocket",
            },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct By {
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct In {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    kind: &'static str,
}

/// Every counter of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    connections: Gauge,
    connections_refused: Counter,
    streams: Family<By, Gauge>,
    streams_opened: Family<By, Counter>,
    frames_sent: Family<By, Counter>,
    mqtt_connected: Gauge,
    mqtt_frames: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            streams: Family::default(),
            streams_opened: Family::default(),
            frames_sent: Family::default(),
            mqtt_connected: Gauge::default(),
            mqtt_frames: Counter::default(),
        };
        // What has not happened yet is a zero and not absent.
        for transport in [Transport::Sse, Transport::WebSocket] {
            let by = By::from(transport);
            drop(metrics.streams.get_or_create(&by));
            drop(metrics.streams_opened.get_or_create(&by));
            drop(metrics.frames_sent.get_or_create(&by));
        }
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        let version = Info::new([("version", crate::VERSION)]);
        registry.register("cib_build", "Version of the box", version);
        registry.register(
            "cib_http_requests",
            "Requests answered",
            self.requests.clone(),
        );
        registry.register(
            "cib_http_connections",
            "Connections open",
            self.connections.clone(),
        );
        registry.register(
            "cib_http_connections_refused",
            "Connections turned away because there were too many",
            self.connections_refused.clone(),
        );
        registry.register("cib_streams", "Streams open", self.streams.clone());
        registry.register(
            "cib_streams_opened",
            "Streams ever opened",
            self.streams_opened.clone(),
        );
        registry.register(
            "cib_frames_sent",
            "Frames handed to streams",
            self.frames_sent.clone(),
        );
        registry.register(
            "cib_mqtt_connected",
            "Whether the MQTT broker has the box",
            self.mqtt_connected.clone(),
        );
        registry.register(
            "cib_mqtt_frames",
            "Frames handed to the MQTT broker",
            self.mqtt_frames.clone(),
        );
        self
    }

    /// Whether the MQTT broker has the box now.
    pub fn at_broker(&self, is_there: bool) {
        self.mqtt_connected.set(i64::from(is_there));
    }

    /// A frame was handed to the MQTT broker.
    pub fn published(&self) {
        self.mqtt_frames.inc();
    }

    /// A request was answered. `route` is the name of its row in the route table.
    pub fn answered(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&Answer { route, status }).inc();
    }

    /// A connection was opened; it counts as open until the guard is dropped.
    #[must_use]
    pub fn connected(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }

    /// A connection was turned away because there were too many.
    pub fn turned_away(&self) {
        self.connections_refused.inc();
    }

    /// A stream was opened; it counts as open until the guard is dropped.
    #[must_use]
    pub fn streaming(&self, transport: Transport) -> StreamGauge {
        let by = By::from(transport);
        self.streams_opened.get_or_create(&by).inc();
        let open = self.streams.get_or_create_owned(&by);
        open.inc();
        StreamGauge {
            _open: Counted(open),
            frames: self.frames_sent.get_or_create_owned(&by),
        }
    }

    /// Everything, with what the sessions say and how many journals are watched, as [`MEDIA`].
    #[must_use]
    pub fn render(&self, sessions: &[SessionMeta], watched: usize) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode_registry(&mut text, &self.registry);
        let _ = encode_registry(&mut text, &looked_at(sessions, watched));
        let _ = encode_eof(&mut text);
        text
    }
}

/// What is not counted but looked at when it is asked for.
fn looked_at(sessions: &[SessionMeta], watched: usize) -> Registry {
    let mut registry = Registry::default();
    let journals = Gauge::<i64>::default();
    journals.set(whole(watched as u64));
    registry.register(
        "cib_journals_watched",
        "Journals that somebody reads",
        journals,
    );
    let states = Family::<In, Gauge>::default();
    for state in STATES {
        let count = sessions.iter().filter(|meta| meta.state == state).count();
        let state = state.as_str();
        states.get_or_create(&In { state }).set(whole(count as u64));
    }
    registry.register("cib_sessions", "Sessions by state", states);
    let mut usage = Usage::default();
    for meta in sessions {
        usage.add(&meta.usage);
    }
    let tokens = Family::<Of, Gauge>::default();
    for (kind, count) in [
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
    ] {
        tokens.get_or_create(&Of { kind }).set(whole(count));
    }
    registry.register(
        "cib_session_tokens",
        "Tokens used by all sessions that the box remembers",
        tokens,
    );
    let cost = FloatGauge::default();
    cost.set(usage.cost_usd);
    registry.register(
        "cib_session_cost_usd",
        "Cost of all sessions that the box remembers, by Claude's own accounting",
        cost,
    );
    let turns = Gauge::<i64>::default();
    turns.set(whole(sessions.iter().map(|meta| meta.turns).sum()));
    registry.register(
        "cib_session_turns",
        "Turns of all sessions that the box remembers",
        turns,
    );
    registry
}

const STATES: [State; 7] = [
    State::Starting,
    State::Idle,
    State::Working,
    State::WaitingForInput,
    State::Stopped,
    State::Failed,
    State::Interrupted,
];

/// A count as a gauge's number.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Counts in a gauge while it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts a stream while it lives.
#[derive(Debug)]
pub struct StreamGauge {
    _open: Counted,
    frames: Counter,
}

impl StreamGauge {
    /// Frames were handed to the transport.
    pub fn sent(&self, frames: usize) {
        self.frames.inc_by(frames as u64);
    }
}
