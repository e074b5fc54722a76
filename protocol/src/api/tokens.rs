//! Device tokens.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::time::Timestamp;

/// Body of `POST /api/tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// A name for people.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = 100),
            regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*\S[^\u0000-\u001f\u007f-\u009f]*$")
        )
    )]
    pub label: String,
    /// What the token may do; `*` is everything.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub scopes: Vec<String>,
    /// Seconds until it expires; never, if absent.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub ttl: Option<u64>,
    /// The same in hours, and never if it is 0. Only one of the two may be there.
    #[serde(default)]
    pub ttl_hours: Option<u64>,
    /// What it is for; a bearer, if absent.
    #[serde(default)]
    pub kind: TokenKind,
}

/// What a token is for. One kind is never good for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Its text is sent with each request.
    #[default]
    Bearer,
    /// Its text is a key of the sealed envelope, `docs/AES-TRANSPORT.md`: 64 hexadecimal digits
    /// that are never sent.
    Device,
    /// Its text is a key of the envelopes that were published before, where the box serves them.
    #[serde(rename = "device-legacy")]
    DeviceLegacy,
}

/// A device token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenInfo {
    /// Its id: 16 hexadecimal digits.
    pub id: String,
    /// A name for people.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// What it is for.
    #[serde(default)]
    pub kind: TokenKind,
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it stops working by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it last opened a route. Written to disk only now and then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// Answer to `POST /api/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenCreated {
    /// The token.
    pub token: TokenInfo,
    /// Its text. It is shown this once and nowhere kept.
    pub plaintext: Secret,
}

/// `GET /api/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenList {
    /// Every device token that was not revoked, oldest first.
    pub tokens: Vec<TokenInfo>,
}
