//! Providers: others than Anthropic that speak its API.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::time::Timestamp;

/// How a provider wants its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProviderAuth {
    /// As `Authorization: Bearer`.
    #[default]
    Bearer,
    /// As `x-api-key`.
    ApiKey,
}

/// Body of `POST /api/providers` and `PUT /api/providers/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetProvider {
    /// A name for people.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = 100),
            regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*\S[^\u0000-\u001f\u007f-\u009f]*$")
        )
    )]
    pub label: String,
    /// Where its API begins, without `/v1`: `https://api.example.com/anthropic`. `http` and private
    /// addresses are for who may do everything.
    #[serde(alias = "api_host")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 500), regex(pattern = "^https?://[^/?#@]+[^?#]*$"))
    )]
    pub base_url: String,
    /// The key. It is kept, and never shown. A change without one keeps what there is, unless
    /// `base_url` leads to another server.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// How the key is sent.
    #[serde(default)]
    pub auth: ProviderAuth,
    /// The model that sessions begin with, and that every alias means.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 200), regex(pattern = "^([!-,.-~][!-~]*)?$"))
    )]
    pub model: Option<String>,
}

/// A provider, without its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Provider {
    /// Its id.
    pub id: String,
    /// A name for people.
    pub label: String,
    /// Where its API begins.
    pub base_url: String,
    /// How its key is sent.
    pub auth: ProviderAuth,
    /// The model that sessions begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// `GET /api/providers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderList {
    /// Every provider, the oldest first.
    pub providers: Vec<Provider>,
}

/// Body of `POST /api/providers/probe`: one that exists, or one that is not made yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProbeProvider {
    /// One that exists; its key goes to its own address alone, so nothing else may be given.
    #[serde(default)]
    pub id: Option<String>,
    /// For people; it counts for nothing.
    #[serde(default)]
    pub label: Option<String>,
    /// As of a provider that is made.
    #[serde(default, alias = "api_host")]
    pub base_url: Option<String>,
    /// As of a provider that is made.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// As of a provider that is made.
    #[serde(default)]
    pub auth: Option<ProviderAuth>,
    /// As of a provider that is made.
    #[serde(default)]
    pub model: Option<String>,
}

/// What was found out about a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// It takes the key.
    Works,
    /// It takes the key, but not the model.
    ModelRefused,
    /// It does not take the key.
    KeyRefused,
    /// Something answers, but not as the API does.
    OtherService,
    /// It has a fault of its own, or is asked too much.
    Faulty,
    /// Nobody can be reached there: no such name, nothing that listens, or no way out of the box.
    Unreachable,
    /// Its certificate is nobody's whom this box trusts, or it speaks no TLS.
    NotTrusted,
    /// It lies in a private network, where only who may do everything has the box look.
    Private,
    /// It did not answer in time.
    Late,
}

/// Answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderProbe {
    /// Whether sessions can work there.
    pub ok: bool,
    /// What was found out.
    pub outcome: ProbeOutcome,
    /// The status of its answer, if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<u16>,
    /// What was asked last.
    pub endpoint: String,
    /// How long that took.
    pub latency_ms: u64,
    /// The same in a sentence.
    pub detail: String,
    /// Models that it names, 50 at most.
    #[serde(default)]
    pub models: Vec<String>,
}
