//! One turn of a conversation: from the client's message to the end of the answer.

use std::sync::Arc;
use std::time::Duration;

use cib_protocol::api::{Answer, Content, CreateSession, Input};
use cib_protocol::frame::{Data, Role, Stop};
use cib_protocol::limits::Usage;
use cib_protocol::session::{SessionId, SessionMeta, State, Uuid};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::question::{answers, told};
use super::{Message, Wanted};
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::once::Key;
use crate::routes::call::{Call, Reply};
use crate::routes::mcp::asked;
use crate::routes::within::{Frames, Step, Within};

/// Kinds that an answer is made of.
const KINDS: &str = "text.delta,thinking,tool.use.*,ask.question,usage,stop";

/// How long the last turn's session is waited for that is about to end.
const ENDING: Duration = Duration::from_secs(15);

/// Bytes of an answer that is given in one piece, about.
pub(crate) const MOST: usize = 8 * 1024 * 1024;

/// How long an answer that is given in one piece is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Text. A new message of Claude's begins a paragraph.
    Text(String),
    /// Thinking.
    Thinking(String),
    /// Claude uses one of its own tools.
    Tool {
        id: String,
        name: String,
        input: Value,
    },
    /// What that gave.
    Result {
        id: String,
        output: Value,
        is_error: bool,
    },
    /// Nothing, but Claude is at work.
    Life,
    /// The last.
    End(End),
}

/// How an answer ends.
#[derive(Debug)]
pub(crate) enum End {
    /// Claude has said what there is to say.
    Turn,
    /// A limit of the session's was reached.
    Limit,
    /// There is no answer, or only a part.
    Failed(Fault),
}

/// A turn that is being answered.
#[derive(Debug)]
pub(crate) struct Turn {
    app: Arc<App>,
    within: Within,
    wanted: Wanted,
    frames: Frames,
    /// The session.
    pub(crate) session: SessionId,
    /// What the turn cost, once it has ended.
    pub(crate) usage: Usage,
    /// The message whose turn it is; nothing for the answer to a question.
    message: Option<String>,
    /// Whether the turn has begun: until then others are answered.
    has_begun: bool,
    /// What Claude has said; nothing if that is more than is kept.
    said: Option<String>,
    /// Claude's message that is being said.
    saying: Option<String>,
    /// Ends the session with the turn, if it is there for nothing else.
    ending: Option<Ending>,
    /// A question was told, with which the answer ends.
    has_asked: bool,
}

/// Ends a session when it is dropped.
#[derive(Debug)]
struct Ending {
    within: Within,
    session: SessionId,
    is_kept: bool,
}

impl Ending {
    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (within, session) = (self.within.clone(), self.session);
        // It may be dropped while the box ends, and then there is nothing left to do.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(fault) = within.json("end_session", Some(session), "").await {
                    fault.log("talk");
                }
            });
        }
    }
}

impl Turn {
    /// Gives a client's message to the session that its conversation is.
    ///
    /// # Errors
    /// What the routes say that it takes.
    pub(crate) async fn begin(call: &Call, wanted: Wanted) -> Result<Self, Fault> {
        let within = Within::new(call)?;
        // By itself: who goes away while a session starts does not come back for it, and it ends with
        // what nobody takes over.
        let found = tokio::spawn(Found::of(Arc::clone(&call.app), within.clone(), wanted));
        let Found {
            wanted,
            meta,
            message,
            ending,
        } = found.await.map_err(Fault::internal)??;
        let session = meta.id;
        let frames = within.follow(session, meta.last_seq, KINDS).await?;
        let message = give(&within, &meta, message).await?;
        Ok(Self {
            app: Arc::clone(&call.app),
            within,
            wanted,
            frames,
            session,
            usage: Usage::default(),
            has_begun: message.is_none() || meta.state != State::Working,
            message,
            said: Some(String::new()),
            saying: None,
            ending,
            has_asked: false,
        })
    }

    /// The next piece; nothing follows [`Piece::End`].
    pub(crate) async fn next(&mut self) -> Piece {
        if self.has_asked {
            return self.end(End::Turn);
        }
        loop {
            match self.frames.next().await {
                Step::Life => return Piece::Life,
                Step::End(reason) => {
                    let code = match &*reason {
                        "shutting_down" => Code::NotNow,
                        _ => Code::SessionEnded,
                    };
                    let detail = format!("the session's stream ended: {reason}");
                    return self.end(End::Failed(Fault::new(code, detail)));
                }
                Step::Frame(_, data) => {
                    if let Some(piece) = self.take(*data) {
                        return piece;
                    }
                }
            }
        }
    }

    fn take(&mut self, data: Data) -> Option<Piece> {
        match data {
            Data::Text(text) if text.role == Role::User => {
                self.has_begun |= text.message_id.is_some() && text.message_id == self.message;
                None
            }
            Data::Stop(stop) => {
                let is_own = self.is_own(&stop);
                is_own.then(|| self.end(ended(&stop)))
            }
            _ if !self.has_begun => None,
            Data::Text(text) if text.agent.is_none() => {
                let goes_on = self.saying == text.message_id || self.is_first();
                self.saying = text.message_id;
                let gap = if goes_on { "" } else { "\n\n" };
                Some(self.say(format!("{gap}{}", text.text)))
            }
            Data::Thinking(text) if text.agent.is_none() => Some(Piece::Thinking(text.text)),
            Data::ToolUseStart(start) if start.agent.is_none() => Some(Piece::Tool {
                id: start.tool_use_id,
                name: start.tool,
                input: start.input,
            }),
            Data::ToolUseResult(result) if result.agent.is_none() => Some(Piece::Result {
                id: result.tool_use_id,
                output: result.output,
                is_error: result.is_error,
            }),
            Data::AskQuestion(question) => {
                // The next message is the answer: the session has to live until then.
                self.has_asked = true;
                let gap = if self.is_first() { "" } else { "\n\n" };
                Some(self.say(format!("{gap}{}", told(&question))))
            }
            Data::Usage(usage) => {
                self.usage = usage;
                None
            }
            _ => None,
        }
    }

    fn is_first(&self) -> bool {
        self.said.as_ref().is_some_and(String::is_empty)
    }

    fn say(&mut self, text: String) -> Piece {
        keep(&mut self.said, &text);
        Piece::Text(text)
    }

    /// Whether an end is that of the message's turn, or of everything.
    fn is_own(&self, stop: &Stop) -> bool {
        match &self.message {
            Some(message) if !stop.last && stop.by.is_some() => stop.messages.contains(message),
            _ => self.has_begun || stop.last,
        }
    }

    fn end(&mut self, end: End) -> Piece {
        let said = self.said.as_ref();
        let said = said.filter(|_| self.ending.is_some() && !matches!(end, End::Failed(_)));
        if let Some(said) = said {
            let now = self.wanted.future(said);
            self.app.talks.put(self.within.who(), now, self.session);
        }
        // It waits for an answer only if the conversation finds it again.
        if self.has_asked
            && said.is_some()
            && let Some(ending) = self.ending.take()
        {
            ending.keep();
        }
        self.ending = None;
        Piece::End(end)
    }
}

/// Keeps what is said, as long as a client could send it back.
fn keep(said: &mut Option<String>, text: &str) {
    match said {
        Some(said) if said.len() + text.len() <= MOST => said.push_str(text),
        _ => *said = None,
    }
}

/// The session that a conversation is.
struct Found {
    wanted: Wanted,
    meta: SessionMeta,
    /// What it is told.
    message: Message,
    ending: Option<Ending>,
}

impl Found {
    /// Finds it, or begins one.
    async fn of(app: Arc<App>, within: Within, wanted: Wanted) -> Result<Self, Fault> {
        let last = wanted.last()?;
        let (meta, message, is_own) = match wanted.session {
            Some(id) => {
                let meta = within.get("get_session", Some(id), "").await?;
                (live(&within, meta).await?, last, false)
            }
            None => match remembered(&app, &within, &wanted).await? {
                Some(meta) => (meta, last, true),
                None => (new(&within, &wanted).await?, wanted.told()?, true),
            },
        };
        let ending = is_own.then(|| Ending {
            within: within.outliving(),
            session: meta.id,
            is_kept: false,
        });
        Ok(Self {
            wanted,
            meta,
            message,
            ending,
        })
    }
}

/// How a protocol writes an answer down, piece by piece.
pub(crate) trait Write: Send + 'static {
    /// What stands in front of everything.
    fn open(&mut self, turn: &Turn, out: &mut String);

    /// A piece.
    fn write(&mut self, turn: &Turn, piece: Piece, out: &mut String);
}

/// An answer as it comes.
pub(crate) fn stream(turn: Turn, write: impl Write) -> Reply {
    let state = Some((turn, write, true));
    let chunks = futures_util::stream::unfold(state, |state| async move {
        let (mut turn, mut write, is_new) = state?;
        let mut out = String::new();
        if is_new {
            write.open(&turn, &mut out);
            return Some((Ok(out.into()), Some((turn, write, false))));
        }
        let piece = turn.next().await;
        let is_last = matches!(piece, Piece::End(_));
        write.write(&turn, piece, &mut out);
        Some((Ok(out.into()), (!is_last).then_some((turn, write, false))))
    });
    Reply::Chunks {
        media: "text/event-stream",
        chunks: Box::pin(chunks),
    }
}

/// An answer in one piece: the pieces of it, and whether a limit was reached.
///
/// # Errors
/// Why there is none, or not all of it.
pub(crate) async fn whole(turn: &mut Turn) -> Result<(Vec<Piece>, bool), Fault> {
    let mut pieces = Vec::new();
    let all = async {
        let mut size = 0;
        loop {
            match turn.next().await {
                Piece::Life => {}
                Piece::End(End::Failed(fault)) => return Err(fault),
                Piece::End(end) => return Ok(matches!(end, End::Limit)),
                piece => {
                    size += piece.size();
                    if size > MOST {
                        let detail = format!("the answer has more than {MOST} bytes; stream it");
                        return Err(Fault::new(Code::TooLarge, detail));
                    }
                    pieces.push(piece);
                }
            }
        }
    };
    let is_limit = tokio::time::timeout(PATIENCE, all).await.map_err(|_| {
        let detail = format!(
            "there is no answer within {} s; stream it",
            PATIENCE.as_secs()
        );
        Fault::new(Code::KeeperTimeout, detail)
    })??;
    Ok((pieces, is_limit))
}

impl Piece {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Thinking(text) => text.len(),
            Self::Tool { input: value, .. } | Self::Result { output: value, .. } => {
                value.to_string().len()
            }
            Self::Life | Self::End(_) => 0,
        }
    }
}

/// The header by which a client finds the session again.
pub(crate) fn headers(turn: &Turn) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::try_from(turn.session.to_string()) {
        headers.insert(super::SESSION, id);
    }
    headers
}

/// A session that is there, resumed if it has ended.
async fn live(within: &Within, meta: SessionMeta) -> Result<SessionMeta, Fault> {
    if meta.state.is_live() {
        return Ok(meta);
    }
    let request = CreateSession {
        resume: Some(meta.id),
        ..CreateSession::default()
    };
    made(&within.post("create_session", None, &request).await?)
}

fn made(json: &[u8]) -> Result<SessionMeta, Fault> {
    serde_json::from_slice(json).map_err(Fault::internal)
}

async fn new(within: &Within, wanted: &Wanted) -> Result<SessionMeta, Fault> {
    let request = CreateSession {
        model: wanted.model.clone(),
        ..CreateSession::default()
    };
    made(&within.post("create_session", None, &request).await?)
}

/// The session that has had the conversation up to now, if that is known.
async fn remembered(
    app: &App,
    within: &Within,
    wanted: &Wanted,
) -> Result<Option<SessionMeta>, Fault> {
    let past = wanted.past();
    let Some(id) = past.and_then(|past| app.talks.take(within.who(), past)) else {
        return Ok(None);
    };
    let gone = [Code::NoSuchSession, Code::NothingToResume];
    let found: Result<SessionMeta, Fault> = async {
        let mut meta: SessionMeta = within.get("get_session", Some(id), "").await?;
        if meta.state.is_live() && meta.state != State::WaitingForInput {
            // The last turn's end is its own.
            let mut frames = within.follow(id, meta.last_seq, "stop").await?;
            let over = async { while !matches!(frames.next().await, Step::End(_)) {} };
            let _ = tokio::time::timeout(ENDING, over).await;
            meta = within.get("get_session", Some(id), "").await?;
        }
        live(within, meta).await
    }
    .await;
    match found {
        Ok(meta) => Ok(Some(meta)),
        Err(fault) if gone.contains(&fault.code()) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Gives a session a message, or the answer that it waits for. Answers which message it is.
pub(crate) async fn give(
    within: &Within,
    meta: &SessionMeta,
    message: Message,
) -> Result<Option<String>, Fault> {
    let id = Some(meta.id);
    if let Some(open) = meta.open_questions.first() {
        let question = asked(within, meta.id, &open.id).await?;
        let body = Answer {
            answers: answers(&question, &message.text)?,
            id: question.id,
            client_id: None,
        };
        within.post("answer_question", id, &body).await?;
        return Ok(None);
    }
    let name = Uuid::new_v4().to_string();
    let key = Key::new(within.who(), &format!("input {}", meta.id), &name)?;
    let mut input = Input {
        client_id: Some(name),
        ..Input::default()
    };
    if message.images.is_empty() {
        input.data = message.text;
    } else {
        let text = Content::Text { text: message.text };
        input.content = std::iter::once(text).chain(message.images).collect();
    }
    within.post("send_input", id, &input).await?;
    Ok(Some(key.uuid().to_string()))
}

/// How a turn ended.
fn ended(stop: &Stop) -> End {
    match &*stop.reason {
        "turn_end" | "interrupted" => End::Turn,
        reason if reason.starts_with("limit ") => End::Limit,
        reason => {
            let detail = stop.detail.as_deref().unwrap_or(reason);
            let code = if stop.last {
                Code::SessionEnded
            } else {
                Code::ClaudeRefused
            };
            End::Failed(Fault::new(code, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_no_client_could_send_back_is_not_kept() {
        let mut said = Some(String::new());
        keep(&mut said, "hello");
        assert_eq!(said.as_deref(), Some("hello"));
        keep(&mut said, &"x".repeat(MOST));
        assert_eq!(said, None);
        keep(&mut said, "more");
        assert_eq!(said, None);
    }

    #[test]
    fn an_end_is_an_answer_a_limit_or_a_failure() {
        let stop = |reason: &str, last| Stop {
            reason: reason.to_owned(),
            last,
            ..Stop::default()
        };
        assert!(matches!(ended(&stop("turn_end", false)), End::Turn));
        assert!(matches!(ended(&stop("limit turns", true)), End::Limit));
        let End::Failed(fault) = ended(&stop("api_error", false)) else {
            panic!();
        };
        assert_eq!(fault.code(), Code::ClaudeRefused);
    }
}
