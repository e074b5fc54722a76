//! The box as a client sees it.

use serde::{Deserialize, Serialize};

use crate::init::{EgressStatus, ServiceStatus};

/// `GET /api/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// `ok`, or `degraded` when sessions cannot be read or started.
    pub status: String,
    /// Empty, or `headless`.
    pub mode: String,
    /// Version of the box.
    pub version: String,
}

/// `GET /api/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Info {
    /// Version of the box.
    pub version: String,
    /// Empty, or `headless`.
    pub mode: String,
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
    /// The disks of the directories in which sessions work, and of their records; each once.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// The sessions.
    pub sessions: InfoSessions,
    /// Directories in which a session may work.
    pub workdir_roots: Vec<String>,
    /// Who asks.
    pub caller: InfoCaller,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Disk {
    /// A directory that is on it.
    pub path: String,
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes that it has.
    pub total: u64,
}

/// How many sessions there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InfoSessions {
    /// All that the box remembers.
    pub total: u64,
    /// Those with a live keeper.
    pub live: u64,
}

/// Who asks, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InfoCaller {
    /// `master`, a device token's id and label, an account, or a user of the proxy.
    pub name: String,
    /// What frames name it by that come of what it asks for.
    #[serde(default)]
    pub label: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// The account's name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether it came by a cookie, so that there is something to sign out of.
    #[serde(default)]
    pub signed_in: bool,
    /// Where signing out leads, if a reverse proxy signed it in and the box knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logout_url: Option<String>,
    /// Whether there is no account yet and it may make the first.
    #[serde(default)]
    pub may_set_up: bool,
}
