//! A question as a whole, with the call that it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use cib_protocol::frame::{AskQuestion, Data, Frame, ToolUseStart};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Program, SessionId};
use cib_protocol::time::Timestamp;

use super::answers::Taken;
use crate::app::App;
use crate::auth::Who;
use crate::fault::{Code, Fault};
use crate::journal::cursor::{Cursor, Kinds, Start};
use crate::routes::streams::tail;
use crate::sessions::keeper;

/// Bytes of the journal in which it is looked for: a call of a tool may be long.
const RECENT: u64 = 4 << 20;

/// What is looked at.
const KINDS: &str = "ask.question,tool.use.start";

/// Calls that are held while it is not known which one is meant.
const CALLS: usize = 32;

/// A question, and what it is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// The question.
    pub(crate) asked: AskQuestion,
    /// The call that waits for it.
    pub(crate) call: Option<ToolUseStart>,
}

/// Whether a question is open.
///
/// # Errors
/// If the session cannot be looked at.
pub(super) async fn is_open(app: &App, session: SessionId, id: &str) -> Result<bool, Fault> {
    match app.store.find(Program::Claude, session).await {
        Ok(meta) => Ok(meta.open_questions.iter().any(|question| question.id == id)),
        Err(fault) if fault.code() == Code::NoSuchSession => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// An open question; nothing if it is not open any more.
///
/// # Errors
/// If the journal cannot be read.
pub(crate) async fn find(
    app: &Arc<App>,
    session: SessionId,
    id: &str,
) -> Result<Option<Found>, Fault> {
    if !is_open(app, session, id).await? {
        return Ok(None);
    }
    let tail = tail(app, session).await?.map_err(Fault::internal)?;
    let opened = Cursor::open(tail, Start::Recent(RECENT), Kinds::parse(KINDS)).await;
    let mut cursor = opened.map_err(Fault::internal)?;
    let mut asked = None;
    let mut calls: Vec<ToolUseStart> = Vec::new();
    while let Some(batch) = cursor.ready().await.map_err(Fault::internal)? {
        for line in batch.lines() {
            let frame = serde_json::from_slice::<Frame>(&line.bytes).ok();
            match frame.and_then(|frame| frame.decode().ok().flatten()) {
                Some(Data::AskQuestion(question)) if question.id == id => asked = Some(question),
                Some(Data::ToolUseStart(call)) => {
                    if calls.len() == CALLS {
                        calls.remove(0);
                    }
                    calls.push(call);
                }
                _ => {}
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(asked.map(|asked| {
        let call = asked.tool_use_id.as_ref().and_then(|id| {
            let at = calls.iter().position(|call| call.tool_use_id == *id);
            at.map(|at| calls.swap_remove(at))
        });
        Found { asked, call }
    }))
}

/// What came of an answer by a code.
#[derive(Debug)]
pub(crate) enum Answered {
    /// It was given.
    Given,
    /// There is nothing to answer any more, or never was.
    Over,
}

/// Gives an answer by a code that was taken. What could not be given now may be given later by the same
/// code.
///
/// # Errors
/// Why not now.
pub(crate) async fn give(
    app: &Arc<App>,
    taken: &Taken,
    answers: BTreeMap<String, String>,
) -> Result<Answered, Fault> {
    let asked = &taken.asked;
    let request = KeeperRequest::Answer {
        id: asked.question.clone(),
        answers,
    };
    let who = Who::Link(asked.via.clone());
    let told = keeper::tell(app.store.runtime(), asked.session, &who, &request).await;
    match told {
        Ok(_) => {
            tracing::info!(session = %asked.session, caller = %who, "a question was answered");
            Ok(Answered::Given)
        }
        Err(fault) if matches!(fault.code(), Code::NoSuchQuestion | Code::SessionEnded) => {
            Ok(Answered::Over)
        }
        Err(fault) => {
            if let Err(error) = app.notices.answers.put_back(taken).await {
                tracing::warn!(%error, "a code is used up by an answer that did not arrive");
            }
            Err(fault)
        }
    }
}

/// Answers by a code with the option of this number, or with a text.
///
/// # Errors
/// Why not now.
pub(super) async fn choose(
    app: &Arc<App>,
    taken: Option<Taken>,
    choice: Choice<'_>,
) -> Result<Answered, Fault> {
    let Some(taken) = taken else {
        return Ok(Answered::Over);
    };
    let found = match find(app, taken.asked.session, &taken.asked.question).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Answered::Over),
        Err(fault) => {
            if let Err(error) = app.notices.answers.put_back(&taken).await {
                tracing::warn!(%error, "a code is used up by an answer that did not arrive");
            }
            return Err(fault);
        }
    };
    let first = found.asked.questions.first();
    let answer = match choice {
        Choice::Option(number) => {
            let option = first.and_then(|question| question.options.get(number));
            option.map(|option| option.label.clone())
        }
        Choice::Text(text) => Some(text.to_owned()),
    };
    // What a permission is about does not stand in a chat, or not all of it.
    let gives =
        |answer: &str| found.asked.tool.is_some() && answer.trim().eq_ignore_ascii_case(ALLOW);
    match (first, answer) {
        (Some(question), Some(answer)) if found.asked.questions.len() == 1 && !gives(&answer) => {
            let answers = BTreeMap::from([(question.question.clone(), answer)]);
            give(app, &taken, answers).await
        }
        _ => {
            if let Err(error) = app.notices.answers.put_back(&taken).await {
                tracing::warn!(%error, "a code is used up by an answer that did not arrive");
            }
            let detail = if found.asked.tool.is_some() {
                "a permission is given by its link, which shows what it is about"
            } else {
                "the question is more than one answer; open the link"
            };
            Err(Fault::new(Code::BadValue, detail))
        }
    }
}

/// The word that gives a permission.
const ALLOW: &str = "Allow";

/// What somebody chose in a chat.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice<'a> {
    /// The option of this number.
    Option(usize),
    /// A text.
    Text(&'a str),
}

/// Until when a question may be answered by a code that was sent for it.
pub(super) fn until(at: Timestamp) -> Timestamp {
    let life = i64::try_from(super::answers::LIFE.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_add(life))
}
