//! Typing a message so that the CLI takes it for one.
//!
//! The CLI wraps pastes, and what comes as fast as a paste, in a tag that tells the model that
//! the words may not be the user's own: bursts from about 900 characters on. So a long message
//! is typed in pieces, and each waits until the terminal was drawn after the one before: a CLI
//! that is busy would read them as one burst. A line feed inside a message is a new line of the draft; a
//! carriage return of its own submits it.

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

/// The key that submits a message.
pub(super) const SUBMIT: &str = "\r";

/// Key strokes that wait for their moment.
#[derive(Debug, Default)]
pub(super) struct Typing {
    keys: VecDeque<String>,
    next_at: u64,
    /// When the last piece was typed, while it has not been drawn.
    undrawn: Option<u64>,
}

impl Typing {
    /// Adds a message with the key that submits it.
    pub(super) fn message(&mut self, text: &str, now_ms: u64) {
        if self.keys.is_empty() {
            self.next_at = self.next_at.max(now_ms);
        }
        // Clears what somebody may have drafted and left.
        self.keys.push_back("\u{15}".to_owned());
        let clean: Vec<char> = text.chars().filter(|&key| is_typable(key)).collect();
        for piece in clean.chunks(PIECE) {
            self.keys.push_back(piece.iter().collect());
        }
        self.keys.push_back(SUBMIT.to_owned());
    }

    /// The key strokes whose moment has come.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<String> {
        if now_ms < self.next_at {
            return None;
        }
        let keys = self.keys.pop_front()?;
        let is_text = keys.chars().any(|key| !key.is_control());
        self.undrawn = is_text.then_some(now_ms);
        self.next_at = now_ms + if is_text { DRAW_MS } else { PAUSE_MS } + self.rest();
        Some(keys)
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
        match self.keys.front() {
            Some(keys) if keys == SUBMIT => REST_MS,
            _ => 0,
        }
    }

    /// When the next ones are due.
    pub(super) fn deadline(&self) -> Option<u64> {
        (!self.keys.is_empty()).then_some(self.next_at)
    }
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
            keys.extend(typing.due(now));
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
        assert_eq!(typing.due(0).as_deref(), Some("\u{15}"));
        assert_eq!(typing.due(PAUSE_MS - 1), None);
        assert_eq!(typing.due(PAUSE_MS), Some("é".repeat(PIECE)));
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
}
