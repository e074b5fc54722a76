//! What `git-remote-cib` and the check of a push say to control: a line each way, in JSON.

use serde::{Deserialize, Serialize};

/// Bytes of what coder's git wants, at most.
pub const MAX_HELLO: u64 = 4 * 1024;

/// Bytes of a line, at most.
pub const MAX_LINE: u64 = 256 * 1024;

/// What coder's git wants. Behind the answer comes git's own protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// `git-upload-pack` or `git-receive-pack`.
    pub service: String,
    /// The forge's host.
    pub host: String,
    /// The repository there.
    pub repository: String,
    /// What control gave to a git that it had started itself.
    #[serde(default)]
    pub ticket: Option<String>,
}

/// What the check of a push asks. It is run by `cib`'s own git, and by nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Which push it is.
    pub push: String,
    /// Where the objects are that came with it.
    pub objects: String,
    /// Where the others are.
    pub alternates: String,
    /// What is to be changed, as git says it: a line each, the old commit, the new one, the ref.
    pub commands: String,
}

/// What is answered to both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It may be.
    Granted,
    /// It may not, for this reason.
    Refused(String),
}
