//! Forges, and the repositories that their accounts see.

use serde::{Deserialize, Serialize};

use crate::forge::ForgeKind;
use crate::time::Timestamp;

/// `GET /api/forges`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForgeList {
    /// The forges that the box has an account at.
    pub forges: Vec<ForgeInfo>,
}

/// A forge, as its last answer has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForgeInfo {
    /// Its name: `github.com`, with a port if it has one of its own.
    pub host: String,
    /// Whose API it speaks.
    pub kind: ForgeKind,
    /// Whose the token is; absent if the forge did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// What the token may do, in the forge's words; absent where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// How many more calls the forge takes; absent where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<ForgeRate>,
    /// Why there is no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ForgeProblem>,
}

/// How many more calls a forge takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForgeRate {
    /// Calls in a period.
    pub limit: u64,
    /// Calls that are left of it.
    pub remaining: u64,
    /// When the next period begins.
    pub reset_at: Timestamp,
}

/// Why a forge cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForgeProblem {
    /// `auth_expired`, `no_right`, `rate_limited`, `forge_down` or `unknown`.
    pub kind: String,
    /// What was seen.
    pub detail: String,
}

/// `GET /api/forges/{host}/repositories`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForgeRepositories {
    /// At most 100; those that were pushed to last come first.
    pub repositories: Vec<ForgeRepository>,
    /// The next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// A repository of a forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForgeRepository {
    /// `owner/name`.
    pub name: String,
    /// What a task is given as `repo`.
    pub url: String,
    /// What its owner says of it; may be empty.
    pub description: String,
    /// The branch that a task begins on unless it names another; empty without commits.
    pub default_branch: String,
    /// Whether the token may push to it; else a task works by a fork.
    pub may_push: bool,
    /// Whether nobody may.
    pub archived: bool,
    /// Whether not everybody sees it.
    pub private: bool,
    /// Whether it is a fork.
    pub fork: bool,
}
