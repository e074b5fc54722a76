//! How the box speaks to an MQTT broker, as init leaves it for control.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// What `CIB_MQTT_URL` and its like ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttSettings {
    /// The broker's name or address, an IPv6 one without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Whether MQTT 3.1.1 is spoken from the beginning, and not only where 5 is refused.
    #[serde(default)]
    pub is_three: bool,
    /// The name that the box shows the broker.
    #[serde(default)]
    pub user: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Who is trusted to say who the broker is, in PEM; whom everybody trusts if it is absent.
    #[serde(default)]
    pub ca: Option<String>,
    /// The certificate that the box shows, and what leads to it, in PEM.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Its key, in PEM.
    #[serde(default)]
    pub key: Option<Secret>,
    /// What every topic begins with.
    pub prefix: String,
    /// What commands may do; without any, none are listened to.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Kinds of frames that are published, as `kinds` of a stream has them.
    pub kinds: Vec<String>,
    /// For how many milliseconds pieces of a text are joined into one message.
    #[serde(default)]
    pub coalesce_ms: u64,
    /// Whether Home Assistant is told of the box and its sessions.
    #[serde(default)]
    pub home_assistant: bool,
}

impl MqttSettings {
    /// The box's name among others at the broker: the last part of its prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        self.prefix.rsplit('/').next().unwrap_or_default()
    }
}
