//! Requests, ours to the CLI and the CLI's to us.

use std::collections::BTreeMap;

use cib_protocol::frame::{Data, Meta, Role, Text};
use cib_protocol::session::{PermissionMode, State};
use serde_json::json;
use uuid::Uuid;

use super::wire::{Request, Response};
use super::{Heard, Out, Stream, raw, say};
use crate::questions;

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
    Mode(PermissionMode),
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Interrupt => "interrupt",
            Self::Model(_) => "set_model",
            Self::Mode(_) => "set_permission_mode",
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
    pub fn input(&mut self, text: String, uuid: Uuid, out: &mut Out) {
        let line = say::user(&text, uuid);
        match &mut self.held {
            Some(held) => held.push(line),
            None => out.to_claude.push(line),
        }
        out.frames.push(Data::Text(Text {
            text,
            role: Role::User,
            message_id: Some(uuid.to_string()),
            agent: None,
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

    /// Changes what needs no asking.
    pub fn set_permission_mode(&mut self, mode: PermissionMode, out: &mut Out) {
        let fields = json!({"mode": mode.as_str()});
        self.ask(What::Mode(mode), fields, out);
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
        out.to_claude.push(say::response(id, &open.answer(answers)));
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
        let response: Response = serde_json::from_str(heard.message.response?.get()).ok()?;
        let mut open = self.requests.open.iter();
        let Some(at) = open.position(|(id, _)| *id == response.request_id) else {
            return Some(());
        };
        let (_, what) = self.requests.open.remove(at);
        if response.subtype != "success" {
            let why = response
                .error
                .unwrap_or_else(|| "no reason given".to_owned());
            self.note(format!("Claude refused {}: {why}", what.name()), out);
        }
        let succeeded = response.subtype == "success";
        let answer = response.response.unwrap_or_default();
        match what {
            What::Initialize => {
                let news = Meta {
                    claude_version: answer.claude_code_version,
                    permission_mode: answer.current_permission_mode,
                    ..Meta::default()
                };
                self.tell(news, out);
                out.to_claude
                    .append(&mut self.held.take().unwrap_or_default());
                if self.state() == State::Starting {
                    self.set_state(State::Idle, heard.now_ms, out);
                }
            }
            What::Model(asked) if succeeded => {
                let model = Some(answer.model.unwrap_or(asked));
                self.tell(
                    Meta {
                        model,
                        ..Meta::default()
                    },
                    out,
                );
            }
            What::Mode(mode) if succeeded => {
                let permission_mode = Some(mode.as_str().to_owned());
                self.tell(
                    Meta {
                        permission_mode,
                        ..Meta::default()
                    },
                    out,
                );
            }
            What::Interrupt | What::Model(_) | What::Mode(_) => {}
        }
        Some(())
    }

    /// The CLI asks something.
    pub(super) fn asked(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let id = heard.message.request_id.clone()?;
        let request: Request<'_> = serde_json::from_str(heard.message.request?.get()).ok()?;
        if request.subtype != "can_use_tool" {
            out.to_claude.push(say::unsupported(&id, &request.subtype));
            return None;
        }
        let input = request.input?;
        if heard.line.removed(input.get()) > 0 {
            out.to_claude
                .push(say::response(&id, &questions::too_large()));
            out.frames.push(Data::Raw(raw(heard.line)));
            return Some(());
        }
        let tool_use_id = request.tool_use_id;
        let (open, question) = questions::open(id, request.tool_name, tool_use_id, input)?;
        self.questions.push(open);
        out.frames.push(Data::AskQuestion(question));
        self.set_state(State::WaitingForInput, heard.now_ms, out);
        Some(())
    }
}
