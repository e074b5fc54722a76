//! Bodies of the HTTP API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::Limits;
use crate::secret::Secret;
use crate::session::{AuthMode, Driver, PermissionMode};

/// Body of `POST /api/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// Absolute directory in the box; `/workspace` if absent.
    #[serde(default)]
    pub workdir: Option<String>,
    /// Model alias or id.
    #[serde(default)]
    pub model: Option<String>,
    /// First message.
    #[serde(default)]
    pub prompt: Option<String>,
    /// How the keeper speaks to Claude.
    #[serde(default)]
    pub driver: Driver,
    /// Reasoning effort.
    #[serde(default)]
    pub effort: Option<String>,
    /// What needs no asking.
    #[serde(default)]
    pub permission_mode: Option<PermissionMode>,
    /// An older spelling of `permission_mode`: false means `default`.
    #[serde(default)]
    pub bypass_permissions: Option<bool>,
    /// Whose account pays.
    #[serde(default)]
    pub auth_mode: AuthMode,
    /// Key for `auth_mode: api_key`.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Token for `auth_mode: subscription`, as `claude setup-token` prints it.
    #[serde(default)]
    pub oauth_token: Option<Secret>,
    /// Session of the box to continue, under its own id.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub resume: Option<Uuid>,
    /// Session of the box, or Claude's own id, to continue in a new session.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub resume_from: Option<Uuid>,
    /// Variables for Claude.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// What the session may use.
    #[serde(default)]
    pub limits: Limits,
    /// A name for people.
    #[serde(default)]
    pub title: Option<String>,
}

/// Body of `POST /api/sessions/{id}/input`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The message or the bytes.
    pub data: String,
    /// How `data` is written.
    #[serde(default)]
    pub encoding: Encoding,
}

/// How bytes are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As text: a message.
    #[default]
    Utf8,
    /// Base64 with padding: bytes for the terminal.
    Base64,
}

/// Every error's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// Stable code.
    pub error: String,
    /// A sentence for people.
    pub detail: String,
}

/// `GET /api/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// `ok`, or `degraded`.
    pub status: String,
    /// Empty, or `headless`.
    pub mode: String,
    /// Version of the box.
    pub version: String,
}
