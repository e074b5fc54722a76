//! The lines on init's control socket: one request a line, one reply a line, in order.
//!
//! A line is at most [`crate::MAX_LINE`] bytes, except that a `session_start` may carry a
//! prompt and is at most [`crate::MAX_INPUT_LINE`].

use serde::{Deserialize, Serialize};

use crate::purge::Purged;
use crate::session::{SessionId, SessionSpec};

/// What may be asked of init.
///
/// The requests without arguments are written as empty structs: serde refuses unknown fields
/// in those, and takes them silently in unit variants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum InitRequest {
    /// Services, steps and egress as they are. Open to every user of the box.
    Status {},
    /// Whether the box is healthy, for the image's HEALTHCHECK. Open to every user.
    Healthcheck {},
    /// The last lines of a service's output. Open to every user; secrets are masked.
    Logs {
        /// The service.
        service: String,
        /// How many lines, at most 1000.
        lines: u16,
    },
    /// Start a service that is down.
    ServiceStart {
        /// The service.
        service: String,
    },
    /// Stop a service and keep it down.
    ServiceStop {
        /// The service.
        service: String,
    },
    /// Stop a service and start it again.
    ServiceRestart {
        /// The service.
        service: String,
    },
    /// Start a keeper; answered when it is ready or has failed.
    SessionStart {
        /// What it is to run.
        spec: Box<SessionSpec>,
    },
    /// Signal a keeper, for when it does not answer on its own socket.
    SessionSignal {
        /// The session.
        session: SessionId,
        /// SIGKILL instead of SIGTERM.
        kill: bool,
    },
    /// Remove everything of a session that has ended: its record, and the home of its user if
    /// it has one of its own.
    SessionPurge {
        /// The session.
        session: SessionId,
    },
    /// See to it that the keeper of logins can be asked ([`crate::login`]).
    LoginStart {},
    /// The self-test of egress, run now.
    EgressTest {},
}

/// What init answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitReply {
    /// Done.
    Done,
    /// To [`InitRequest::Status`].
    Status(Box<BoxStatus>),
    /// To [`InitRequest::Healthcheck`].
    Health {
        /// Whether everything that has to run is ready.
        healthy: bool,
        /// One sentence that says what is not.
        detail: String,
    },
    /// To [`InitRequest::Logs`], oldest first.
    Logs {
        /// The lines, without their ends.
        lines: Vec<String>,
    },
    /// To [`InitRequest::SessionStart`].
    SessionStarted {
        /// Process id of the keeper in the box.
        pid: u32,
    },
    /// To [`InitRequest::SessionPurge`].
    SessionPurged(Purged),
    /// To [`InitRequest::EgressTest`].
    EgressTest {
        /// One entry a check.
        checks: Vec<Check>,
    },
    /// Refused or failed.
    Refused {
        /// Stable code.
        code: InitFault,
        /// A sentence for people.
        detail: String,
    },
}

/// Why init refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitFault {
    /// The line was not a request, or too long.
    BadRequest,
    /// The peer's user may not ask that.
    Forbidden,
    /// No service of that name.
    NoSuchService,
    /// No session of that id runs.
    NoSuchSession,
    /// A session of that id runs already.
    SessionExists,
    /// There is no room for another session.
    TooManySessions,
    /// The keeper did not become ready.
    KeeperFailed,
    /// There was more to remove than there is time for; asking again goes on.
    PurgeLate,
    /// The box is booting or shutting down.
    NotNow,
    /// Something failed inside; the log has the whole chain.
    Internal,
}

/// One check with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was claimed: `udp is refused at once`.
    pub claim: String,
    /// Whether it held.
    pub passed: bool,
    /// What was seen, and what to do if it did not hold.
    pub detail: String,
}

/// The box as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxStatus {
    /// Version of init.
    pub version: String,
    /// `booting`, `up`, `degraded` or `shutting_down`.
    pub phase: String,
    /// Milliseconds since init's first instruction.
    pub uptime_ms: u64,
    /// `open` (no proxy), `closed`, `locked` (through the proxy) or `not leak-proof`.
    pub egress: EgressStatus,
    /// Steps of the boot plan, in order.
    pub steps: Vec<StepStatus>,
    /// Services, in start order.
    pub services: Vec<ServiceStatus>,
    /// Sessions with a live keeper.
    pub sessions: Vec<SessionId>,
    /// Warnings that still hold.
    pub warnings: Vec<String>,
}

/// Egress as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EgressStatus {
    /// `direct`, `redirect`, `env` or `join`; empty where an older init does not say.
    #[serde(default)]
    pub mode: String,
    /// One sentence: `every packet leaves through 192.0.2.7:1080 or not at all`.
    pub summary: String,
    /// The upstream's host and port, never its credentials.
    #[serde(default)]
    pub upstream: Option<String>,
    /// `reachable`, or why not.
    #[serde(default)]
    pub upstream_health: Option<String>,
    /// Packets that were refused, by counter.
    #[serde(default)]
    pub blocked: std::collections::BTreeMap<String, u64>,
}

/// One step of the boot plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Its name.
    pub name: String,
    /// `pending`, `running`, `done`, `skipped` or `failed`.
    pub state: String,
    /// Microseconds it took, or has taken so far.
    pub elapsed_us: u64,
    /// What it did, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// `down`, `starting`, `ready`, `stopping`, `backoff` or `given_up`.
    pub state: String,
    /// Process id while it runs.
    #[serde(default)]
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// Milliseconds since it became ready.
    #[serde(default)]
    pub uptime_ms: Option<u64>,
    /// How the last run ended.
    #[serde(default)]
    pub last_exit: Option<String>,
}

/// The account that a box begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstAccount {
    /// Its name.
    pub name: String,
    /// Its password as an argon2id hash, a PHC string.
    pub password: String,
}

/// `/run/cib/control/auth.json`: what control needs to check the master token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlAuth {
    /// What stands before each secret when it is digested, as text; new at each start of the box.
    #[serde(default)]
    pub salt: Option<String>,
    /// SHA-256 of the salt and the master token, 64 lower-case hexadecimal digits; absent when
    /// disabled.
    #[serde(default)]
    pub master_sha256: Option<String>,
    /// SHA-256 of the salt and what a trusted proxy has to send, if it has to send anything.
    #[serde(default)]
    pub proxy_sha256: Option<String>,
    /// `CIB_AUTH_DISABLED=1`: no token is asked for, and only loopback is served.
    #[serde(default)]
    pub disabled: bool,
    /// The administrator to make where there is no account yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<FirstAccount>,
    /// By what the box's own secrets are found in what is to be published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prints: Vec<SecretPrint>,
    /// Where notices go that the box's variables name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<crate::api::CreateChannel>,
    /// The MQTT broker that the box speaks to, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<crate::mqtt::MqttSettings>,
}

/// By what a secret is found by who does not know it (`cib_base::print`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretPrint {
    /// Its length in bytes.
    pub bytes: u32,
    /// Twenty-four bits that roll with the text.
    pub roll: u32,
    /// SHA-256 of the salt and the secret, in lower-case hexadecimal digits.
    pub sha256: String,
}
