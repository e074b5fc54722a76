//! Questions of Claude's, and how they end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A question, or several at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AskQuestion {
    /// What an answer names.
    pub id: String,
    /// Text of the first question, for clients that show one.
    pub prompt: String,
    /// Options of the first question.
    pub options: Vec<AskOption>,
    /// Whether several options of the first question may be chosen.
    #[serde(rename = "multiSelect")]
    pub multi_select: bool,
    /// All questions, the first included.
    pub questions: Vec<Question>,
    /// The tool that wants a permission, when this is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The call that waits for the answer; its `tool.use.start` has the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
}

/// The end of a question: an answer, or that none is waited for any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AskAnswer {
    /// The question's id.
    pub id: String,
    /// Answer by question text; empty refuses. Absent if it was answered on the terminal, or
    /// Claude gave it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<BTreeMap<String, String>>,
    /// Who answered, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Question {
    /// Its text, which is also the key of its answer.
    pub question: String,
    /// A short heading.
    #[serde(default)]
    pub header: String,
    /// What may be chosen; free text is always possible.
    #[serde(default)]
    pub options: Vec<AskOption>,
    /// Whether several may be chosen.
    #[serde(default, rename = "multiSelect")]
    pub multi_select: bool,
}

/// A possible answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AskOption {
    /// The answer.
    pub label: String,
    /// What it means.
    #[serde(default)]
    pub description: String,
}
