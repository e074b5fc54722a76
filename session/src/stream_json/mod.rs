//! The `stream` driver: Claude's stream-json, both ways, as a state machine without I/O.
//!
//! [`Stream`] takes the lines that the CLI writes and gives frames, and takes what a user
//! wants and gives lines for the CLI. It knows 2.1.330 and 2.1.112; what it does not know
//! becomes a `raw` frame, so that a newer CLI loses nothing.

mod assistant;
mod blocks;
mod control;
pub mod lines;
pub(crate) mod outcome;
mod say;
mod system;
mod turns;

use std::collections::VecDeque;

use cib_foreign::json::{self, Object};
use cib_protocol::frame::{Agent, Data, Meta};
use cib_protocol::offers::Offers;
use cib_protocol::session::State;
use serde_json::Value;

use crate::calls::Calls;
use crate::ledger::Ledger;
use crate::questions;
use crate::servers::Servers;
pub use control::NoSuchQuestion;
use lines::Line;

/// Longest beginning of an unreadable line that a `raw` frame keeps, in bytes.
const MAX_GARBAGE: usize = 4096;

/// Milliseconds that a message may wait for its turn to begin before it is asked why.
const WAIT_MS: u64 = 5000;

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
    message: Object<'a>,
    now_ms: u64,
}

impl Heard<'_> {
    /// How many bytes a part of the line lost.
    fn removed(&self, part: &str) -> u64 {
        self.line.removed(self.text, part)
    }
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
    /// Ids of questions that were closed: the CLI uses none twice.
    closed: VecDeque<String>,
    requests: control::Requests,
    turns: turns::Turns,
    /// Hooks that run, by their ids.
    hooks: Vec<(String, String)>,
    /// What has been told of the MCP servers that are not connected.
    servers: Servers,
    /// When it is asked which of them keep a message waiting.
    ask_servers_at: Option<u64>,
    /// Whether it was told that a hook does.
    is_hook_told: bool,
    /// US dollars that the CLI has counted in total.
    total_cost: f64,
    /// What the CLI has to choose from, since it has said so.
    offers: Option<Box<Offers>>,
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
            closed: VecDeque::new(),
            requests: control::Requests::default(),
            turns: turns::Turns::default(),
            hooks: Vec::new(),
            servers: Servers::default(),
            ask_servers_at: None,
            is_hook_told: false,
            total_cost,
            offers: None,
            held: Some(Vec::new()),
        }
    }

    /// The next process for the same session: what the last one did not take is for this one.
    #[must_use]
    pub fn again(&mut self, now_ms: u64) -> Self {
        let mut next = Self::new(self.ledger.again(now_ms), self.total_cost);
        next.held = Some(self.held.take().unwrap_or_default());
        next.turns = self.turns.clone();
        next.offers = self.offers.take();
        next
    }

    /// What has been told, for the driver that comes next.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What the CLI has to choose from, if it has said so.
    #[must_use]
    pub fn offers(&self) -> Option<&Offers> {
        self.offers.as_deref()
    }

    /// Where the session stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.ledger.state()
    }

    /// Takes a line of the CLI. `now_ms` is a monotonic clock's reading.
    pub fn line(&mut self, line: &Line<'_>, now_ms: u64, out: &mut Out) {
        let text = line.text();
        let known = Object::read(&text).and_then(|message| {
            let heard = Heard {
                line,
                text: &text,
                message,
                now_ms,
            };
            self.heard(&heard, out)
        });
        if known.is_none() && !line.bytes.iter().all(u8::is_ascii_whitespace) {
            out.frames.push(Data::Raw(raw(line)));
        }
    }

    /// Dispatches a message. `None` means that it is not known, or that nothing of what makes
    /// its kind can be read. A field that cannot be read costs no more than itself.
    fn heard(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        match &*heard.message.text("type")? {
            "stream_event" => self.stream_event(&heard.message, out),
            "assistant" => self.assistant(heard, out),
            "user" => self.user_line(heard, out),
            "system" => self.system(heard, out),
            "result" => {
                self.result(heard, out);
                Some(())
            }
            "control_request" => self.asked(heard, out),
            "control_response" => self.answered(heard, out),
            "control_cancel_request" => {
                let id = heard.message.text("request_id")?;
                if self.questions.iter().any(|open| open.id == id) {
                    self.close(&id);
                    out.frames.push(questions::given_up(&id));
                    self.unblock(heard.now_ms, out);
                }
                Some(())
            }
            "conversation_reset" => {
                let news = Meta {
                    claude_session: heard.message.string("new_conversation_id"),
                    note: Some("the conversation was cleared".to_owned()),
                    ..Meta::default()
                };
                self.tell(news, out);
                Some(())
            }
            "command_lifecycle" => {
                let id = heard.message.text("command_uuid").unwrap_or_default();
                let state = heard.message.text("state");
                self.turns.lives(&id, state.as_deref());
                Some(())
            }
            "rate_limit_event" => {
                self.limited(&heard.message, out);
                Some(())
            }
            // A heartbeat: nothing that other lines do not say.
            "tool_progress" | "keep_alive" => Some(()),
            _ => None,
        }
    }

    fn result(&mut self, heard: &Heard<'_>, out: &mut Out) {
        let result = &heard.message;
        let usage = outcome::usage(result, self.total_cost);
        let total = outcome::total_cost(result);
        self.total_cost = total.unwrap_or_default().max(self.total_cost);
        self.blocks.end(None);
        let (by, messages) = self.turns.ended(result);
        out.frames.push(Data::Usage(usage));
        out.frames
            .push(Data::Stop(outcome::stop(result, by, messages)));
        if !self.tells_state {
            self.set_state(State::Idle, heard.now_ms, out);
        }
    }

    /// A message was sent at this time; its turn should begin soon.
    pub fn waits_from(&mut self, now_ms: u64) {
        if self.state() != State::Working {
            self.ask_servers_at.get_or_insert(now_ms + WAIT_MS);
        }
    }

    /// When [`Stream::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.ask_servers_at
    }

    /// Does what is due by time.
    pub fn tick(&mut self, now_ms: u64, out: &mut Out) {
        if self.ask_servers_at.take_if(|at| now_ms >= *at).is_none() {
            return;
        }
        if self.held.is_none() {
            self.ask_servers(out);
            return;
        }
        // It does not listen yet.
        self.ask_servers_at = Some(now_ms + WAIT_MS);
        if let Some(why) = self.waits_for()
            && !std::mem::replace(&mut self.is_hook_told, true)
        {
            self.note(format!("Claude takes no message yet: {why}"), out);
        }
    }

    /// What the CLI waits for before it answers, if it has said so.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        let (_, name) = self.hooks.first()?;
        Some(format!("its hook {name} has not ended"))
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
    fn agent(&self, message: &Object<'_>) -> Option<Agent> {
        let parent = message.string("parent_tool_use_id")?;
        let known = self.agents.iter().find(|a| a.parent_tool_use_id == parent);
        Some(Agent {
            agent_id: message
                .string("agent_id")
                .or_else(|| known?.agent_id.clone()),
            subagent_type: message
                .string("subagent_type")
                .or_else(|| known?.subagent_type.clone()),
            parent_tool_use_id: parent,
        })
    }
}

/// A line as it came, for a `raw` frame.
fn raw(line: &Line<'_>) -> Value {
    let kind = match line.overflowed {
        true => "oversized_line",
        false => match json::parse(&line.text()) {
            Ok(value) => return value,
            Err(_) => "unreadable_line",
        },
    };
    serde_json::json!({
        "type": kind,
        "original_bytes": line.size,
        "beginning": beginning(line.bytes),
    })
}

fn beginning(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MAX_GARBAGE)];
    String::from_utf8_lossy(shown).into_owned()
}

/// A part of a line as a value.
fn value(part: Option<&str>) -> Value {
    part.map_or(Value::Null, json::parse_or_text)
}
