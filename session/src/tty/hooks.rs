//! What hooks tell, and what they are answered.

use std::borrow::Cow;
use std::path::PathBuf;

use cib_foreign::json::{self, Object};
use cib_protocol::frame::{Agent, Data, Hook, Meta, Role, Text, ToolUseResult, ToolUseStart};
use cib_protocol::session::State;
use serde_json::json;

use super::running::Running;
use super::{Asked, Expected, HookId, Out, SETTLE_MS, Tty, user};
use crate::json::strings_len;
use crate::questions;
use crate::stream_json::lines::Line;

/// Subagents remembered, oldest forgotten first.
const MAX_AGENTS: usize = 256;

/// Ids of closed questions that are remembered, oldest forgotten first.
const MAX_CLOSED: usize = 1024;

/// The tools that start subagents, by the names of both versions.
const AGENT_TOOLS: [&str; 2] = ["Agent", "Task"];

/// A hook's input, of which each field is read for itself.
struct Payload<'a> {
    line: &'a Line<'a>,
    text: &'a str,
    object: Object<'a>,
    event: Cow<'a, str>,
}

impl<'a> Payload<'a> {
    fn read(line: &'a Line<'a>, text: &'a str, object: Object<'a>) -> Option<Self> {
        Some(Self {
            line,
            text,
            event: object.text("hook_event_name")?,
            object,
        })
    }

    fn string(&self, name: &str) -> Option<String> {
        self.object.string(name)
    }

    /// Whether it comes from the main thread and not from a subagent.
    fn is_main(&self) -> bool {
        self.object.get("agent_id").is_none()
    }

    /// How many bytes a part lost.
    fn removed(&self, part: &str) -> u64 {
        self.line.removed(self.text, part)
    }
}

/// What a permission hook says when a user has decided; `decision` is JSON.
pub(super) fn decided(decision: &str) -> String {
    format!(
        r#"{{"hookSpecificOutput":{{"hookEventName":"PermissionRequest","decision":{decision}}}}}"#
    )
}

impl Tty {
    /// A hook fired. It is answered in the same step unless it asks the user.
    pub fn hook(&mut self, id: HookId, line: &Line<'_>, now_ms: u64, out: &mut Out) {
        let text = line.text();
        let object = Object::read(&text).unwrap_or_default();
        if let Some(report) = object.object("cib_hook") {
            out.frames
                .extend(reported(line, &text, &object, &report, &mut self.hooks));
            self.look_at_hooks(now_ms);
            out.answers.push((id, "{}".to_owned()));
            return;
        }
        let Some(payload) = Payload::read(line, &text, object) else {
            out.frames.push(Data::Raw(json::parse_or_text(&text)));
            out.answers.push((id, "{}".to_owned()));
            return;
        };
        if payload.event != "MessageDisplay" {
            out.frames.push(frame(&payload));
        }
        if let Some(answer) = self.fired(id, &payload, now_ms, out) {
            out.answers.push((id, answer));
        }
    }

    /// A hook's connection broke: the CLI no longer waits for its answer.
    pub fn hook_gone(&mut self, id: HookId, now_ms: u64, out: &mut Out) {
        let (gone, open) = std::mem::take(&mut self.questions)
            .into_iter()
            .partition(|asked| asked.hook == id);
        self.questions = open;
        let gone: Vec<Asked> = gone;
        for asked in gone {
            out.frames.push(questions::given_up(&asked.open.id));
            self.close(asked.open.id);
        }
        self.unblock(now_ms, out);
    }

    /// Takes up what a hook tells. Returns its answer; `None` while a user has to give it.
    fn fired(
        &mut self,
        id: HookId,
        payload: &Payload<'_>,
        now_ms: u64,
        out: &mut Out,
    ) -> Option<String> {
        self.facts(payload, out);
        let is_main = payload.is_main();
        let object = &payload.object;
        match &*payload.event {
            "SessionStart" => {
                out.transcript = payload.string("transcript_path").map(PathBuf::from);
                if self.held.is_some() {
                    self.settled_at.get_or_insert(now_ms + SETTLE_MS);
                }
            }
            "UserPromptSubmit" => self.prompted(payload, now_ms, out),
            "MessageDisplay" if is_main => {
                let message = object.text("message_id").unwrap_or_default();
                let piece = object.text("delta").unwrap_or_default();
                let last = object.flag("final").unwrap_or(false);
                out.frames
                    .extend(self.shown.displayed(&message, &piece, last));
            }
            "PreToolUse" => self.called(payload, now_ms, out),
            "PostToolUse" => {
                self.remember_launch(payload);
                self.close_questions(payload, now_ms, out);
                let told = object.get("tool_response");
                let call = object.text("tool_use_id").unwrap_or_default();
                if let Some(told) = told {
                    self.calls.returned(&call, told);
                }
                if !self.abilities.batches() && !is_main {
                    self.returned(payload, (&call, told), now_ms, out);
                }
            }
            "PostToolUseFailure" => {
                self.close_questions(payload, now_ms, out);
                self.failed(payload, now_ms, out);
            }
            "PostToolBatch" => {
                for call in object.items("tool_calls").unwrap_or_default() {
                    let call = Object::read(call).unwrap_or_default();
                    let id = call.text("tool_use_id").unwrap_or_default();
                    self.returned(payload, (&id, call.get("tool_response")), now_ms, out);
                }
            }
            "PermissionRequest" => return self.asked(id, payload, now_ms, out),
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
                if let Some(text) = payload.string("last_assistant_message") {
                    out.frames.push(Data::Text(Text {
                        text,
                        role: Role::Assistant,
                        agent: self.agent(payload),
                        ..Text::default()
                    }));
                }
            }
            "Stop" if is_main => self.turn.ends("turn_end", None, now_ms),
            "StopFailure" if is_main => {
                let detail = payload.string("last_assistant_message");
                self.turn.ends("api_error", detail, now_ms);
            }
            _ => {}
        }
        Some("{}".to_owned())
    }

    /// What almost every hook tells besides.
    fn facts(&mut self, payload: &Payload<'_>, out: &mut Out) {
        if !payload.is_main() || payload.event == "SessionEnd" {
            return;
        }
        let model = match &*payload.event {
            "PostModelSwitch" => "to_model",
            _ => "model",
        };
        let news = Meta {
            model: payload.string(model),
            workdir: payload.string("cwd"),
            permission_mode: payload.string("permission_mode"),
            claude_session: payload.string("session_id"),
            ..Meta::default()
        };
        self.ledger.tell(news, &mut out.frames);
    }

    /// A prompt was submitted, by whomever.
    fn prompted(&mut self, payload: &Payload<'_>, now_ms: u64, out: &mut Out) {
        self.held_up = None;
        let prompt = payload.string("prompt").unwrap_or_default();
        let same = |message: &Expected| message.text.trim() == prompt.trim();
        match self.expected.iter().position(same) {
            // Its frame was made when it was accepted. What was accepted before it and never
            // came was taken for something else, a command of the interface for instance.
            Some(at) => {
                let message = self.expected.drain(..=at).next_back();
                self.turn.answers(message.map(|message| message.id));
            }
            None if prompt.starts_with("<task-notification>") => self.turn.is_own(),
            None if self.unsubmitted.is_some() && !self.expected.is_empty() => {
                // It was typed a moment ago, and is told already.
                let message = self.expected.pop_front();
                self.turn.answers(message.map(|message| message.id));
                let note = format!("the terminal took the message for another one: {prompt}");
                self.ledger.note(note, &mut out.frames);
            }
            None => {
                self.turn.answers(None);
                out.frames.push(user(prompt, None));
            }
        }
        self.working(now_ms, out);
    }

    fn called(&mut self, payload: &Payload<'_>, now_ms: u64, out: &mut Out) {
        if payload.is_main() {
            self.working(now_ms, out);
        }
        let id = payload.string("tool_use_id").unwrap_or_default();
        let tool = payload.string("tool_name").unwrap_or_default();
        let input = payload.object.get("tool_input").unwrap_or("{}");
        if !self.calls.start(&id, &tool, input, now_ms) {
            return;
        }
        let value = json::parse_or_text(input);
        let removed = payload.removed(input);
        out.frames.push(Data::ToolUseStart(ToolUseStart {
            tool_use_id: id,
            tool,
            original_bytes: (removed > 0).then(|| removed + strings_len(&value)),
            input: value,
            agent: self.agent(payload),
        }));
    }

    /// A call returned: its id, and what the model was told. Of a call that was refused the
    /// batch tells the words and not that they are a refusal; the transcript does.
    fn returned(
        &mut self,
        payload: &Payload<'_>,
        (id, output): (&str, Option<&str>),
        now_ms: u64,
        out: &mut Out,
    ) {
        if !self.calls.has_returned(id) {
            return;
        }
        let text = output.unwrap_or("null");
        let removed = payload.removed(text);
        let value = json::parse_or_text(text);
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
        let id = payload.string("tool_use_id").unwrap_or_default();
        if !self.calls.is_open(&id) {
            return;
        }
        let closed = self.calls.finish(&id, true, None, now_ms);
        out.frames.push(Data::ToolUseResult(ToolUseResult {
            tool_use_id: id,
            tool: closed.tool,
            output: payload.string("error").into(),
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
        payload: &Payload<'_>,
        now_ms: u64,
        out: &mut Out,
    ) -> Option<String> {
        let nothing = Some("{}".to_owned());
        let tool = payload.string("tool_name");
        let (Some(tool), Some(input)) = (tool, payload.object.get("tool_input")) else {
            return nothing;
        };
        if payload.line.is_cut() {
            // It could not be repeated whole; it can still be answered on the terminal.
            return nothing;
        }
        let call = self.calls.made(&tool, input);
        let name = call.clone().filter(|call| self.is_fresh(call));
        let name = name.unwrap_or_else(|| format!("hook-{id}"));
        let Some((open, question)) = questions::open(name, tool.clone(), call.clone(), input)
        else {
            return nothing;
        };
        self.questions.push(Asked {
            hook: id,
            tool,
            call,
            open,
        });
        out.frames.push(Data::AskQuestion(question));
        self.set_state(State::WaitingForInput, now_ms, out);
        None
    }

    /// Whether no question has had an id: an answer must not be one to another question.
    fn is_fresh(&self, id: &str) -> bool {
        let mut open = self.questions.iter();
        !open.any(|asked| asked.open.id == id) && !self.closed.iter().any(|closed| closed == id)
    }

    /// Remembers the id of a question that is no longer open.
    pub(super) fn close(&mut self, id: String) {
        if self.closed.len() == MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(id);
    }

    /// A call went on, so its question was answered, perhaps on the terminal.
    fn close_questions(&mut self, payload: &Payload<'_>, now_ms: u64, out: &mut Out) {
        let tool = payload.object.text("tool_name");
        let call = payload.object.text("tool_use_id");
        let (closed, open) = std::mem::take(&mut self.questions)
            .into_iter()
            .partition(|asked| match (&asked.call, &call) {
                (Some(asked), Some(call)) => asked == call,
                _ => tool.as_deref() == Some(asked.tool.as_str()),
            });
        self.questions = open;
        self.let_go(closed, out);
        self.unblock(now_ms, out);
    }

    /// Lets hooks go whose questions nobody has to answer any more.
    pub(super) fn let_go(&mut self, questions: Vec<Asked>, out: &mut Out) {
        for asked in questions {
            out.answers.push((asked.hook, "{}".to_owned()));
            out.frames.push(questions::given_up(&asked.open.id));
            self.close(asked.open.id);
        }
    }

    /// Notes which call started a subagent: the last one that has none yet.
    fn remember_agent(&mut self, payload: &Payload<'_>) {
        let known = |agents: &[Agent], id: &str| agents.iter().any(|a| a.parent_tool_use_id == id);
        let parent = AGENT_TOOLS
            .iter()
            .find_map(|tool| self.calls.latest(tool))
            .filter(|call| !known(&self.agents, call));
        let (id, kind) = (payload.string("agent_id"), payload.string("agent_type"));
        self.remember(id, kind, parent);
    }

    /// A call of Agent returned at once and tells which subagent works on.
    fn remember_launch(&mut self, payload: &Payload<'_>) {
        let launched = payload.object.object("tool_response");
        let launched = launched.and_then(|launched| launched.string("agentId"));
        if let Some(id) = launched {
            self.remember(Some(id), None, payload.string("tool_use_id"));
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
        let id = payload.string("agent_id")?;
        let known = self
            .agents
            .iter()
            .find(|agent| agent.agent_id.as_ref() == Some(&id));
        Some(known.cloned().unwrap_or_else(|| Agent {
            parent_tool_use_id: String::new(),
            agent_id: Some(id),
            subagent_type: payload.string("agent_type"),
        }))
    }
}

/// What `cib-session hook --run` reports of somebody else's hook: that it begins, or how it
/// went, which is a frame.
fn reported(
    line: &Line<'_>,
    text: &str,
    whole: &Object<'_>,
    report: &Object<'_>,
    running: &mut Running,
) -> Option<Data> {
    let run = report.string("run");
    if let Some(command) = report.string("begins") {
        let event = report.string("event").unwrap_or_default();
        running.begins(run.unwrap_or_default(), event, command);
        return None;
    }
    running.ends(&run.unwrap_or_default());
    let payload = whole.object("payload")?;
    let payload = Payload::read(line, text, payload)?;
    let Data::Hook(mut hook) = frame(&payload) else {
        return None;
    };
    hook.payload = whole.get("payload").map(json::parse_or_text)?;
    let mut result = json!({
        "stdout": report.string("stdout").unwrap_or_default(),
        "stderr": report.string("stderr").unwrap_or_default(),
        "exit_code": report.count("exit_code"),
    });
    if let Some(bytes) = report.count("original_bytes") {
        result["original_bytes"] = bytes.into();
    }
    hook.result = Some(result);
    Some(Data::Hook(hook))
}

/// The frame of a firing.
fn frame(payload: &Payload<'_>) -> Data {
    let event = payload.event.clone().into_owned();
    let name = match payload.object.text("tool_name") {
        Some(tool) => format!("{event}:{tool}"),
        None => event.clone(),
    };
    Data::Hook(Hook {
        name,
        event,
        payload: json::parse_or_text(payload.text),
        result: None,
    })
}
