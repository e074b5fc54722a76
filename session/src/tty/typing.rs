//! Typing a message so that the CLI takes it for one.
//!
//! The CLI wraps pastes, and what comes as fast as a paste, in a tag that tells the model that
//! the words may not be the user's own: bursts from about 900 characters on. So a long message
//! is typed in pieces, and each waits until the terminal was drawn after the one before: a CLI
//! that is busy would read them as one burst. A line feed inside a message is a new line of the draft; a
//! carriage return of its own submits it.
//!
//! A key that would make a draft a line for the shell or a question for help does so only in an
//! empty draft. Such words are typed behind a space, which is then taken off again. Every draft
//! ends with a space, which the CLI takes off itself: without it the Enter key might complete the
//! name of a file, or go on in a new line, instead of submitting. What begins like a command is
//! one however it was typed, so it is refused.
//!
//! A command of the interface may open a dialog, which would swallow what is typed next: the
//! message behind it waits until the command has had its effect.

use std::collections::VecDeque;

/// Characters typed at once.
const PIECE: usize = 200;

/// Milliseconds between pieces.
const PAUSE_MS: u64 = 40;

/// Milliseconds in which what is drawn may be of something before the piece that was just typed.
const ECHO_MS: u64 = 20;

/// Milliseconds to wait for something to be drawn after that. A fast CLI has drawn the piece
/// already; of a slow one two pieces are then read as one, which is no paste yet.
const EARLY_MS: u64 = 100;

/// Milliseconds to wait for a piece to be drawn before it is taken to be.
const DRAW_MS: u64 = 600;

/// Milliseconds of rest before a new prompt is typed at, and before a message is submitted.
const REST_MS: u64 = 150;

/// Milliseconds to wait for the effect of a command that shows none.
const COMMAND_MS: u64 = 2500;

/// The key that submits a message.
pub(super) const SUBMIT: &str = "\r";

/// What keeps a draft from being anything but words.
const GUARD: char = ' ';

/// What does not begin a message but something else, typed into an empty draft of any version.
const MODES: [char; 5] = ['!', '?', '#', '&', '/'];

/// Characters of a draft's first line that are typed before the guard in front is taken off.
const FIRST: usize = 20;

/// The keys that take the guard off: to the line's beginning, delete, to its end.
const TAKE_OFF: [&str; 3] = ["\u{1}", "\u{1b}[3~", "\u{5}"];

/// Text that cannot be typed so that it arrives as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untypable {
    /// A character that no key of a terminal types into a draft.
    #[error(
        "the character U+{code:04X} at byte {at} cannot be typed on a terminal; use the stream \
         driver, or send keys"
    )]
    Character {
        /// The character.
        code: u32,
        /// Where it stands.
        at: usize,
    },
    /// The beginning of a command of the interface.
    #[error(
        "`{0}` is how a command of Claude's terminal begins: send it as a `command` if it is one, \
         put a word before it if it is none, or use the stream driver"
    )]
    Command(String),
}

/// What is typed as one draft and submitted.
#[derive(Debug)]
pub(super) struct Message {
    text: String,
    is_command: bool,
}

impl Message {
    /// Words for the model, or a command of the interface, which is typed as it is.
    pub(super) fn new(text: &str, is_command: bool) -> Result<Self, Untypable> {
        let odd = text.char_indices().find(|(_, key)| !is_typable(*key));
        if let Some((at, key)) = odd {
            let code = key.into();
            return Err(Untypable::Character { code, at });
        }
        if !is_command && let Some(word) = command_of(text) {
            return Err(Untypable::Command(word.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            is_command,
        })
    }

    /// The keys, in pieces that are pressed one after the other.
    fn pieces(&self) -> Vec<String> {
        let chunks = |text: &str| {
            let keys: Vec<char> = text.chars().collect();
            let pieces = keys.chunks(PIECE).map(|piece| piece.iter().collect());
            pieces.collect::<Vec<String>>()
        };
        if self.is_command {
            return chunks(&self.text);
        }
        let whole = format!("{}{GUARD}", self.text);
        if !whole.starts_with(MODES) {
            return chunks(&whole);
        }
        let line = whole.find('\n').unwrap_or(whole.len());
        let first = whole.char_indices().nth(FIRST).map_or(line, |(at, _)| at);
        let (first, rest) = whole.split_at(first.min(line));
        let mut pieces = vec![format!("{GUARD}{first}")];
        pieces.extend(TAKE_OFF.map(str::to_owned));
        pieces.extend(chunks(rest));
        pieces
    }
}

/// What stands where a command would. A path has more than one slash.
fn command_of(text: &str) -> Option<&str> {
    let word = text.split_whitespace().next()?;
    let name = word.strip_prefix('/')?;
    (!name.contains('/')).then_some(word)
}

/// What is to be done at the terminal.
#[derive(Debug, PartialEq, Eq)]
enum KeyAction {
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
    actions: VecDeque<KeyAction>,
    next_at: u64,
    /// When the last piece was typed, while it has not been drawn.
    undrawn: Option<u64>,
}

impl Typing {
    /// Adds a message with the key that submits it.
    pub(super) fn message(&mut self, message: &Message, now_ms: u64) {
        if self.actions.is_empty() {
            self.next_at = self.next_at.max(now_ms);
        }
        // Clears what somebody may have drafted and left.
        self.actions
            .push_back(KeyAction::Press("\u{15}".to_owned()));
        for piece in message.pieces() {
            self.actions.push_back(KeyAction::Press(piece));
        }
        self.actions.push_back(KeyAction::Submit);
        if message.is_command {
            self.actions.push_back(KeyAction::Settle);
        }
    }

    /// The key strokes whose moment has come.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<Due> {
        if now_ms < self.next_at {
            return None;
        }
        if self.actions.front() == Some(&KeyAction::Settle) {
            self.actions.pop_front();
        }
        let (keys, is_message) = match self.actions.pop_front()? {
            KeyAction::Press(keys) => (keys, false),
            KeyAction::Submit => (SUBMIT.to_owned(), !self.is_settling()),
            KeyAction::Settle => return None,
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
            self.actions.pop_front();
            self.next_at = now_ms + REST_MS;
        }
    }

    fn is_settling(&self) -> bool {
        self.actions.front() == Some(&KeyAction::Settle)
    }

    /// The terminal was drawn.
    pub(super) fn drawn(&mut self, now_ms: u64) {
        let Some(typed_at) = self.undrawn else {
            return;
        };
        let drawn_by = if now_ms < typed_at + ECHO_MS {
            typed_at + EARLY_MS
        } else {
            self.undrawn = None;
            now_ms.max(typed_at + PAUSE_MS)
        };
        self.next_at = drawn_by + self.rest();
    }

    /// A new prompt is there; it may not be all that is drawn at once.
    pub(super) fn at_new_prompt(&mut self, now_ms: u64) {
        self.next_at = self.next_at.max(now_ms + REST_MS);
    }

    /// A key that submits must not be read together with the text before it: it would be
    /// taken for a line's end of a paste.
    fn rest(&self) -> u64 {
        match self.actions.front() {
            Some(KeyAction::Submit) => REST_MS,
            _ => 0,
        }
    }

    /// When the next ones are due.
    pub(super) fn deadline(&self) -> Option<u64> {
        (!self.actions.is_empty()).then_some(self.next_at)
    }
}

/// Whether a character is text and not a command to the terminal interface, which takes the
/// separators of lines and paragraphs for line feeds.
fn is_typable(key: char) -> bool {
    key == '\n' || !(key.is_control() || matches!(key, '\u{2028}' | '\u{2029}'))
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

    fn words(text: &str) -> Message {
        Message::new(text, false).unwrap()
    }

    fn command(text: &str) -> Message {
        Message::new(text, true).unwrap()
    }

    #[test]
    fn a_message_is_typed_and_submitted_apart() {
        let mut typing = Typing::default();
        typing.message(&words("one\n!two\\"), 0);
        assert_eq!(all(&mut typing), ["\u{15}", "one\n!two\\ ", "\r"]);
    }

    #[test]
    fn what_means_something_in_an_empty_draft_is_typed_into_one_that_is_not() {
        let mut typing = Typing::default();
        typing.message(&words("?"), 0);
        let [home, delete, end] = TAKE_OFF;
        assert_eq!(all(&mut typing), ["\u{15}", " ? ", home, delete, end, "\r"]);
        typing.message(&words("!touch a file that\nhas a name"), 0);
        assert_eq!(
            all(&mut typing)[1..],
            [
                " !touch a file that",
                home,
                delete,
                end,
                "\nhas a name ",
                "\r"
            ]
        );
    }

    #[test]
    fn what_begins_like_a_command_is_none_unless_it_is_sent_as_one() {
        for text in ["/exit", " /login page", "/", "\n/foo bar", "/a:b"] {
            let error = Message::new(text, false).unwrap_err();
            assert!(matches!(error, Untypable::Command(_)), "{text}");
            assert!(Message::new(text, true).is_ok());
        }
        for text in ["/etc/hosts is wrong", "a /exit", "//", "one\n/two"] {
            assert!(Message::new(text, false).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_long_message_is_typed_slowly() {
        let mut typing = Typing::default();
        typing.message(&words(&"é".repeat(PIECE)), 0);
        let keys = |due: Option<Due>| due.map(|due| due.keys);
        assert_eq!(keys(typing.due(0)).as_deref(), Some("\u{15}"));
        assert_eq!(typing.due(PAUSE_MS - 1), None);
        assert_eq!(keys(typing.due(PAUSE_MS)), Some("é".repeat(PIECE)));
        assert_eq!(typing.deadline(), Some(PAUSE_MS + DRAW_MS));
        typing.drawn(PAUSE_MS + 1);
        assert_eq!(
            typing.deadline(),
            Some(PAUSE_MS + EARLY_MS),
            "it may be of something before"
        );
        typing.drawn(PAUSE_MS + ECHO_MS);
        assert_eq!(typing.deadline(), Some(2 * PAUSE_MS));
        let rest = all(&mut typing);
        assert_eq!(rest, [" ", "\r"]);
    }

    #[test]
    fn a_message_that_would_press_other_keys_is_refused() {
        for text in [
            "a\u{1b}[201~b",
            "a\tb",
            "\u{3}",
            "one\r\ntwo",
            "\u{7f}",
            "\u{9b}A",
            "\0",
            "a\u{2028}b",
        ] {
            for is_command in [false, true] {
                let error = Message::new(text, is_command).unwrap_err();
                assert!(error.to_string().contains("cannot be typed"), "{error}");
            }
        }
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
        typing.message(&command("/model one"), 0);
        typing.message(&words("two"), 0);
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
        typing.message(&command("/vim"), 0);
        typing.message(&words("two"), 0);
        assert_eq!(
            all(&mut typing)[1..],
            ["/vim", "\r", "\u{15}", "two ", "\r"]
        );
    }
}
