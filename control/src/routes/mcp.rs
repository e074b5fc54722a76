//! The box as tools for another agent: `/mcp`.
//!
//! Each tool is a request to a route or two of the table. Which tools do anything is therefore a
//! matter of the caller's scopes, and what they answer is what the routes answer, in fewer words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cib_protocol::api::{Answer, Chat, CreateSession, Send, SessionList, Transcript};
use cib_protocol::frame::{AskQuestion, Data};
use cib_protocol::session::{SessionId, SessionMeta, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply};
use super::within::{Frames, Step, Within};
use crate::fault::{Code, Fault};
use crate::mcp::{self, Told, Tool, Tools, arguments};

/// How long a turn is waited for if nothing is said, in seconds: less than clients wait for a tool.
const WAIT: u64 = 45;

/// The longest wait for a turn, in seconds.
const MAX_WAIT: u64 = 300;

/// Sessions that a list has if nothing is said.
const LIST: u64 = 20;

const TOOLS: &[Tool] = &[
    Tool {
        name: "list_sessions",
        description: "Lists Claude Code sessions of this box, the newest first: id, title, state, working directory and what each of them asks.",
        input: r#"{"type":"object","properties":{"limit":{"type":"integer","minimum":1,"maximum":100,"description":"How many; 20 if not given."},"live":{"type":"boolean","description":"Only those that have not ended."}},"additionalProperties":false}"#,
        is_read_only: true,
    },
    Tool {
        name: "create_session",
        description: "Starts a Claude Code session in this box. With a prompt, returns what it says until its turn ends or it asks something, as send_message does.",
        input: r#"{"type":"object","properties":{"prompt":{"type":"string","description":"The first message."},"workdir":{"type":"string","description":"Absolute path of the directory to work in; /workspace if not given."},"model":{"type":"string"},"title":{"type":"string"},"effort":{"type":"string","enum":["low","medium","high","xhigh","max"]},"permission_mode":{"type":"string","description":"What Claude may do without asking, as Claude Code names it."},"resume":{"type":"string","description":"Id of an ended session to go on with."},"timeout_s":{"type":"integer","minimum":0,"maximum":300,"description":"How long to wait for the prompt's turn; 45 if not given."}},"additionalProperties":false}"#,
        is_read_only: false,
    },
    Tool {
        name: "send_message",
        description: "Sends a message to a session and returns what it says until its turn ends or it asks something. With partial true it is still at work: use wait.",
        input: r#"{"type":"object","properties":{"session":{"type":"string"},"message":{"type":"string"},"timeout_s":{"type":"integer","minimum":0,"maximum":300,"description":"How long to wait; 45 if not given."}},"required":["session","message"],"additionalProperties":false}"#,
        is_read_only: false,
    },
    Tool {
        name: "wait",
        description: "Waits until a session's turn has ended or it asks something, and returns what it said since a seq, its state and its open questions.",
        input: r#"{"type":"object","properties":{"session":{"type":"string"},"since":{"type":"integer","minimum":0,"description":"Seq of the last frame that is known, as last_seq of other answers; 0 for everything."},"timeout_s":{"type":"integer","minimum":0,"maximum":300,"description":"How long to wait; 45 if not given."}},"required":["session"],"additionalProperties":false}"#,
        is_read_only: true,
    },
    Tool {
        name: "answer_question",
        description: "Answers an open question or permission of a session. answer is for a question of one part: the label of an option, or free text; for several, answers has one for each question's text. refuse refuses. Returns what is said then, as wait does.",
        input: r#"{"type":"object","properties":{"session":{"type":"string"},"question":{"type":"string","description":"Its id; the oldest open one if not given."},"answer":{"type":"string"},"answers":{"type":"object","additionalProperties":{"type":"string"}},"refuse":{"type":"boolean"},"timeout_s":{"type":"integer","minimum":0,"maximum":300,"description":"How long to wait for what follows; 45 if not given."}},"required":["session"],"additionalProperties":false}"#,
        is_read_only: false,
    },
    Tool {
        name: "read_transcript",
        description: "Returns a session as a conversation: what was said, and which tools were used, from a seq on.",
        input: r#"{"type":"object","properties":{"session":{"type":"string"},"since":{"type":"integer","minimum":0,"description":"Seq of the last frame that is known; 0 for everything."}},"required":["session"],"additionalProperties":false}"#,
        is_read_only: true,
    },
    Tool {
        name: "interrupt",
        description: "Ends the running turn of a session; the session lives on.",
        input: r#"{"type":"object","properties":{"session":{"type":"string"}},"required":["session"],"additionalProperties":false}"#,
        is_read_only: false,
    },
    Tool {
        name: "end_session",
        description: "Ends a session. Its conversation stays and can be gone on with.",
        input: r#"{"type":"object","properties":{"session":{"type":"string"}},"required":["session"],"additionalProperties":false}"#,
        is_read_only: false,
    },
];

pub(super) async fn post(call: Call) -> Result<Reply, Fault> {
    let tools = Arc::new(Drive(Within::new(&call)?));
    Ok(mcp::answer(tools, &call.headers, &call.body).await)
}

/// The tools, in the hands of one caller.
struct Drive(Within);

impl Tools for Drive {
    fn server(&self) -> &'static str {
        "claude-in-box"
    }

    fn instructions(&self) -> &'static str {
        "This box runs Claude Code sessions. Start one with create_session or find one with \
         list_sessions, talk to it with send_message, and use wait while it works. A session that \
         asks something goes on only when answer_question has answered it."
    }

    fn tools(&self) -> &'static [Tool] {
        TOOLS
    }

    fn call(self: Arc<Self>, tool: &'static Tool, given: Map<String, Value>) -> Told {
        Box::pin(async move {
            let drive = &self.0;
            match tool.name {
                "list_sessions" => list(drive, arguments(given)?).await,
                "create_session" => create(drive, arguments(given)?).await,
                "send_message" => send(drive, arguments(given)?).await,
                "wait" => wait(drive, arguments(given)?).await,
                "answer_question" => answer(drive, arguments(given)?).await,
                "read_transcript" => transcript(drive, arguments(given)?).await,
                "interrupt" => {
                    let Named { session } = arguments(given)?;
                    text(drive.json("interrupt", Some(session), "").await?)
                }
                "end_session" => {
                    let Named { session } = arguments(given)?;
                    let ended: SessionMeta = drive.get("end_session", Some(session), "").await?;
                    Ok(shown(&ended).to_string())
                }
                name => Err(Fault::internal(format!("{name} does nothing"))),
            }
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    session: SessionId,
}

fn text(json: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(json).map_err(Fault::internal)
}

/// A session, in as many words as somebody needs who drives it.
fn shown(meta: &SessionMeta) -> Value {
    let mut shown = json!({
        "session": meta.id,
        "state": meta.state,
        "workdir": meta.workdir,
        "created_at": meta.created_at,
        "last_seq": meta.last_seq,
    });
    for (name, value) in [
        ("title", json!(meta.title)),
        ("model", json!(meta.model)),
        ("reason", json!(meta.reason)),
    ] {
        if !value.is_null() {
            shown[name] = value;
        }
    }
    if !meta.open_questions.is_empty() {
        shown["open_questions"] = json!(meta.open_questions);
    }
    shown
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    limit: Option<u64>,
    #[serde(default)]
    live: bool,
}

async fn list(drive: &Within, List { limit, live }: List) -> Result<String, Fault> {
    let limit = limit.unwrap_or(LIST).clamp(1, 100);
    let query = format!("limit={limit}");
    let list: SessionList = drive.get("list_sessions", None, &query).await?;
    let sessions = list.sessions.iter();
    let sessions = sessions.filter(|meta| !live || meta.state.is_live());
    Ok(json!({"sessions": sessions.map(shown).collect::<Vec<_>>()}).to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    prompt: Option<String>,
    workdir: Option<String>,
    model: Option<String>,
    title: Option<String>,
    effort: Option<String>,
    permission_mode: Option<String>,
    resume: Option<SessionId>,
    timeout_s: Option<u64>,
}

async fn create(drive: &Within, wanted: Create) -> Result<String, Fault> {
    let mode = wanted
        .permission_mode
        .map(|mode| serde_json::from_value(mode.into()).map_err(|error| Fault::from_json(&error)));
    let patience = patience(wanted.timeout_s)?;
    let request = CreateSession {
        workdir: wanted.workdir,
        model: wanted.model,
        title: wanted.title,
        effort: wanted.effort,
        permission_mode: mode.transpose()?,
        resume: wanted.resume,
        ..CreateSession::default()
    };
    let made = drive.post("create_session", None, &request).await?;
    let made: SessionMeta = serde_json::from_slice(&made).map_err(Fault::internal)?;
    let Some(prompt) = wanted.prompt.filter(|prompt| !prompt.trim().is_empty()) else {
        return Ok(shown(&made).to_string());
    };
    // As a message of its own, so that its turn is known from any other.
    say(drive, made.id, prompt, patience).await
}

/// How long a client wants to wait.
fn patience(seconds: Option<u64>) -> Result<Duration, Fault> {
    let seconds = seconds.unwrap_or(WAIT);
    if seconds > MAX_WAIT {
        let detail = format!("`timeout_s` is at most {MAX_WAIT}");
        return Err(Fault::new(Code::BadValue, detail));
    }
    Ok(Duration::from_secs(seconds))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    session: SessionId,
    message: String,
    timeout_s: Option<u64>,
}

async fn send(drive: &Within, message: Message) -> Result<String, Fault> {
    let patience = patience(message.timeout_s)?;
    say(drive, message.session, message.message, patience).await
}

async fn say(
    drive: &Within,
    session: SessionId,
    prompt: String,
    patience: Duration,
) -> Result<String, Fault> {
    let body = Send {
        prompt,
        timeout_ms: Some(patience.as_secs() * 1000),
    };
    text(drive.post("send_and_wait", Some(session), &body).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    session: SessionId,
    #[serde(default)]
    since: u64,
    timeout_s: Option<u64>,
}

async fn wait(drive: &Within, wait: Wait) -> Result<String, Fault> {
    let patience = patience(wait.timeout_s)?;
    let id = wait.session;
    let before: SessionMeta = drive.get("get_session", Some(id), "").await?;
    if is_at_work(before.state) {
        let mut frames = drive.follow(id, before.last_seq, "status").await?;
        let is_last = |data: &Data| match data {
            Data::Status(status) => !is_at_work(status.state),
            _ => false,
        };
        until(&mut frames, patience, is_last).await;
    } else if before.state.is_live() && wait.since > 0 {
        // What was sent last may not have begun yet.
        let query = format!("since={}", wait.since);
        let chat: Chat = drive.get("get_chat", Some(id), &query).await?;
        if chat.messages.is_empty() {
            let mut frames = drive.follow(id, wait.since, ENDS).await?;
            until(&mut frames, patience, is_end).await;
        }
    }
    tell(drive, id, wait.since).await
}

/// Kinds that end a turn for whoever waits.
const ENDS: &str = "stop,ask.question";

fn is_end(data: &Data) -> bool {
    matches!(data, Data::Stop(_) | Data::AskQuestion(_))
}

fn is_at_work(state: State) -> bool {
    matches!(state, State::Starting | State::Working)
}

/// Reads until a frame that is the last, the session's end, or the end of the client's patience. What
/// there is then is told in any case.
async fn until(frames: &mut Frames, patience: Duration, is_last: impl Fn(&Data) -> bool) {
    let reading = async {
        loop {
            match frames.next().await {
                Step::End(_) => return,
                Step::Frame(_, data) if is_last(&data) => return,
                Step::Frame(..) | Step::Life => {}
            }
        }
    };
    let _ = tokio::time::timeout(patience, reading).await;
}

/// A session, and what was said in it behind a frame.
async fn tell(drive: &Within, id: SessionId, since: u64) -> Result<String, Fault> {
    let query = format!("since={since}");
    let chat: Chat = drive.get("get_chat", Some(id), &query).await?;
    let after: SessionMeta = drive.get("get_session", Some(id), "").await?;
    let mut told = shown(&after);
    told["messages"] = json!(chat.messages);
    told["last_seq"] = json!(chat.last_seq);
    told["partial"] = json!(chat.partial || is_at_work(after.state));
    Ok(told.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    session: SessionId,
    #[serde(default)]
    since: u64,
}

async fn transcript(drive: &Within, reading: Reading) -> Result<String, Fault> {
    let query = format!("since={}", reading.since);
    text(
        drive
            .json("get_chat", Some(reading.session), &query)
            .await?,
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answering {
    session: SessionId,
    question: Option<String>,
    answer: Option<String>,
    #[serde(default)]
    answers: BTreeMap<String, String>,
    #[serde(default)]
    refuse: bool,
    timeout_s: Option<u64>,
}

async fn answer(drive: &Within, given: Answering) -> Result<String, Fault> {
    let bad = |detail: &str| Err(Fault::new(Code::BadValue, detail));
    let ways = [
        given.answer.is_some(),
        !given.answers.is_empty(),
        given.refuse,
    ];
    if ways.into_iter().filter(|way| *way).count() != 1 {
        return bad("exactly one of `answer`, `answers` and `refuse` is needed");
    }
    let (id, patience) = (given.session, patience(given.timeout_s)?);
    let meta: SessionMeta = drive.get("get_session", Some(id), "").await?;
    let first = || meta.open_questions.first().map(|open| open.id.clone());
    let Some(question) = given.question.or_else(first) else {
        return bad("the session asks nothing");
    };
    let answers = match given.answer {
        Some(answer) => {
            let asked = asked(drive, id, &question).await?;
            match asked.questions.as_slice() {
                [one] => BTreeMap::from([(one.question.clone(), answer)]),
                _ => return bad("the question has several parts: `answers` has one for each"),
            }
        }
        None => given.answers,
    };
    let body = Answer {
        id: question,
        answers,
        client_id: None,
    };
    let mut frames = drive.follow(id, meta.last_seq, ENDS).await?;
    drive.post("answer_question", Some(id), &body).await?;
    until(&mut frames, patience, is_end).await;
    tell(drive, id, meta.last_seq).await
}

/// A question, all of it.
pub(crate) async fn asked(
    drive: &Within,
    session: SessionId,
    question: &str,
) -> Result<AskQuestion, Fault> {
    const LAST: &str = "before=18446744073709551615&limit=32&kinds=ask.question";
    let asked: Transcript = drive.get("get_transcript", Some(session), LAST).await?;
    let asked = asked
        .frames
        .iter()
        .rev()
        .filter_map(|frame| frame.decode().ok()?);
    let mut asked = asked.filter_map(|data| match data {
        Data::AskQuestion(asked) => Some(asked),
        _ => None,
    });
    asked
        .find(|asked| asked.id == question)
        .ok_or_else(|| Fault::new(Code::NoSuchQuestion, "no question of that id is open"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_takes_an_object_and_nothing_that_it_does_not_name() {
        for tool in TOOLS {
            let input: Value = serde_json::from_str(tool.input).unwrap();
            assert_eq!(input["type"], "object", "{}", tool.name);
            assert_eq!(input["additionalProperties"], false, "{}", tool.name);
        }
    }
}
