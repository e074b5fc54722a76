//! The `stream` driver: Claude's stream-json, both ways, as a state machine without I/O.
//!
//! [`Stream`] takes the lines that the CLI writes and gives frames, and takes what a user
//! wants and gives lines for the CLI. It knows 2.1.330 and 2.1.112; what it does not know
//! becomes a `raw` frame, so that a newer CLI loses nothing.

mod assistant;
mod blocks;
mod control;
pub mod lines;
mod outcome;
mod say;
mod system;
pub(crate) mod wire;

use cib_protocol::frame::{Agent, Data, Meta};
use cib_protocol::session::State;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::calls::Calls;
use crate::ledger::Ledger;
use crate::questions;
pub use control::NoSuchQuestion;
use lines::Line;
use wire::Message;

/// Longest beginning of an unreadable line that a `raw` frame keeps, in bytes.
const MAX_GARBAGE: usize = 4096;

/// What a step of the machine gives.
#[derive(Debug, Default)]
pub struct Out {
    /// Frames, in order.
    pub frames: Vec<Data>,
    /// Lines for the CLI's standard input, each with its newline.
    pub to_claude: Vec<String>,
}

/// A line that is a message, and when it came.
struct Heard<'a> {
    line: &'a Line<'a>,
    text: &'a str,
    message: Message<'a>,
    now_ms: u64,
}

/// A conversation with one process of the CLI.
#[derive(Debug)]
pub struct Stream {
    ledger: Ledger,
    /// Whether this version says itself when it works and when it is idle.
    tells_state: bool,
    blocks: blocks::Blocks,
    calls: Calls,
    agents: Vec<Agent>,
    questions: Vec<questions::Open>,
    requests: control::Requests,
    /// US dollars that the CLI has counted in total.
    total_cost: f64,
    /// Lines for the CLI that wait until it listens; `None` since it does.
    held: Option<Vec<String>>,
}

impl Stream {
    /// A process of the CLI that has just been started. `ledger` is what frames have told
    /// already, `total_cost` what the conversation has cost so far in US dollars.
    #[must_use]
    pub fn new(ledger: Ledger, total_cost: f64) -> Self {
        Self {
            ledger,
            tells_state: false,
            blocks: blocks::Blocks::default(),
            calls: Calls::default(),
            agents: Vec::new(),
            questions: Vec::new(),
            requests: control::Requests::default(),
            total_cost,
            held: Some(Vec::new()),
        }
    }

    /// The next process for the same session: what the last one did not take is for this one.
    #[must_use]
    pub fn again(&mut self, now_ms: u64) -> Self {
        let mut next = Self::new(self.ledger.again(now_ms), self.total_cost);
        next.held = Some(self.held.take().unwrap_or_default());
        next
    }

    /// What has been told, for the driver that comes next.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Where the session stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.ledger.state()
    }

    /// Takes a line of the CLI. `now_ms` is a monotonic clock's reading.
    pub fn line(&mut self, line: &Line<'_>, now_ms: u64, out: &mut Out) {
        let text = std::str::from_utf8(line.bytes).ok();
        let known = text.filter(|_| !line.overflowed).and_then(|text| {
            let heard = Heard {
                line,
                text,
                message: serde_json::from_str(text).ok()?,
                now_ms,
            };
            self.heard(&heard, out)
        });
        if known.is_none() && !line.bytes.iter().all(u8::is_ascii_whitespace) {
            out.frames.push(Data::Raw(raw(line)));
        }
    }

    /// Dispatches a message. `None` means that it is not known, or not in this shape.
    fn heard(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        match &*heard.message.kind {
            "stream_event" => self.stream_event(&heard.message, out),
            "assistant" => self.assistant(heard, out),
            "user" => self.user_line(heard, out),
            "system" => self.system(heard, out),
            "result" => self.result(heard, out),
            "control_request" => self.asked(heard, out),
            "control_response" => self.answered(heard, out),
            "control_cancel_request" => {
                let id = heard.message.request_id.as_deref()?;
                self.questions.retain(|open| open.id != id);
                self.unblock(heard.now_ms, out);
                Some(())
            }
            "conversation_reset" => {
                let news = Meta {
                    claude_session: Some(heard.message.new_conversation_id.clone()?),
                    note: Some("the conversation was cleared".to_owned()),
                    ..Meta::default()
                };
                self.tell(news, out);
                Some(())
            }
            // The life of a message, a heartbeat: nothing that its other lines do not say.
            "command_lifecycle" | "tool_progress" | "keep_alive" => Some(()),
            _ => None,
        }
    }

    fn result(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let outcome: wire::Outcome = serde_json::from_str(heard.text).ok()?;
        let usage = outcome::usage(&outcome, self.total_cost);
        self.total_cost = outcome.total_cost_usd.max(self.total_cost);
        self.blocks.end(None);
        out.frames.push(Data::Usage(usage));
        out.frames.push(Data::Stop(outcome::stop(outcome)));
        if !self.tells_state {
            self.set_state(State::Idle, heard.now_ms, out);
        }
        Some(())
    }

    /// Goes to a state; a frame tells it if it is another one.
    pub fn set_state(&mut self, state: State, now_ms: u64, out: &mut Out) {
        self.ledger.set_state(state, now_ms, &mut out.frames);
    }

    /// A question was closed: goes on working if it was the last one.
    fn unblock(&mut self, now_ms: u64, out: &mut Out) {
        if self.questions.is_empty() && self.state() == State::WaitingForInput {
            self.set_state(State::Working, now_ms, out);
        }
    }

    fn tell(&mut self, news: Meta, out: &mut Out) {
        self.ledger.tell(news, &mut out.frames);
    }

    /// Tells a person something that has no field of its own.
    pub fn note(&mut self, text: impl Into<String>, out: &mut Out) {
        self.ledger.note(text, &mut out.frames);
    }

    /// Whose a message is, if not the main thread's.
    fn agent(&self, message: &Message<'_>) -> Option<Agent> {
        let parent = message.parent_tool_use_id.as_ref()?;
        let known = self.agents.iter().find(|a| a.parent_tool_use_id == *parent);
        Some(Agent {
            parent_tool_use_id: parent.clone(),
            agent_id: message.agent_id.clone().or_else(|| known?.agent_id.clone()),
            subagent_type: message
                .subagent_type
                .clone()
                .or_else(|| known?.subagent_type.clone()),
        })
    }
}

/// A line as it came, for a `raw` frame.
fn raw(line: &Line<'_>) -> Value {
    if line.overflowed {
        return serde_json::json!({
            "type": "oversized_line",
            "original_bytes": line.size,
            "beginning": beginning(line.bytes),
        });
    }
    crate::json::from_bytes(line.bytes).unwrap_or_else(|_| {
        serde_json::json!({
            "type": "unreadable_line",
            "original_bytes": line.size,
            "beginning": beginning(line.bytes),
        })
    })
}

fn beginning(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MAX_GARBAGE)];
    String::from_utf8_lossy(shown).into_owned()
}

/// A part of a line as a value.
fn value(part: Option<&RawValue>) -> Value {
    part.and_then(|part| serde_json::from_str(part.get()).ok())
        .unwrap_or_default()
}
