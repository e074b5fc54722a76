//! Questions of the CLI that a user has to answer: `can_use_tool`.
//!
//! In bypass mode only AskUserQuestion and ExitPlanMode ask; in the other modes every tool
//! that the settings do not allow does.

use std::collections::BTreeMap;

use cib_foreign::json::{self, Object};
use cib_protocol::frame::{AskAnswer, AskOption, AskQuestion, Data, Question};
use serde_json::{Value, json};

/// The tool whose input is questions for the user.
const ASK: &str = "AskUserQuestion";
const ALLOW: &str = "Allow";
const DENY: &str = "Deny";

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: String,
    /// The tool's input as JSON, which an answer that allows has to repeat as it was written.
    input: String,
    is_ask: bool,
}

/// Reads a `can_use_tool` request; `input` is JSON. `None` if it is no object.
pub(crate) fn open(
    id: String,
    tool: String,
    tool_use_id: Option<String>,
    input: &str,
) -> Option<(Open, AskQuestion)> {
    // Not only its first level: an answer repeats it to a reader who dies of what is no JSON.
    json::parse(input).ok().filter(Value::is_object)?;
    let asked = (tool == ASK)
        .then(|| asked(input))
        .filter(|asked| !asked.is_empty());
    let is_ask = asked.is_some();
    let questions = asked.unwrap_or_else(|| vec![permission(&tool)]);
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
    let input = json::one_line(input);
    Some((Open { id, input, is_ask }, frame))
}

/// The frame of a question that nobody here has answered, and nobody has to any more.
pub(crate) fn given_up(id: &str) -> Data {
    Data::AskAnswer(AskAnswer {
        id: id.to_owned(),
        answers: None,
        by: None,
    })
}

/// The questions that can be read.
fn asked(input: &str) -> Vec<Question> {
    let input = Object::read(input).unwrap_or_default();
    let questions = input.items("questions").unwrap_or_default();
    let read = |text: &str| {
        let question = Object::read(text)?;
        let options = question.items("options").unwrap_or_default();
        let option = |text: &str| {
            let option = Object::read(text)?;
            Some(AskOption {
                label: option.string("label")?,
                description: option.string("description").unwrap_or_default(),
            })
        };
        Some(Question {
            question: question.string("question")?,
            header: question.string("header").unwrap_or_default(),
            options: options.into_iter().filter_map(option).collect(),
            multi_select: question.flag("multiSelect").unwrap_or(false),
        })
    };
    questions.into_iter().filter_map(read).collect()
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
    /// The `response` that answers it, as JSON. No answers refuse, and so does any word but the
    /// one that allows, because a permission must not be given by a misunderstanding.
    pub(crate) fn answer(self, answers: &BTreeMap<String, String>) -> String {
        if answers.is_empty() {
            return deny("The user declined to answer.");
        }
        if self.is_ask {
            return allow(&with_answers(&self.input, answers));
        }
        match answers.values().next().map(String::as_str) {
            Some(word) if word.eq_ignore_ascii_case(ALLOW) => allow(&self.input),
            Some(word) if !word.eq_ignore_ascii_case(DENY) => deny(word),
            _ => deny("The user refused."),
        }
    }
}

/// An object's text with its field `answers` in place of any that it has.
fn with_answers(input: &str, answers: &BTreeMap<String, String>) -> String {
    let input = Object::read(input).unwrap_or_default();
    let mut text = String::from("{");
    for (name, value) in input.fields().filter(|(name, _)| *name != "answers") {
        text.push_str(&Value::from(name).to_string());
        text.push(':');
        text.push_str(value);
        text.push(',');
    }
    text.push_str("\"answers\":");
    text.push_str(&json!(answers).to_string());
    text.push('}');
    text
}

/// The answer to a permission whose input is too large to be repeated.
pub(crate) fn too_large() -> String {
    deny("The input of this call is too large to be shown to the user; split it.")
}

/// The answer to a permission of which too little can be read to ask for it.
pub(crate) fn unreadable() -> String {
    deny("What this call wants cannot be shown to the user; try it another way.")
}

fn allow(input: &str) -> String {
    format!(r#"{{"behavior":"allow","updatedInput":{input}}}"#)
}

fn deny(message: &str) -> String {
    json!({"behavior": "deny", "message": message}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_repeated_as_it_was_written() {
        let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
        let input = format!(r#"{{ "ratio": 1.0, "id": 12345678901234567890123, "deep": {deep} }}"#);
        let (open, _) = super::open("q".to_owned(), "Write".to_owned(), None, &input).unwrap();
        let answers = [("Allow Write?".to_owned(), "allow".to_owned())].into();
        let expected = format!(r#"{{"ratio":1.0,"id":12345678901234567890123,"deep":{deep}}}"#);
        assert_eq!(
            open.answer(&answers),
            format!(r#"{{"behavior":"allow","updatedInput":{expected}}}"#)
        );
    }

    #[test]
    fn answers_take_the_place_of_those_that_the_question_brought() {
        let input = r#"{"questions":[7,{"question":"Which?","options":[{"label":"A"},{"x":1}]}],
            "answers":{"Which?":"forged"}}"#;
        let (open, frame) = super::open("q".to_owned(), ASK.to_owned(), None, input).unwrap();
        assert_eq!((frame.questions.len(), frame.options.len()), (1, 1));
        let answers = [("Which?".to_owned(), "A".to_owned())].into();
        let answer: Value = serde_json::from_str(&open.answer(&answers)).unwrap();
        assert_eq!(answer["updatedInput"]["answers"], json!({"Which?": "A"}));
        assert!(!answer.to_string().contains("forged"));
    }

    #[test]
    fn what_is_no_object_is_not_asked_for() {
        for input in ["null", "7", "[1]", r#"{"a":[1,]}"#, r#"{"a":1"#] {
            let asked = super::open("q".to_owned(), "Bash".to_owned(), None, input);
            assert!(asked.is_none(), "{input}");
        }
    }
}
