//! One-time links: whoever has one may answer one question once, and nothing else.

use std::collections::BTreeMap;

use cib_protocol::api::LinkAnswer;
use cib_protocol::frame::AskQuestion;
use cib_protocol::time::Timestamp;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;

use super::call::{Call, Reply};
use crate::fault::{Code, Fault};
use crate::notices::page::{self, Language};
use crate::notices::question::{self, Answered, Found};

/// Bytes of an answer.
const MAX_ANSWER: usize = 16 * 1024;

/// Shows the question. Programs that look where a link leads change nothing by it.
pub(super) async fn show(call: Call) -> Result<Reply, Fault> {
    let language = Language::of(&call.headers);
    Ok(match find(&call).await? {
        Some(Some(found)) => page::question(language, &found, false),
        Some(None) => page::over(language),
        None => page::unknown(language),
    })
}

/// The question of the code; nothing inside if it is not open any more.
async fn find(call: &Call) -> Result<Option<Option<Found>>, Fault> {
    let app = &call.app;
    let Some(asked) = app
        .notices
        .answers
        .find(call.part("code"), Timestamp::now())
    else {
        // Who guesses is held up as who guesses tokens is.
        app.gate.wrong_code(call.arrival)?;
        return Ok(None);
    };
    question::find(app, asked.session, &asked.question)
        .await
        .map(Some)
}

pub(super) async fn answer(call: Call) -> Result<Reply, Fault> {
    let language = Language::of(&call.headers);
    let found = match find(&call).await? {
        Some(Some(found)) => found,
        Some(None) => return Ok(page::over(language)),
        None => return Ok(page::unknown(language)),
    };
    let answers = if is_form(&call) {
        match form(&call.body, &found.asked) {
            Some(answers) => answers,
            None => return Ok(page::question(language, &found, true)),
        }
    } else {
        said(call.json()?, &found.asked)?
    };
    let app = &call.app;
    let taken = app
        .notices
        .answers
        .take(call.part("code"), Timestamp::now())
        .await;
    // Somebody else was faster.
    let Some(taken) = taken.map_err(Fault::internal)? else {
        return Ok(page::over(language));
    };
    Ok(match question::give(app, &taken, answers).await? {
        Answered::Given => page::answered(language),
        Answered::Over => page::over(language),
    })
}

fn is_form(call: &Call) -> bool {
    let media = call.headers.get(CONTENT_TYPE);
    let media = media.and_then(|media| media.to_str().ok());
    media.is_some_and(|media| media.starts_with("application/x-www-form-urlencoded"))
}

/// What a program says.
fn said(said: LinkAnswer, asked: &AskQuestion) -> Result<BTreeMap<String, String>, Fault> {
    let bad = |detail: &str| Fault::new(Code::BadValue, detail);
    match (said.answer, said.answers) {
        (None, Some(answers)) => Ok(answers),
        (Some(answer), None) => match &*asked.questions {
            [only] if !answer.trim().is_empty() => {
                Ok(BTreeMap::from([(only.question.clone(), answer)]))
            }
            [_] => Err(bad("`answer` is empty")),
            _ => Err(bad("there are several questions; send `answers`")),
        },
        _ => Err(bad("send either `answer` or `answers`")),
    }
}

/// What a form says; nothing if a question has no answer.
fn form(body: &[u8], asked: &AskQuestion) -> Option<BTreeMap<String, String>> {
    let text = std::str::from_utf8(body)
        .ok()
        .filter(|text| text.len() <= MAX_ANSWER)?;
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        Some(decoded.trim().to_owned())
    };
    let fields: Option<Vec<_>> = text
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect();
    let fields = fields?;
    if asked.tool.is_none() && fields.iter().any(|(name, _)| name == "refuse") {
        return Some(BTreeMap::new());
    }
    let mut answers = BTreeMap::new();
    for (number, question) in asked.questions.iter().enumerate() {
        let name = format!("q{number}");
        let chosen = fields
            .iter()
            .filter(|(field, value)| *field == name && !value.is_empty());
        let mut chosen: Vec<_> = chosen.map(|(_, value)| &**value).collect();
        if !question.multi_select {
            // A text of one's own stands behind what was chosen, and counts.
            chosen = chosen.into_iter().next_back().into_iter().collect();
        }
        if chosen.is_empty() {
            return None;
        }
        answers.insert(question.question.clone(), chosen.join(", "));
    }
    (!answers.is_empty()).then_some(answers)
}

#[cfg(test)]
mod tests {
    use cib_protocol::frame::Question;

    use super::*;

    fn asked(tool: Option<&str>, multi: &[bool]) -> AskQuestion {
        let question = |(number, multi_select): (usize, &bool)| Question {
            question: format!("{number}?"),
            header: String::new(),
            options: Vec::new(),
            multi_select: *multi_select,
        };
        AskQuestion {
            id: "q".to_owned(),
            prompt: String::new(),
            options: Vec::new(),
            multi_select: false,
            questions: multi.iter().enumerate().map(question).collect(),
            tool: tool.map(str::to_owned),
            tool_use_id: None,
        }
    }

    fn answers(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Some(pairs.iter().map(own).collect())
    }

    #[test]
    fn a_form_answers_every_question_or_none() {
        let one = asked(None, &[false]);
        assert_eq!(
            form(b"q0=R%C3%B6d+one", &one),
            answers(&[("0?", "R\u{f6}d one")])
        );
        assert_eq!(
            form(b"q0=Red&q0=my+own", &one),
            answers(&[("0?", "my own")])
        );
        assert_eq!(form(b"q0=Red&q0=", &one), answers(&[("0?", "Red")]));
        let two = asked(None, &[true, false]);
        assert_eq!(
            form(b"q0=a&q0=b&q1=c", &two),
            answers(&[("0?", "a, b"), ("1?", "c")])
        );
        for bad in ["", "q0=", "q1=x", "q0=a", "x=y", "q0=%ff"] {
            assert_eq!(form(bad.as_bytes(), &two), None, "{bad}");
        }
    }

    #[test]
    fn a_question_may_be_refused_and_a_permission_is_denied_by_name() {
        assert_eq!(form(b"refuse=1", &asked(None, &[false])), answers(&[]));
        assert_eq!(form(b"refuse=1", &asked(Some("Bash"), &[false])), None);
    }
}
