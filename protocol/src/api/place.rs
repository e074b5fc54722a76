//! Bodies of the routes of ports, the way out and preferences.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// `GET /api/ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PortList {
    /// The ports, the lowest first.
    pub ports: Vec<Port>,
}

/// A port that somebody listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Port {
    /// The port.
    pub port: u16,
    /// The address that it is listened on.
    pub address: String,
    /// Whose the socket is.
    pub uid: u32,
    /// What the process calls itself; absent if nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

/// `POST /api/ports/{port}/open`: where a browser finds what listens on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PortOpened {
    /// A path of the box, with a secret in it. What is below has an origin that is nobody's.
    pub path: String,
    /// The same under a name: this label, below any name that leads to the box. There it is at `/`
    /// and has an origin of its own. Browsers know all names below `localhost` for their own
    /// machine's.
    pub label: String,
    /// When it ends at the latest. It ends before when it is not used for an hour, and with what
    /// the caller was let in by.
    pub expires_at: Timestamp,
}

/// `GET /api/proxy/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProxyStatus {
    /// `direct`, `redirect`, `env` or `join`; empty if the box does not say.
    pub mode: String,
    /// The upstream's host and port, never its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// `reachable`, or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Packets that were not let out.
    pub dropped: u64,
    /// The same, by counter.
    pub blocked: BTreeMap<String, u64>,
}

/// `GET` and `PATCH /api/prefs`: values by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Prefs(pub BTreeMap<String, serde_json::Value>);
