//! A working tree that a person publishes: where it would go, its push and its pull request.

use serde::{Deserialize, Serialize};

/// `GET /api/git/remote`: where a working tree can be published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GitRemote {
    /// The branch that is checked out, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit that is checked out, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Where the tree comes from, by its own word and without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The forge's host, if the box has an account there that publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The repository there: `owner/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The branch that is the repository's own, to which nothing is pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// Whether it has pull requests.
    #[serde(default)]
    pub pull_requests: bool,
    /// Why nothing can be published there all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Body of `POST /api/git/push`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PushBranch {
    /// Absolute path of a folder of the tree, below a root.
    pub workdir: String,
    /// The forge's host.
    pub host: String,
    /// The repository there: `owner/name`.
    pub repository: String,
    /// The branch there. One that is there already grows; the repository's own is refused.
    pub branch: String,
    /// The commit that it is to be at: its whole id. Nothing else is pushed, whatever the tree has
    /// become meanwhile.
    pub commit: String,
}

/// Answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BranchPushed {
    /// The forge's host.
    pub host: String,
    /// The repository, as it is called now.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The commit that it is at.
    pub commit: String,
    /// Where people see what it brings, if the forge has such a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// Body of `POST /api/git/pr`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenPullRequest {
    /// The forge's host.
    pub host: String,
    /// The repository there: `owner/name`.
    pub repository: String,
    /// The branch that was pushed.
    pub branch: String,
    /// The branch that it is to be merged into; the repository's own if absent.
    #[serde(default)]
    pub base: Option<String>,
    /// One line; made of the commits if absent.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 200)))]
    pub title: Option<String>,
    /// Markdown; made of the commits if absent.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 20000)))]
    pub body: Option<String>,
    /// Whether it is not ready yet.
    #[serde(default)]
    pub draft: bool,
}

/// Answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PullRequestOpened {
    /// Its number.
    pub number: u64,
    /// Where people open it.
    pub url: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// Whether it was open already, so that none was made.
    pub adopted: bool,
}
