//! Typing a message so that the CLI takes it for one.
//!
//! The CLI wraps pastes, and what comes as fast as a paste, in a tag that tells the model that
//! the words may not be the user's own: bursts from about 900 characters on. So a long message
//! is typed in pieces with pauses. A line feed inside a message is a new line of the draft; a
//! carriage return of its own submits it.

use std::collections::VecDeque;

/// Characters typed at once.
const PIECE: usize = 200;

/// Milliseconds between pieces.
const PAUSE_MS: u64 = 40;

/// Key strokes that wait for their moment.
#[derive(Debug, Default)]
pub(super) struct Typing {
    keys: VecDeque<String>,
    next_at: u64,
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
        self.keys.push_back("\r".to_owned());
    }

    /// The key strokes whose moment has come.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<String> {
        if now_ms < self.next_at {
            return None;
        }
        let keys = self.keys.pop_front()?;
        self.next_at = now_ms + PAUSE_MS;
        Some(keys)
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
        let rest = all(&mut typing);
        assert_eq!(rest.concat(), format!("{}\r", "é".repeat(PIECE + 1)));
        assert_eq!(rest.len(), 3);
    }

    #[test]
    fn a_message_cannot_press_other_keys() {
        let mut typing = Typing::default();
        typing.message("a\u{1b}[A\u{3}\rb", 0);
        assert_eq!(all(&mut typing), ["\u{15}", "a[Ab", "\r"]);
    }
}
