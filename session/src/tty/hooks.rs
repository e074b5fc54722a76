//! What hooks tell, and what they are answered.

use std::path::PathBuf;

use cib_protocol::frame::{Agent, Data, Hook, Meta, Role, Text, ToolUseResult, ToolUseStart};
use cib_protocol::session::State;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Asked, HookId, Out, SETTLE_MS, Tty, user};
use crate::json::strings_len;
use crate::questions;
use crate::stream::lines::Line;

/// Subagents remembered, oldest forgotten first.
const MAX_AGENTS: usize = 256;

/// The tools that start subagents, by the names of both versions.
const AGENT_TOOLS: [&str; 2] = ["Agent", "Task"];

/// A hook's input, as far as frames are made from it.
#[derive(Deserialize)]
struct Payload<'a> {
    hook_event_name: String,
    #[serde(default)]
    session_id: Option<String>,
    #[serde(default)]
    transcript_path: Option<PathBuf>,
    #[serde(default)]
    cwd: Option<String>,
    #[serde(default)]
    permission_mode: Option<String>,
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default)]
    agent_type: Option<String>,
    #[serde(default)]
    tool_name: Option<String>,
    #[serde(default, borrow)]
    tool_input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    tool_response: Option<&'a RawValue>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    to_model: Option<String>,
    #[serde(default)]
    message_id: Option<String>,
    #[serde(default)]
    delta: Option<String>,
    #[serde(default, rename = "final")]
    is_final: Option<bool>,
    #[serde(default)]
    last_assistant_message: Option<String>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<BatchCall<'a>>>,
}

/// What `cib-session hook --run` reports of somebody else's hook.
#[derive(Deserialize)]
struct Report<'a> {
    cib_hook: Value,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// A call in a `PostToolBatch`.
#[derive(Deserialize)]
struct BatchCall<'a> {
    tool_use_id: String,
    #[serde(default, borrow)]
    tool_response: Option<&'a RawValue>,
}

/// What the Agent tool answers when its subagent has begun.
#[derive(Deserialize)]
struct Launched {
    #[serde(rename = "agentId")]
    agent_id: String,
}

/// What a permission hook says when a user has decided.
pub(super) fn decided(decision: &Value) -> String {
    json!({"hookSpecificOutput": {
        "hookEventName": "PermissionRequest",
        "decision": decision,
    }})
    .to_string()
}

impl Tty {
    /// A hook fired. It is answered in the same step unless it asks the user.
    pub fn hook(&mut self, id: HookId, line: &Line<'_>, now_ms: u64, out: &mut Out) {
        let text = std::str::from_utf8(line.bytes).unwrap_or_default();
        if let Ok(report) = serde_json::from_str::<Report<'_>>(text) {
            out.frames.extend(reported(report));
            out.answers.push((id, "{}".to_owned()));
            return;
        }
        let Ok(payload) = serde_json::from_str::<Payload<'_>>(text) else {
            out.frames.push(Data::Raw(
                crate::json::from_bytes(line.bytes).unwrap_or_default(),
            ));
            out.answers.push((id, "{}".to_owned()));
            return;
        };
        if payload.hook_event_name != "MessageDisplay" {
            out.frames.push(frame(&payload, text));
        }
        if let Some(answer) = self.fired(id, line, &payload, now_ms, out) {
            out.answers.push((id, answer));
        }
    }

    /// A hook's connection broke: the CLI no longer waits for its answer.
    pub fn hook_gone(&mut self, id: HookId, now_ms: u64, out: &mut Out) {
        self.questions.retain(|asked| asked.hook != id);
        self.unblock(now_ms, out);
    }

    /// Takes up what a hook tells. Returns its answer; `None` while a user has to give it.
    fn fired(
        &mut self,
        id: HookId,
        line: &Line<'_>,
        payload: &Payload<'_>,
        now_ms: u64,
        out: &mut Out,
    ) -> Option<String> {
        self.facts(payload, out);
        let is_main = payload.agent_id.is_none();
        match payload.hook_event_name.as_str() {
            "SessionStart" => {
                out.transcript.clone_from(&payload.transcript_path);
                if self.held.is_some() {
                    self.settled_at.get_or_insert(now_ms + SETTLE_MS);
                }
            }
            "UserPromptSubmit" => self.prompted(payload, now_ms, out),
            "MessageDisplay" if is_main => {
                let message = payload.message_id.as_deref().unwrap_or_default();
                let piece = payload.delta.as_deref().unwrap_or_default();
                let last = payload.is_final.unwrap_or(false);
                out.frames
                    .extend(self.shown.displayed(message, piece, last));
            }
            "PreToolUse" => self.called(line, payload, now_ms, out),
            "PostToolUse" => {
                self.remember_launch(payload);
                self.close_questions(payload, now_ms, out);
                let told = payload.tool_response;
                if let (Some(id), Some(told)) = (&payload.tool_use_id, told) {
                    self.calls.returned(id, told.get());
                }
                if !self.abilities.batches() && !is_main {
                    let id = payload.tool_use_id.as_deref().unwrap_or_default();
                    self.returned(line, payload, (id, told), now_ms, out);
                }
            }
            "PostToolUseFailure" => {
                self.close_questions(payload, now_ms, out);
                self.failed(payload, now_ms, out);
            }
            "PostToolBatch" => {
                for call in payload.tool_calls.iter().flatten() {
                    let told = (call.tool_use_id.as_str(), call.tool_response);
                    self.returned(line, payload, told, now_ms, out);
                }
            }
            "PermissionRequest" => return self.asked(id, line, payload, now_ms, out),
            // Otherwise `/model` asks whether the conversation's cache may be lost.
            "PreModelSwitch" => {
                return Some(
                    json!({"hookSpecificOutput": {
                        "hookEventName": "PreModelSwitch",
                        "permissionDecision": "allow",
                    }})
                    .to_string(),
                );
            }
            "SubagentStart" => self.remember_agent(payload),
            "SubagentStop" => {
                if let Some(text) = &payload.last_assistant_message {
                    out.frames.push(Data::Text(Text {
                        text: text.clone(),
                        role: Role::Assistant,
                        message_id: None,
                        agent: self.agent(payload),
                    }));
                }
            }
            "Stop" if is_main => self.turn.ends("turn_end", None, now_ms),
            "StopFailure" if is_main => {
                let detail = payload.last_assistant_message.clone();
                self.turn.ends("api_error", detail, now_ms);
            }
            _ => {}
        }
        Some("{}".to_owned())
    }

    /// What almost every hook tells besides.
    fn facts(&mut self, payload: &Payload<'_>, out: &mut Out) {
        if payload.agent_id.is_some() || payload.hook_event_name == "SessionEnd" {
            return;
        }
        let switched = payload.hook_event_name == "PostModelSwitch";
        let model = if switched {
            &payload.to_model
        } else {
            &payload.model
        };
        let news = Meta {
            model: model.clone(),
            workdir: payload.cwd.clone(),
            permission_mode: payload.permission_mode.clone(),
            claude_session: payload.session_id.clone(),
            ..Meta::default()
        };
        self.ledger.tell(news, &mut out.frames);
    }

    /// A prompt was submitted, by whomever.
    fn prompted(&mut self, payload: &Payload<'_>, now_ms: u64, out: &mut Out) {
        let prompt = payload.prompt.clone().unwrap_or_default();
        let expected = self
            .expected
            .iter()
            .position(|text| text.trim() == prompt.trim());
        match expected {
            // Its frame was made when it was accepted. What was accepted before it and never
            // came was taken for something else, a command of the interface for instance.
            Some(at) => drop(self.expected.drain(..=at)),
            None if prompt.starts_with("<task-notification>") => {}
            None => out.frames.push(user(prompt)),
        }
        self.working(now_ms, out);
    }

    fn called(&mut self, line: &Line<'_>, payload: &Payload<'_>, now_ms: u64, out: &mut Out) {
        let (Some(id), Some(tool)) = (&payload.tool_use_id, &payload.tool_name) else {
            return;
        };
        let input = payload.tool_input.map_or("{}", RawValue::get);
        if payload.agent_id.is_none() {
            self.working(now_ms, out);
        }
        if !self.calls.start(id, tool, input, now_ms) {
            return;
        }
        let value: Value = serde_json::from_str(input).unwrap_or_default();
        let removed = line.removed(input);
        out.frames.push(Data::ToolUseStart(ToolUseStart {
            tool_use_id: id.clone(),
            tool: tool.clone(),
            original_bytes: (removed > 0).then(|| removed + strings_len(&value)),
            input: value,
            agent: self.agent(payload),
        }));
    }

    /// A call returned: its id, and what the model was told. Of a call that was refused the
    /// batch tells the words and not that they are a refusal; the transcript does.
    fn returned(
        &mut self,
        line: &Line<'_>,
        payload: &Payload<'_>,
        (id, output): (&str, Option<&RawValue>),
        now_ms: u64,
        out: &mut Out,
    ) {
        if !self.calls.has_returned(id) {
            return;
        }
        let text = output.map_or("null", RawValue::get);
        let removed = line.removed(text);
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let mut closed = self.calls.finish(id, false, None, now_ms);
        let todos = closed.take_todos();
        if !closed.is_hidden() {
            out.frames.push(Data::ToolUseResult(ToolUseResult {
                tool_use_id: id.to_owned(),
                tool: closed.tool,
                original_bytes: (removed > 0).then(|| removed + strings_len(&value)),
                output: value,
                is_error: false,
                duration_ms: closed.duration_ms,
                agent: self.agent(payload),
            }));
        }
        out.frames.extend(todos);
    }

    fn failed(&mut self, payload: &Payload<'_>, now_ms: u64, out: &mut Out) {
        let id = payload.tool_use_id.as_deref().unwrap_or_default();
        if !self.calls.is_open(id) {
            return;
        }
        let closed = self.calls.finish(id, true, None, now_ms);
        out.frames.push(Data::ToolUseResult(ToolUseResult {
            tool_use_id: id.to_owned(),
            tool: closed.tool,
            output: payload.error.clone().into(),
            is_error: true,
            duration_ms: closed.duration_ms,
            original_bytes: None,
            agent: self.agent(payload),
        }));
    }

    /// A dialog is open on the terminal. Whoever answers first, there or here, wins.
    fn asked(
        &mut self,
        id: HookId,
        line: &Line<'_>,
        payload: &Payload<'_>,
        now_ms: u64,
        out: &mut Out,
    ) -> Option<String> {
        let (Some(tool), Some(input)) = (&payload.tool_name, payload.tool_input) else {
            return Some("{}".to_owned());
        };
        if line.removed(input.get()) > 0 {
            // It could not be repeated whole; it can still be answered on the terminal.
            return Some("{}".to_owned());
        }
        let call = self.calls.latest(tool);
        let name = call.clone().unwrap_or_else(|| format!("hook-{id}"));
        let Some((open, question)) = questions::open(name, tool.clone(), call, input) else {
            return Some("{}".to_owned());
        };
        self.questions.push(Asked {
            hook: id,
            tool: tool.clone(),
            open,
        });
        out.frames.push(Data::AskQuestion(question));
        self.set_state(State::WaitingForInput, now_ms, out);
        None
    }

    /// A call went on, so its question was answered, perhaps on the terminal.
    fn close_questions(&mut self, payload: &Payload<'_>, now_ms: u64, out: &mut Out) {
        let Some(tool) = &payload.tool_name else {
            return;
        };
        let mut open = std::mem::take(&mut self.questions);
        open.retain(|asked| {
            let stays = asked.tool != *tool;
            if !stays {
                out.answers.push((asked.hook, "{}".to_owned()));
            }
            stays
        });
        self.questions = open;
        self.unblock(now_ms, out);
    }

    /// Notes which call started a subagent: the last one that has none yet.
    fn remember_agent(&mut self, payload: &Payload<'_>) {
        let known = |agents: &[Agent], id: &str| agents.iter().any(|a| a.parent_tool_use_id == id);
        let parent = AGENT_TOOLS
            .iter()
            .find_map(|tool| self.calls.latest(tool))
            .filter(|call| !known(&self.agents, call));
        self.remember(payload.agent_id.clone(), payload.agent_type.clone(), parent);
    }

    /// A call of Agent returned at once and tells which subagent works on.
    fn remember_launch(&mut self, payload: &Payload<'_>) {
        let launched = payload
            .tool_response
            .and_then(|text| serde_json::from_str::<Launched>(text.get()).ok());
        if let Some(launched) = launched {
            self.remember(Some(launched.agent_id), None, payload.tool_use_id.clone());
        }
    }

    fn remember(&mut self, id: Option<String>, kind: Option<String>, parent: Option<String>) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.agent_id == id) {
            if let Some(parent) = parent {
                agent.parent_tool_use_id = parent;
            }
            agent.subagent_type = agent.subagent_type.take().or(kind);
            return;
        }
        if self.agents.len() == MAX_AGENTS {
            self.agents.remove(0);
        }
        self.agents.push(Agent {
            parent_tool_use_id: parent.unwrap_or_default(),
            agent_id: id,
            subagent_type: kind,
        });
    }

    fn agent(&self, payload: &Payload<'_>) -> Option<Agent> {
        let id = payload.agent_id.as_ref()?;
        let known = self
            .agents
            .iter()
            .find(|agent| agent.agent_id.as_ref() == Some(id));
        Some(known.cloned().unwrap_or_else(|| Agent {
            parent_tool_use_id: String::new(),
            agent_id: Some(id.clone()),
            subagent_type: payload.agent_type.clone(),
        }))
    }
}

/// The frame of somebody else's hook that was run.
fn reported(report: Report<'_>) -> Option<Data> {
    let text = report.payload.get();
    let payload = serde_json::from_str::<Payload<'_>>(text).ok()?;
    let Data::Hook(mut hook) = frame(&payload, text) else {
        return None;
    };
    hook.result = Some(report.cib_hook);
    Some(Data::Hook(hook))
}

/// The frame of a firing.
fn frame(payload: &Payload<'_>, text: &str) -> Data {
    let event = payload.hook_event_name.clone();
    let name = match &payload.tool_name {
        Some(tool) => format!("{event}:{tool}"),
        None => event.clone(),
    };
    Data::Hook(Hook {
        name,
        event,
        payload: serde_json::from_str(text).unwrap_or_default(),
        result: None,
    })
}
