//! What a Claude has to choose from: its models, and the commands of its interface.
//!
//! Claude says it, which the agent can be in the place of: everything here is bounded and a text.

use serde::{Deserialize, Serialize};

/// Models that are told of at most.
pub const MAX_MODELS: usize = 64;

/// Commands that are told of at most.
pub const MAX_COMMANDS: usize = 256;

/// Characters of a name.
pub const MAX_NAME: usize = 100;

/// Characters of a description, or of what a command takes.
pub const MAX_DESCRIPTION: usize = 200;

/// Efforts of one model at most.
pub const MAX_EFFORTS: usize = 8;

/// What a Claude said when it was greeted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Models, in Claude's own order.
    pub models: Vec<Model>,
    /// Commands, in Claude's own order.
    pub commands: Vec<Command>,
    /// The version that says so, where it says which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_version: Option<String>,
}

impl Offers {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && self.commands.is_empty()
    }
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Model {
    /// What `model` of a session takes: an alias or an id.
    pub value: String,
    /// A name for people.
    pub name: String,
    /// What it is good for, at most [`MAX_DESCRIPTION`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What `effort` of a session may be with it; empty if it has none.
    #[serde(default)]
    pub efforts: Vec<String>,
}

/// A command of Claude's interface, or a skill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Command {
    /// Its name, without the slash.
    pub name: String,
    /// What it does, at most [`MAX_DESCRIPTION`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is to be written behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
