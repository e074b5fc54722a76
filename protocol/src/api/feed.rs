//! What the stream of the whole box says.

use serde::{Deserialize, Serialize};

use super::{Disk, Shell};
use crate::init::{EgressStatus, ServiceStatus};
use crate::session::{SessionId, SessionMeta};

/// One event of `GET /api/events` and `GET /api/stream`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoxEvent {
    /// Where a client goes on that has this event. It means nothing but to this box.
    pub cursor: String,
    /// What is so from now on.
    #[serde(flatten)]
    pub change: BoxChange,
}

/// What changed. Each says the whole of its subject, so only the last one of a subject counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum BoxChange {
    /// Everything: the first event, unless a cursor was sent from which the box can go on.
    Snapshot(Box<BoxSnapshot>),
    /// A session changed, or is new.
    Session(Box<SeenSession>),
    /// A shell changed, or is new.
    Shell(Box<Shell>),
    /// A session or a shell was removed.
    Gone(GoneSession),
    /// The box changed.
    Box(Box<BoxState>),
}

/// Everything that the caller may see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoxSnapshot {
    /// The box itself.
    #[serde(rename = "box")]
    pub state: BoxState,
    /// The newest sessions, 1000 at most; none without the scope `sessions:read`.
    pub sessions: Vec<SeenSession>,
    /// What `after` of `GET /api/sessions` takes for older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The newest shells, 1000 at most; none without the scope `shells:read`.
    pub shells: Vec<Shell>,
}

/// A session, and who looks at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeenSession {
    /// The session.
    pub session: SessionMeta,
    /// Streams of it that are open.
    pub viewers: u32,
    /// Who has them open, each once, as answers name who gave them; 8 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub viewer_names: Vec<String>,
}

/// A session or a shell that is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GoneSession {
    /// Its id.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
}

/// The box itself, as in `GET /api/info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoxState {
    /// `booting`, `up`, `degraded` or `shutting_down`; `unknown` if init does not answer.
    pub phase: String,
    /// Milliseconds since the box started; 0 if init does not answer.
    pub uptime_ms: u64,
    /// Egress as it is.
    pub egress: EgressStatus,
    /// Services, in start order.
    pub services: Vec<ServiceStatus>,
    /// Warnings that still hold.
    pub warnings: Vec<String>,
    /// Its disks; told anew when a hundredth of one has changed.
    #[serde(default)]
    pub disks: Vec<Disk>,
}

/// The last event, `event: end`. A WebSocket's close frame has the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FeedEnd {
    /// `shutting_down`, `token_revoked` or `token_expired`.
    pub reason: String,
    /// Where a client goes on.
    pub cursor: String,
}
