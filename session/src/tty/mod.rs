//! The `tty` driver: the terminal interface of the CLI, as a state machine without I/O.
//!
//! Its bytes go to terminals as they are. What the frames of the `stream` driver say has to be
//! put together from three sources, each of which lacks something:
//!
//! | source | tells | does not tell |
//! |---|---|---|
//! | hooks | prompts, lines of text as they appear, calls, questions, ends of turns | interrupts, usage, thinking |
//! | the transcript | whole messages, results, usage, interrupts | anything before its message is complete |
//! | the state file | whether it works, waits or is idle | why; 2.1.112 has none of it |
//!
//! They do not come in one order, so what two of them tell is told once ([`shown`],
//! [`crate::calls`]), and a turn is over when its last words are in ([`turn`]).

pub mod events;
mod hooks;
mod shown;
mod transcript;
mod turn;
mod typing;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use cib_protocol::frame::{Agent, Data, Role, Text};
use cib_protocol::session::State;
use cib_protocol::time::Timestamp;
use serde::Deserialize;

use crate::calls::Calls;
use crate::ledger::Ledger;
use crate::questions;
use crate::stream::NoSuchQuestion;
use events::Abilities;

/// Milliseconds after the start of a session in which a CLI that does not tell its state is
/// taken to have drawn its prompt.
const SETTLE_MS: u64 = 800;

/// Milliseconds in which a submitted message has to show an effect.
const SUBMIT_MS: u64 = 2500;

/// Names a hook's connection.
pub type HookId = u64;

/// What a step of the machine gives.
#[derive(Debug, Default)]
pub struct Out {
    /// Frames, in order.
    pub frames: Vec<Data>,
    /// Key strokes for the terminal.
    pub keys: Vec<String>,
    /// Answers to hooks, JSON.
    pub answers: Vec<(HookId, String)>,
    /// The transcript to follow from now on.
    pub transcript: Option<PathBuf>,
}

/// A conversation with one process of the CLI on a terminal.
#[derive(Debug)]
pub struct Tty {
    ledger: Ledger,
    abilities: Abilities,
    /// When the process was started; older lines of a transcript are history.
    started: Timestamp,
    calls: Calls,
    agents: Vec<Agent>,
    shown: shown::Shown,
    turn: turn::Turn,
    typing: typing::Typing,
    questions: Vec<Asked>,
    /// Input that has had its frame and not yet its hook.
    expected: VecDeque<String>,
    /// Input that waits until the prompt is drawn; `None` since it is.
    held: Option<Vec<String>>,
    /// When the prompt is taken to be drawn, if nothing says so before.
    settled_at: Option<u64>,
    /// A message that was submitted and has not shown an effect.
    unsubmitted: Option<Unsubmitted>,
}

/// A message whose submission the CLI may have taken for something else.
#[derive(Clone, Copy, Debug)]
struct Unsubmitted {
    again_at: u64,
    tries_left: u8,
}

/// A question whose hook waits for its answer.
#[derive(Debug)]
struct Asked {
    hook: HookId,
    tool: String,
    open: questions::Open,
}

/// `~/.claude/sessions/<pid>.json`.
#[derive(Deserialize)]
struct StateFile {
    #[serde(default)]
    status: Option<String>,
}

impl Tty {
    /// A process of the CLI that has just been started. `ledger` is what frames have told
    /// already, `total_cost` what the conversation has cost so far in US dollars.
    #[must_use]
    pub fn new(ledger: Ledger, abilities: Abilities, started: Timestamp, total_cost: f64) -> Self {
        Self {
            ledger,
            abilities,
            started,
            calls: Calls::default(),
            agents: Vec::new(),
            shown: shown::Shown::default(),
            turn: turn::Turn::new(total_cost),
            typing: typing::Typing::default(),
            questions: Vec::new(),
            expected: VecDeque::new(),
            held: Some(Vec::new()),
            settled_at: None,
            unsubmitted: None,
        }
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

    /// Goes to a state; a frame tells it if it is another one.
    pub fn set_state(&mut self, state: State, now_ms: u64, out: &mut Out) {
        self.ledger.set_state(state, now_ms, &mut out.frames);
    }

    /// A message of the user, typed and submitted as soon as there is a prompt.
    pub fn input(&mut self, text: String, now_ms: u64, out: &mut Out) {
        match &mut self.held {
            Some(held) => held.push(text.clone()),
            None => self.typing.message(&text, now_ms),
        }
        // Commands of the interface fire no hook.
        if !typing::is_command(&text) {
            self.expected.push_back(text.clone());
        }
        out.frames.push(user(text));
        self.type_due(now_ms, out);
    }

    /// Ends the running turn, as the Escape key does.
    pub fn interrupt(&mut self, now_ms: u64, out: &mut Out) {
        out.keys.push("\u{1b}".to_owned());
        if !self.abilities.tells_state() {
            // Nothing else tells it, if the model has not said anything yet.
            self.turn.seems_over(now_ms);
        }
    }

    /// Changes the model. The CLI also makes it the default of new sessions, which is why the
    /// keeper starts each one with the model that it is to have.
    pub fn set_model(&mut self, model: &str, now_ms: u64, out: &mut Out) {
        self.typing.message(&format!("/model {model}"), now_ms);
        self.type_due(now_ms, out);
    }

    /// Answers an open question by question text; no answers refuse.
    ///
    /// # Errors
    /// If no question of that id is open: it may have been answered on the terminal.
    pub fn answer(
        &mut self,
        id: &str,
        answers: &BTreeMap<String, String>,
        now_ms: u64,
        out: &mut Out,
    ) -> Result<(), NoSuchQuestion> {
        let at = self.questions.iter().position(|asked| asked.open.id == id);
        let at = at.ok_or_else(|| NoSuchQuestion(id.to_owned()))?;
        let asked = self.questions.remove(at);
        let decision = asked.open.answer(answers);
        out.answers.push((asked.hook, hooks::decided(&decision)));
        self.unblock(now_ms, out);
        Ok(())
    }

    /// The terminal was drawn.
    pub fn drawn(&mut self, now_ms: u64) {
        self.typing.drawn(now_ms);
    }

    /// Takes what the state file says.
    pub fn state_file(&mut self, text: &str, now_ms: u64, out: &mut Out) {
        let Ok(StateFile {
            status: Some(status),
        }) = serde_json::from_str(text)
        else {
            return;
        };
        match status.as_str() {
            "busy" => self.working(now_ms, out),
            "waiting" => self.set_state(State::WaitingForInput, now_ms, out),
            "idle" => {
                self.prompt_drawn(now_ms, out);
                if self.turn.is_running() {
                    self.turn.seems_over(now_ms);
                } else {
                    if self.state() == State::WaitingForInput {
                        // A dialog of the interface's own was closed.
                        self.typing.settled(now_ms);
                    }
                    self.set_state(State::Idle, now_ms, out);
                }
            }
            _ => {}
        }
    }

    /// Does what is due by time.
    pub fn tick(&mut self, now_ms: u64, out: &mut Out) {
        if self.settled_at.is_some_and(|at| now_ms >= at) {
            self.prompt_drawn(now_ms, out);
        }
        self.type_due(now_ms, out);
        self.submit_again(now_ms, out);
        self.end_turn(now_ms, out);
    }

    /// When [`Tty::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        [
            self.settled_at,
            self.typing.deadline().filter(|_| self.has_prompt()),
            self.turn.deadline(),
            self.unsubmitted.map(|message| message.again_at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The process has ended and everything it wrote is in.
    pub fn ended(&mut self, now_ms: u64, out: &mut Out) {
        out.frames.extend(self.shown.flush());
        self.turn.process_ended(now_ms);
        out.frames
            .extend(self.turn.finish(now_ms).into_iter().flatten());
    }

    /// The prompt is there: what was held back can be typed.
    fn prompt_drawn(&mut self, now_ms: u64, out: &mut Out) {
        self.settled_at = None;
        if self.state() == State::Starting {
            self.set_state(State::Idle, now_ms, out);
        }
        for text in self.held.take().into_iter().flatten() {
            self.typing.at_new_prompt(now_ms);
            self.typing.message(&text, now_ms);
        }
        self.type_due(now_ms, out);
    }

    /// Whether what is typed gets into the draft: a dialog would take it for an answer.
    fn has_prompt(&self) -> bool {
        self.state() != State::WaitingForInput
    }

    fn type_due(&mut self, now_ms: u64, out: &mut Out) {
        if !self.has_prompt() {
            return;
        }
        let Some(typing::Due { keys, is_message }) = self.typing.due(now_ms) else {
            return;
        };
        if is_message && !self.expected.is_empty() {
            self.unsubmitted = Some(Unsubmitted {
                again_at: now_ms + SUBMIT_MS,
                tries_left: 3,
            });
        }
        out.keys.push(keys);
    }

    /// Submits again what lies in the draft and should not.
    fn submit_again(&mut self, now_ms: u64, out: &mut Out) {
        let Some(message) = self
            .unsubmitted
            .filter(|message| now_ms >= message.again_at)
        else {
            return;
        };
        self.unsubmitted = None;
        if self.state() == State::Idle && message.tries_left > 0 && !self.expected.is_empty() {
            out.keys.push(typing::SUBMIT.to_owned());
            self.unsubmitted = Some(Unsubmitted {
                again_at: now_ms + SUBMIT_MS,
                tries_left: message.tries_left - 1,
            });
        }
    }

    /// A turn runs.
    fn working(&mut self, now_ms: u64, out: &mut Out) {
        self.unsubmitted = None;
        self.turn.runs();
        if self.questions.is_empty() {
            self.set_state(State::Working, now_ms, out);
        }
    }

    fn unblock(&mut self, now_ms: u64, out: &mut Out) {
        if self.questions.is_empty() && self.state() == State::WaitingForInput {
            self.set_state(State::Working, now_ms, out);
        }
    }

    /// Tells the end of a turn once its last words are in.
    fn end_turn(&mut self, now_ms: u64, out: &mut Out) {
        let Some(frames) = self.turn.finish(now_ms) else {
            return;
        };
        out.frames.extend(self.shown.flush());
        out.frames.extend(frames);
        self.questions.clear();
        self.set_state(State::Idle, now_ms, out);
    }
}

/// Text of the user.
fn user(text: String) -> Data {
    Data::Text(Text {
        text,
        role: Role::User,
        ..Text::default()
    })
}
