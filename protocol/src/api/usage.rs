//! What was used: `GET /api/usage`.

use serde::{Deserialize, Serialize};

use crate::limits::Usage;

/// By what usage is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UsageBy {
    /// A row a day, the oldest first. Days without a turn have none.
    #[default]
    Day,
    /// A row a session, the dearest first.
    Session,
    /// A row a model, the dearest first.
    Model,
}

/// What was used from one day to another, both included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageReport {
    /// The first day, as `2026-11-21`, in UTC.
    pub since: String,
    /// The last day.
    pub until: String,
    /// What the rows are.
    pub group_by: UsageBy,
    /// The rows, at most 1,000.
    pub rows: Vec<UsageRow>,
    /// The sum of all, of those too that have no row here.
    pub total: Usage,
    /// Turns that ended in that time.
    pub turns: u64,
    /// Whether something is missing because journals were not looked at yet; ask again.
    pub incomplete: bool,
}

/// A part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageRow {
    /// The day, the session's id, or the model; empty if the model is not known.
    pub key: String,
    /// The session's title, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What was used.
    pub usage: Usage,
    /// Turns that ended.
    pub turns: u64,
}
