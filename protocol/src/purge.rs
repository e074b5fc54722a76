//! What the removal of a session came to.

use serde::{Deserialize, Serialize};

/// What a process that removes files says on its standard output.
///
/// Where it ran as the session's user, this is that user's word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// Bytes that the removed files took on the disk.
    pub freed: u64,
    /// One thing that could not be removed, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// Whether it ended because its time was up: going on makes sense.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// What was removed of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Purged {
    /// Bytes that its files took on the disk.
    pub freed: u64,
    /// What of its home could not be removed, and why; somebody with more rights has to. Absent
    /// if nothing is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}
