//! Questions of the CLI that a user has to answer: `can_use_tool`.
//!
//! In bypass mode only AskUserQuestion and ExitPlanMode ask; in the other modes every tool
//! that the settings do not allow does.

use std::collections::BTreeMap;

use cib_protocol::frame::{AskOption, AskQuestion, Question};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The tool whose input is questions for the user.
const ASK: &str = "AskUserQuestion";
const ALLOW: &str = "Allow";
const DENY: &str = "Deny";

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: String,
    /// The tool's input, which an answer that allows has to repeat.
    input: Value,
    is_ask: bool,
}

#[derive(Deserialize)]
struct AskInput {
    questions: Vec<Question>,
}

/// Reads a `can_use_tool` request.
pub(crate) fn open(
    id: String,
    tool: String,
    tool_use_id: Option<String>,
    input: &RawValue,
) -> Option<(Open, AskQuestion)> {
    let asked = (tool == ASK)
        .then(|| serde_json::from_str::<AskInput>(input.get()).ok())
        .flatten()
        .filter(|asked| !asked.questions.is_empty());
    let is_ask = asked.is_some();
    let questions = asked.map_or_else(|| vec![permission(&tool)], |asked| asked.questions);
    let first = &questions[0];
    let frame = AskQuestion {
        id: id.clone(),
        prompt: first.question.clone(),
        options: first.options.clone(),
        multi_select: first.multi_select,
        questions,
        tool: (!is_ask).then_some(tool),
        tool_use_id,
    };
    let input = serde_json::from_str(input.get()).ok()?;
    Some((Open { id, input, is_ask }, frame))
}

fn permission(tool: &str) -> Question {
    let option = |label: &str, description: &str| AskOption {
        label: label.to_owned(),
        description: description.to_owned(),
    };
    Question {
        question: format!("Allow {tool}?"),
        header: "Permission".to_owned(),
        options: vec![
            option(ALLOW, "Run it once"),
            option(DENY, "Refuse; free text tells Claude why"),
        ],
        multi_select: false,
    }
}

impl Open {
    /// The `response` that answers it. No answers refuse, and so does any word but the one
    /// that allows, because a permission must not be given by a misunderstanding.
    pub(crate) fn answer(self, answers: &BTreeMap<String, String>) -> Value {
        if answers.is_empty() {
            return deny("The user declined to answer.");
        }
        if self.is_ask {
            let mut input = self.input;
            input["answers"] = json!(answers);
            return json!({"behavior": "allow", "updatedInput": input});
        }
        match answers.values().next().map(String::as_str) {
            Some(word) if word.eq_ignore_ascii_case(ALLOW) => {
                json!({"behavior": "allow", "updatedInput": self.input})
            }
            Some(word) if !word.eq_ignore_ascii_case(DENY) => deny(word),
            _ => deny("The user refused."),
        }
    }
}

/// The answer to a permission whose input is too large to be repeated.
pub(crate) fn too_large() -> Value {
    deny("The input of this call is too large to be shown to the user; split it.")
}

fn deny(message: &str) -> Value {
    json!({"behavior": "deny", "message": message})
}
