//! Forges that the box has an account at, as init tells control of them.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Whose API a forge speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    /// GitHub, or GitHub Enterprise.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea or Forgejo.
    Gitea,
    /// None: git alone, without pull requests.
    Git,
}

impl ForgeKind {
    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Git => "git",
        }
    }
}

/// An account at a forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgeAccount {
    /// Whose API.
    pub kind: ForgeKind,
    /// Where people open it: `https://github.com`, without a slash at the end.
    pub url: String,
    /// What opens it; without one, what everybody sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// `forges.json`, which init writes and control reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgeAccounts {
    /// At most one of each host.
    pub forges: Vec<ForgeAccount>,
}
