//! Bodies of the routes of models and of Claude's commands.

use serde::{Deserialize, Serialize};

use crate::offers::{Command, Model};
use crate::time::Timestamp;

/// `GET /api/models`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelList {
    /// The models, in Claude's own order; none if no Claude has said so yet.
    pub models: Vec<Model>,
    /// The version of Claude Code that said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_version: Option<String>,
    /// When it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_at: Option<Timestamp>,
}

/// `GET /api/sessions/{id}/commands`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandList {
    /// The commands, in Claude's own order.
    pub commands: Vec<Command>,
    /// Whether the session itself said so; else they are those of the session that said so last.
    pub own: bool,
}
