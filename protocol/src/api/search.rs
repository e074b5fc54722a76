//! Looking for words: `GET /api/search`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::frame::Role;
use crate::session::{SessionId, State};
use crate::time::Timestamp;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchResult {
    /// Sessions in which something was found, the newest first.
    pub hits: Vec<SearchHit>,
    /// What `after` takes to look on, if not every session was looked through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether sessions are missing because the box does not know them yet; ask again.
    pub incomplete: bool,
}

/// A session in which something was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchHit {
    /// The session.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub session: SessionId,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it works.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub workdir: PathBuf,
    /// Where it stands.
    pub state: State,
    /// When something happened in it last.
    pub active_at: Timestamp,
    /// Whether the words are in its title, its directory and its id.
    pub name: bool,
    /// Messages that have all the words, the newest first; three at most.
    pub places: Vec<SearchPlace>,
}

/// A message in which something was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchPlace {
    /// Seq of the frame with which it begins.
    pub seq: u64,
    /// When it began.
    pub at: Timestamp,
    /// Who said it.
    pub role: Role,
    /// The first of the words, and what is around it.
    pub snippet: Snippet,
}

/// A piece of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Snippet {
    /// What stands in front, at most 80 characters.
    pub before: String,
    /// What was looked for, as it is spelt there.
    pub found: String,
    /// What stands behind, at most 80 characters.
    pub after: String,
    /// Whether more stands in front.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_before: bool,
    /// Whether more stands behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_after: bool,
}
