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
mod running;
mod screen;
mod shown;
mod transcript;
mod turn;
mod typing;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use cib_foreign::json::Object;
use cib_protocol::frame::{Agent, AskAnswer, By, Data, Role, Stop, Text};
use cib_protocol::session::State;
use cib_protocol::time::Timestamp;
use uuid::Uuid;

use crate::calls::Calls;
use crate::ledger::Ledger;
use crate::questions;
use crate::servers::Servers;
use crate::stream_json::NoSuchQuestion;
use events::Abilities;
use running::{HeldUp, Run, Running};
pub use typing::Untypable;

/// Milliseconds after the start of a session in which a CLI that does not tell its state is
/// taken to have drawn its prompt.
const SETTLE_MS: u64 = 800;

/// Milliseconds in which a submitted message has to show an effect.
const SUBMIT_MS: u64 = 2500;

/// Milliseconds after which a start that has not come to its prompt is looked at, and a menu on
/// its screen is a question.
const DIALOGUE_MS: u64 = 4000;

/// Milliseconds in which a screen has to have come to rest before it is read.
const STILL_MS: u64 = 1000;

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
    /// Ids of questions that were closed, none of which is used again.
    closed: VecDeque<String>,
    /// Hooks of others that run.
    hooks: Running,
    /// Input that has had its frame and not yet its hook.
    expected: VecDeque<Expected>,
    /// Input that waits until the prompt is drawn; `None` since it is.
    held: Option<Vec<typing::Message>>,
    /// When the prompt is taken to be drawn, if nothing says so before.
    settled_at: Option<u64>,
    /// A message that was submitted and has not shown an effect.
    unsubmitted: Option<Unsubmitted>,
    /// Since when a message waits for a hook.
    held_up: Option<HeldUp>,
    /// What has been told of the MCP servers that are not connected.
    servers: Servers,
    /// The model that a command asked for.
    wanted_model: Option<String>,
    screen: screen::Screen,
    /// When the screen is looked at for a dialogue that nobody has told of.
    look_at: Option<u64>,
    /// When it was drawn last.
    drawn_at: u64,
    /// The dialogue that is asked about, with its question's id.
    dialogue: Option<(String, screen::Dialogue)>,
    dialogues: u32,
}

/// A message for which the hook of its submission is waited.
#[derive(Debug)]
struct Expected {
    text: String,
    /// The `message_id` of its frame.
    id: String,
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
    /// The call that waits for it, if it is known.
    call: Option<String>,
    open: questions::Open,
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
            closed: VecDeque::new(),
            hooks: Running::default(),
            expected: VecDeque::new(),
            held: Some(Vec::new()),
            settled_at: None,
            unsubmitted: None,
            held_up: None,
            servers: Servers::default(),
            wanted_model: None,
            screen: screen::Screen::default(),
            look_at: None,
            drawn_at: 0,
            dialogue: None,
            dialogues: 0,
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

    /// What keeps the prompt from being there, if anybody has said so.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        let run = self.hooks.at_start().or_else(|| self.hooks.first());
        if let Some(Run { event, command, .. }) = run {
            return Some(format!("its hook {event} (`{command}`) has not ended"));
        }
        let text = self.screen.text();
        (!text.is_empty()).then(|| format!("its screen says: {}", text.trim_end()))
    }

    /// A message of the user, typed and submitted as soon as there is a prompt. `id` names it
    /// in its frame. A command of the interface is typed as it is; anything else so that the
    /// interface takes it for nothing but words.
    ///
    /// # Errors
    /// If it has characters that cannot be typed.
    pub fn input(
        &mut self,
        text: &str,
        id: Uuid,
        is_command: bool,
        now_ms: u64,
        out: &mut Out,
    ) -> Result<(), Untypable> {
        let message = typing::Message::new(text, is_command)?;
        match &mut self.held {
            Some(held) => held.push(message),
            None => self.typing.message(&message, now_ms),
        }
        // Commands of the interface fire no hook.
        if is_command {
            self.asks_for_model(text);
        } else {
            self.expected.push_back(Expected {
                text: text.to_owned(),
                id: id.to_string(),
            });
        }
        out.frames.push(user(text.to_owned(), Some(id)));
        self.type_due(now_ms, out);
        Ok(())
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
        let command = format!("/model {model}");
        self.asks_for_model(&command);
        self.command(&command, now_ms, out);
    }

    /// Changes the reasoning effort. What is kept of it as the default of new sessions is the
    /// CLI's to decide.
    pub fn set_effort(&mut self, effort: &str, now_ms: u64, out: &mut Out) {
        self.command(&format!("/effort {effort}"), now_ms, out);
    }

    /// Types a command of the interface.
    fn command(&mut self, command: &str, now_ms: u64, out: &mut Out) {
        if let Ok(command) = typing::Message::new(command, true) {
            self.typing.message(&command, now_ms);
            self.type_due(now_ms, out);
        }
    }

    /// Remembers which model a command of the interface asks for.
    fn asks_for_model(&mut self, command: &str) {
        let wanted = command.strip_prefix("/model ").map(str::trim);
        // By that name nobody knows it.
        let wanted = wanted.filter(|name| !name.is_empty() && *name != "default");
        self.wanted_model = wanted.map(str::to_owned);
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
        if let Some((_, dialogue)) = self.dialogue.take_if(|(asked, _)| *asked == id) {
            let answer = answers.values().next().map(String::as_str);
            out.keys.push(dialogue.keys(answer));
            out.frames.push(answered(id, answers));
            self.screen.clear();
            // There may be another one behind it.
            self.look_at = Some(now_ms + STILL_MS);
            let next = match self.held {
                Some(_) => State::Starting,
                None => State::Working,
            };
            self.set_state(next, now_ms, out);
            return Ok(());
        }
        let at = self.questions.iter().position(|asked| asked.open.id == id);
        let at = at.ok_or_else(|| NoSuchQuestion(id.to_owned()))?;
        let asked = self.questions.remove(at);
        self.close(id.to_owned());
        out.frames.push(answered(id, answers));
        let decision = asked.open.answer(answers);
        out.answers.push((asked.hook, hooks::decided(&decision)));
        self.unblock(now_ms, out);
        Ok(())
    }

    /// The terminal was drawn.
    pub fn drawn(&mut self, bytes: &[u8], now_ms: u64) {
        self.typing.drawn(now_ms);
        self.screen.drawn(bytes);
        self.drawn_at = now_ms;
        if self.state() == State::Starting {
            self.look_at.get_or_insert(now_ms + DIALOGUE_MS);
        }
    }

    /// Looks at the screen for a dialogue that neither a hook nor anything else has told of.
    fn look(&mut self, now_ms: u64, out: &mut Out) {
        if self.look_at.is_none_or(|at| now_ms < at) {
            return;
        }
        self.look_at = None;
        let waits = matches!(self.state(), State::Starting | State::WaitingForInput);
        if !waits || !self.questions.is_empty() || self.dialogue.is_some() {
            return;
        }
        if now_ms < self.drawn_at + STILL_MS {
            self.look_at = Some(self.drawn_at + STILL_MS);
            return;
        }
        let Some(dialogue) = self.screen.dialogue() else {
            if self.held.is_some() {
                self.look_at = Some(now_ms + DIALOGUE_MS);
            }
            return;
        };
        self.dialogues += 1;
        let id = format!("screen-{now_ms}-{}", self.dialogues);
        out.frames
            .push(Data::AskQuestion(dialogue.question(id.clone())));
        self.dialogue = Some((id, dialogue));
        self.set_state(State::WaitingForInput, now_ms, out);
    }

    /// Whatever dialogue there was has been closed, perhaps on the terminal.
    fn dialogue_closed(&mut self, out: &mut Out) {
        self.look_at = None;
        if let Some((id, _)) = self.dialogue.take() {
            out.frames.push(questions::given_up(&id));
            self.close(id);
        }
    }

    /// Takes what the state file says.
    pub fn state_file(&mut self, text: &str, now_ms: u64, out: &mut Out) {
        let text = cib_foreign::json::repaired(text);
        let said = Object::read(&text).unwrap_or_default();
        match said.text("status").as_deref() {
            Some("busy") => self.working(now_ms, out),
            Some("waiting") => {
                self.set_state(State::WaitingForInput, now_ms, out);
                self.look_at.get_or_insert(now_ms + STILL_MS);
            }
            Some("idle") => {
                self.dialogue_closed(out);
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
        self.look(now_ms, out);
        self.type_due(now_ms, out);
        self.tell_of_hook(now_ms, out);
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
            self.look_at,
            self.unsubmitted.map(|message| message.again_at),
            self.held_up.and_then(HeldUp::deadline),
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
        if self.held.is_some() {
            self.dialogue_closed(out);
        }
        let in_dialogue = self.state() == State::WaitingForInput && self.questions.is_empty();
        if self.state() == State::Starting || self.held.is_some() && in_dialogue {
            self.set_state(State::Idle, now_ms, out);
        }
        for message in self.held.take().into_iter().flatten() {
            self.typing.at_new_prompt(now_ms);
            self.typing.message(&message, now_ms);
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
            self.look_at_hooks(now_ms);
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
        if self.state() != State::Idle || self.expected.is_empty() {
            return;
        }
        if self.held_up.is_some() {
            // It lies where it was typed, and is taken when the hook has ended.
            let again_at = now_ms + SUBMIT_MS;
            self.unsubmitted = Some(Unsubmitted {
                again_at,
                ..message
            });
            return;
        }
        if message.tries_left == 0 {
            self.not_taken(out);
        } else {
            out.keys.push(typing::SUBMIT.to_owned());
            self.unsubmitted = Some(Unsubmitted {
                again_at: now_ms + SUBMIT_MS,
                tries_left: message.tries_left - 1,
            });
        }
    }

    /// The CLI did not take a message, and its draft is left on the terminal.
    fn not_taken(&mut self, out: &mut Out) {
        let Some(message) = self.expected.pop_front() else {
            return;
        };
        out.frames.push(Data::Stop(Stop {
            reason: "not_submitted".to_owned(),
            detail: Some("the terminal did not take the message; look at its screen".to_owned()),
            by: Some(By::User),
            messages: vec![message.id],
            ..Stop::default()
        }));
    }

    /// A turn runs.
    fn working(&mut self, now_ms: u64, out: &mut Out) {
        self.unsubmitted = None;
        self.dialogue_closed(out);
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
        let questions = std::mem::take(&mut self.questions);
        self.let_go(questions, out);
        self.set_state(State::Idle, now_ms, out);
    }
}

fn answered(id: &str, answers: &BTreeMap<String, String>) -> Data {
    Data::AskAnswer(AskAnswer {
        id: id.to_owned(),
        answers: Some(answers.clone()),
        by: None,
    })
}

/// Text of the user.
fn user(text: String, id: Option<Uuid>) -> Data {
    Data::Text(Text {
        text,
        role: Role::User,
        message_id: id.map(|id| id.to_string()),
        ..Text::default()
    })
}
