//! Requests, ours to the CLI and the CLI's to us.

use std::collections::BTreeMap;

use cib_foreign::json::Object;
use cib_protocol::frame::{AskAnswer, Data, Meta, Role, Text};
use cib_protocol::image::Image;
use cib_protocol::session::{PermissionMode, State};
use serde_json::json;
use uuid::Uuid;

use super::{Heard, Out, Stream, raw, say};
use crate::{offers, questions};

/// Questions open at once.
const MAX_OPEN: usize = 64;

/// Ids of closed questions that are remembered, oldest forgotten first.
const MAX_CLOSED: usize = 1024;

/// Longest id of a request, in bytes of JSON.
const MAX_ID: usize = 512;

/// Our requests that the CLI has not answered, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Requests {
    made: u64,
    open: Vec<(String, What)>,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Initialize,
    Interrupt,
    Model(String),
    Effort(String),
    /// What is set, after the effort was: its answer says to what.
    Settings(String),
    Mode(PermissionMode),
    Servers,
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Interrupt => "interrupt",
            Self::Model(_) => "set_model",
            Self::Effort(_) => "apply_flag_settings",
            Self::Settings(_) => "get_settings",
            Self::Mode(_) => "set_permission_mode",
            Self::Servers => "mcp_status",
        }
    }
}

/// No question of that id is open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no open question has the id {0}")]
pub struct NoSuchQuestion(pub String);

impl Stream {
    /// Greets the CLI; its answer shows that it listens. Input is held back until then, because
    /// a process that refuses its options takes what it was told with it.
    pub fn initialize(&mut self, out: &mut Out) {
        self.ask(What::Initialize, json!({}), out);
    }

    /// A message of the user. `uuid` names it towards the CLI and in its frame.
    pub fn input(&mut self, text: String, images: Vec<Image>, uuid: Uuid, out: &mut Out) {
        let line = say::user(&text, &images, uuid);
        self.turns.sent(uuid.to_string());
        match &mut self.held {
            Some(held) => held.push(line),
            None => out.to_claude.push(line),
        }
        out.frames.push(Data::Text(Text {
            text,
            role: Role::User,
            message_id: Some(uuid.to_string()),
            images,
            ..Text::default()
        }));
    }

    /// Ends the running turn.
    pub fn interrupt(&mut self, out: &mut Out) {
        self.ask(What::Interrupt, json!({}), out);
    }

    /// Changes the model from the next request on.
    pub fn set_model(&mut self, model: &str, out: &mut Out) {
        let fields = json!({"model": model});
        self.ask(What::Model(model.to_owned()), fields, out);
    }

    /// Changes the reasoning effort from the next request on.
    pub fn set_effort(&mut self, effort: &str, out: &mut Out) {
        let fields = json!({"settings": {"effortLevel": effort}});
        self.ask(What::Effort(effort.to_owned()), fields, out);
    }

    /// Changes what needs no asking.
    pub fn set_permission_mode(&mut self, mode: PermissionMode, out: &mut Out) {
        let fields = json!({"mode": mode.as_str()});
        self.ask(What::Mode(mode), fields, out);
    }

    /// Asks which MCP servers are not there.
    pub(super) fn ask_servers(&mut self, out: &mut Out) {
        self.ask(What::Servers, json!({}), out);
    }

    /// Answers an open question by question text; no answers refuse.
    ///
    /// # Errors
    /// If no question of that id is open.
    pub fn answer(
        &mut self,
        id: &str,
        answers: &BTreeMap<String, String>,
        now_ms: u64,
        out: &mut Out,
    ) -> Result<(), NoSuchQuestion> {
        let at = self.questions.iter().position(|open| open.id == id);
        let at = at.ok_or_else(|| NoSuchQuestion(id.to_owned()))?;
        let open = self.questions.remove(at);
        self.close(id);
        out.frames.push(Data::AskAnswer(AskAnswer {
            id: id.to_owned(),
            answers: Some(answers.clone()),
            by: None,
        }));
        let id = serde_json::Value::from(id).to_string();
        out.to_claude
            .push(say::response(&id, &open.answer(answers)));
        self.unblock(now_ms, out);
        Ok(())
    }

    /// Makes a request, whose id is the one that an answer will name.
    fn ask(&mut self, what: What, fields: serde_json::Value, out: &mut Out) {
        self.requests.made += 1;
        let id = format!("cib-{}", self.requests.made);
        out.to_claude.push(say::request(&id, what.name(), fields));
        self.requests.open.push((id, what));
    }

    /// The CLI answered a request. Answers to requests that are not ours are echoes.
    pub(super) fn answered(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let response = heard.message.object("response")?;
        let id = response.text("request_id");
        let at = match id {
            Some(id) => self.requests.open.iter().position(|(open, _)| *open == id),
            // An id that cannot be read is that of the only request that there is.
            None => (self.requests.open.len() == 1).then_some(0),
        };
        let Some(at) = at else {
            return Some(());
        };
        let (_, what) = self.requests.open.remove(at);
        let failed = response.text("subtype").is_some_and(|kind| kind == "error");
        if failed && !matches!(what, What::Servers | What::Settings(_)) {
            let why = response.text("error");
            let why = why.as_deref().unwrap_or("no reason given");
            self.note(format!("Claude refused {}: {why}", what.name()), out);
        }
        let answer = response.object("response").unwrap_or_default();
        let mut news = Meta::default();
        match what {
            What::Initialize => {
                if !failed {
                    self.offers = Some(Box::new(offers::read(&answer)));
                }
                news.claude_version = answer.string("claude_code_version");
                news.permission_mode = answer.string("current_permission_mode");
            }
            What::Model(asked) if !failed => {
                news.model = Some(answer.string("model").unwrap_or(asked));
            }
            // It is taken whatever it is, and what the model has not is another one then.
            What::Effort(asked) if !failed => {
                self.ask(What::Settings(asked), json!({}), out);
                return Some(());
            }
            What::Settings(asked) => {
                let applied = answer.object("applied").unwrap_or_default();
                let applied = applied.string("effort").unwrap_or_else(|| asked.clone());
                if applied != asked {
                    let note = format!("the effort is {applied}: Claude does not use {asked} here");
                    self.note(note, out);
                }
                news.effort = Some(applied);
            }
            What::Mode(mode) if !failed => {
                news.permission_mode = Some(mode.as_str().to_owned());
            }
            What::Servers => {
                let answer = response.object("response").unwrap_or_default();
                for server in answer.items("mcpServers").unwrap_or_default() {
                    self.server(&Object::read(server).unwrap_or_default(), out);
                }
                return Some(());
            }
            What::Interrupt | What::Model(_) | What::Effort(_) | What::Mode(_) => {
                return Some(());
            }
        }
        self.tell(news, out);
        if let Some(mut held) = self.held.take() {
            out.to_claude.append(&mut held);
            if self.state() == State::Starting {
                self.set_state(State::Idle, heard.now_ms, out);
            }
        }
        Some(())
    }

    /// The CLI asks something. It gets a question's answer or a denial, and never nothing.
    pub(super) fn asked(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let message = &heard.message;
        let reply_to = message.get("request_id").filter(|id| id.len() <= MAX_ID)?;
        let request = message.object("request").unwrap_or_default();
        let subtype = request.text("subtype").unwrap_or_default();
        if subtype != "can_use_tool" {
            out.to_claude.push(say::unsupported(reply_to, &subtype));
            return None;
        }
        let id = message.string("request_id");
        if self
            .questions
            .iter()
            .any(|open| Some(&open.id) == id.as_ref())
        {
            // Two questions of one id would make an answer to either an answer to both. The
            // first one's is the answer.
            return None;
        }
        let fresh = id.filter(|id| !self.closed.contains(id) && self.questions.len() < MAX_OPEN);
        let read = match (request.string("tool_name"), request.get("input")) {
            _ if heard.line.is_cut() => Err(questions::too_large()),
            (Some(tool), Some(input)) => fresh
                .and_then(|id| questions::open(id, tool, request.string("tool_use_id"), input))
                .ok_or_else(questions::unreadable),
            _ => Err(questions::unreadable()),
        };
        match read {
            Ok((open, question)) => {
                self.questions.push(open);
                out.frames.push(Data::AskQuestion(question));
                self.set_state(State::WaitingForInput, heard.now_ms, out);
            }
            Err(denial) => {
                out.to_claude.push(say::response(reply_to, &denial));
                out.frames.push(Data::Raw(raw(heard.line)));
            }
        }
        Some(())
    }

    /// Forgets a question, and not its id.
    pub(super) fn close(&mut self, id: &str) {
        self.questions.retain(|open| open.id != id);
        if self.closed.len() == MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(id.to_owned());
    }
}
