//! A question of Claude's, in a conversation that is nothing but texts.

use std::collections::BTreeMap;

use cib_protocol::frame::AskQuestion;

use crate::fault::{Code, Fault};

/// A question, as a text that can be answered with one.
pub(crate) fn told(question: &AskQuestion) -> String {
    let mut text = String::new();
    for part in &question.questions {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&part.question);
        for (n, option) in part.options.iter().enumerate() {
            text.push_str(&format!("\n{}. {}", n + 1, option.label));
            if !option.description.is_empty() {
                text.push_str(&format!(": {}", option.description));
            }
        }
    }
    if text.is_empty() {
        text.push_str(&question.prompt);
    }
    text
}

/// What a text answers: for each question a line, which is an option's number, its label, or words of
/// its own.
pub(super) fn answers(
    question: &AskQuestion,
    text: &str,
) -> Result<BTreeMap<String, String>, Fault> {
    let parts = &question.questions;
    let lines: Vec<_> = if parts.len() == 1 {
        vec![text.trim()]
    } else {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect()
    };
    if lines.len() != parts.len() {
        let detail = format!(
            "the session asks {} questions; answer each in a line of its own",
            parts.len()
        );
        return Err(Fault::new(Code::BadValue, detail));
    }
    let answers = parts.iter().zip(lines).map(|(part, line)| {
        let number: Option<usize> = line.trim_end_matches('.').parse().ok();
        let by_number = number.and_then(|n| part.options.get(n.checked_sub(1)?));
        let label = by_number.map_or(line, |option| &option.label);
        (part.question.clone(), label.to_owned())
    });
    Ok(answers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn question(parts: &Value) -> AskQuestion {
        serde_json::from_value(json!({
            "id": "q", "prompt": "Which?", "options": [], "multiSelect": false, "questions": parts,
        }))
        .unwrap()
    }

    #[test]
    fn a_question_is_told_with_its_options_and_answered_by_number_or_in_words() {
        let one = question(&json!([{"question": "Which?", "options": [
            {"label": "Red", "description": "like blood"}, {"label": "Blue"},
        ]}]));
        assert_eq!(told(&one), "Which?\n1. Red: like blood\n2. Blue");
        for (text, answer) in [
            ("2", "Blue"),
            ("1.\n", "Red"),
            ("3", "3"),
            ("green, say I", "green, say I"),
        ] {
            let given = answers(&one, text).unwrap();
            assert_eq!(given["Which?"], answer, "{text}");
        }
        let two = question(&json!([{"question": "A?"}, {"question": "B?"}]));
        assert_eq!(told(&two), "A?\n\nB?");
        let given = answers(&two, "x\n\ny\n").unwrap();
        assert_eq!((&*given["A?"], &*given["B?"]), ("x", "y"));
        assert_eq!(answers(&two, "x").unwrap_err().code(), Code::BadValue);
    }
}
