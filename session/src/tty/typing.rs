//! Typing a message so that the CLI takes it for one.
//!
//! The CLI wraps pastes, and what comes as fast as a paste, in a tag that tells the model that
//! the words may not be the user's own: bursts from about 900 characters on. So a long message
//! is typed in pieces, and each waits until the terminal was drawn after the one before: a CLI
//! that is busy would read them as one burst. A line feed inside a message is a new line of the draft; a
//! carriage return of its own submits it.
//!
//! A command of the interface may open a dialog, which would swallow what is typed next: the
//! message behind it waits until the command has had its effect.

use std::collections::VecDeque;

/// Characters typed at once.
const PIECE: usize = 200;

/// Milliseconds between pieces.
const PAUSE_MS: u64 = 40;

/// Milliseconds in which nothing that is drawn can be the piece that was just typed.
const ECHO_MS: u64 = 20;

/// Milliseconds to wait for a piece to be drawn before it is taken to be.
const DRAW_MS: u64 = 600;

/// Milliseconds of rest before a new prompt is typed at, and before a message is submitted.
const REST_MS: u64 = 150;

/// Milliseconds to wait for the effect of a command that shows none.
const COMMAND_MS: u64 = 2500;

/// The key that submits a message.
pub(super) const SUBMIT: &str = "\r";

/// What is to be done at the terminal.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Pressing keys.
    Press(String),
    /// Pressing the key that submits.
    Submit,
    /// Waiting for the effect of the command that was submitted.
    Settle,
}

/// Key strokes whose moment has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) keys: String,
    /// Whether they submit a message for the model.
    pub(super) is_message: bool,
}

/// Key strokes that wait for their moment.
#[derive(Debug, Default)]
pub(super) struct Typing {
    steps: VecDeque<Step>,
    next_at: u64,
    /// When the last piece was typed, while it has not been drawn.
    undrawn: Option<u64>,
}

impl Typing {
    /// Adds a message with the key that submits it.
    pub(super) fn message(&mut self, text: &str, now_ms: u64) {
        if self.steps.is_empty() {
            self.next_at = self.next_at.max(now_ms);
        }
        // Clears what somebody may have drafted and left.
        self.steps.push_back(Step::Press("\u{15}".to_owned()));
        let clean: Vec<char> = text.chars().filter(|&key| is_typable(key)).collect();
        for piece in clean.chunks(PIECE) {
            self.steps.push_back(Step::Press(piece.iter().collect()));
        }
        self.steps.push_back(Step::Submit);
        if is_command(text) {
            self.steps.push_back(Step::Settle);
        }
    }

    /// The key strokes whose moment has come.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<Due> {
        if now_ms < self.next_at {
            return None;
        }
        if self.steps.front() == Some(&Step::Settle) {
            self.steps.pop_front();
        }
        let (keys, is_message) = match self.steps.pop_front()? {
            Step::Press(keys) => (keys, false),
            Step::Submit => (SUBMIT.to_owned(), !self.is_settling()),
            Step::Settle => return None,
        };
        let is_text = keys.chars().any(|key| !key.is_control());
        self.undrawn = is_text.then_some(now_ms);
        let pause = if self.is_settling() {
            COMMAND_MS
        } else if is_text {
            DRAW_MS
        } else {
            PAUSE_MS
        };
        self.next_at = now_ms + pause + self.rest();
        Some(Due { keys, is_message })
    }

    /// A command of the interface has had its effect.
    pub(super) fn settled(&mut self, now_ms: u64) {
        if self.is_settling() {
            self.steps.pop_front();
            self.next_at = now_ms + REST_MS;
        }
    }

    fn is_settling(&self) -> bool {
        self.steps.front() == Some(&Step::Settle)
    }

    /// The terminal was drawn.
    pub(super) fn drawn(&mut self, now_ms: u64) {
        let undrawn = self
            .undrawn
            .take_if(|typed_at| now_ms >= *typed_at + ECHO_MS);
        if let Some(typed_at) = undrawn {
            self.next_at = now_ms.max(typed_at + PAUSE_MS) + self.rest();
        }
    }

    /// A new prompt is there; it may not be all that is drawn at once.
    pub(super) fn at_new_prompt(&mut self, now_ms: u64) {
        self.next_at = self.next_at.max(now_ms + REST_MS);
    }

    /// A key that submits must not be read together with the text before it: it would be
    /// taken for a line's end of a paste.
    fn rest(&self) -> u64 {
        match self.steps.front() {
            Some(Step::Submit) => REST_MS,
            _ => 0,
        }
    }

    /// When the next ones are due.
    pub(super) fn deadline(&self) -> Option<u64> {
        (!self.steps.is_empty()).then_some(self.next_at)
    }
}

/// Whether a message is one for the interface and not for the model.
pub(super) fn is_command(text: &str) -> bool {
    text.trim_start().starts_with('/')
}

/// Whether a character is text and not a command to the terminal interface.
fn is_typable(key: char) -> bool {
    key == '\n' || key == '\t' || !key.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(typing: &mut Typing) -> Vec<String> {
        let mut now = 0;
        let mut keys = Vec::new();
        while let Some(at) = typing.deadline() {
            now = now.max(at);
            keys.extend(typing.due(now).map(|due| due.keys));
        }
        keys
    }

    #[test]
    fn a_message_is_typed_and_submitted_apart() {
        let mut typing = Typing::default();
        typing.message("one\ntwo", 0);
        assert_eq!(all(&mut typing), ["\u{15}", "one\ntwo", "\r"]);
    }

    #[test]
    fn a_long_message_is_typed_slowly() {
        let mut typing = Typing::default();
        typing.message(&"é".repeat(PIECE + 1), 0);
        let keys = |due: Option<Due>| due.map(|due| due.keys);
        assert_eq!(keys(typing.due(0)).as_deref(), Some("\u{15}"));
        assert_eq!(typing.due(PAUSE_MS - 1), None);
        assert_eq!(keys(typing.due(PAUSE_MS)), Some("é".repeat(PIECE)));
        assert_eq!(typing.deadline(), Some(PAUSE_MS + DRAW_MS));
        typing.drawn(PAUSE_MS + 1);
        assert_eq!(
            typing.deadline(),
            Some(PAUSE_MS + DRAW_MS),
            "too soon to be it"
        );
        typing.drawn(PAUSE_MS + ECHO_MS);
        assert_eq!(typing.deadline(), Some(2 * PAUSE_MS));
        let rest = all(&mut typing);
        assert_eq!(rest, ["é", "\r"]);
    }

    #[test]
    fn a_message_cannot_press_other_keys() {
        let mut typing = Typing::default();
        typing.message("a\u{1b}[A\u{3}\rb", 0);
        assert_eq!(all(&mut typing), ["\u{15}", "a[Ab", "\r"]);
    }

    #[test]
    fn what_follows_a_command_waits_for_its_effect() {
        let submitted = |typing: &mut Typing, from: u64| {
            let mut now = from;
            loop {
                now = now.max(typing.deadline().unwrap());
                match typing.due(now) {
                    Some(due) if due.keys == SUBMIT => return (now, due.is_message),
                    _ => {}
                }
            }
        };
        let mut typing = Typing::default();
        typing.message("/model one", 0);
        typing.message("two", 0);
        let (now, is_message) = submitted(&mut typing, 0);
        assert!(!is_message);
        assert_eq!(typing.due(now + COMMAND_MS - 1), None);
        typing.settled(now + 100);
        assert_eq!(typing.deadline(), Some(now + 100 + REST_MS));
        let (_, is_message) = submitted(&mut typing, now);
        assert!(is_message);
        assert_eq!(typing.deadline(), None);
    }

    #[test]
    fn a_command_that_shows_no_effect_holds_nothing_up_for_long() {
        let mut typing = Typing::default();
        typing.message("/vim", 0);
        typing.message("two", 0);
        assert_eq!(all(&mut typing)[2..], ["\r", "\u{15}", "two", "\r"]);
    }
}
