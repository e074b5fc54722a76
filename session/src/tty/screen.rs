//! What stands on the screen, for the dialogues that nothing else tells of: a damaged file, a
//! login that is over, a folder that is not trusted. Only the last of what was drawn is kept and
//! it is put together when somebody asks, so that it costs a terminal nothing meanwhile.

use std::collections::VecDeque;

use cib_protocol::frame::{AskOption, AskQuestion, Question};

/// Bytes kept of what was drawn: more than a full screen with its colours.
const MAX_TAIL: usize = 16 * 1024;

/// Rows and columns that are put together, whatever the terminal's size is.
const ROWS: usize = 100;
const COLUMNS: usize = 300;

/// Longest text of a question, in bytes.
const MAX_TEXT: usize = 4096;

/// Most options of a menu.
const MAX_OPTIONS: usize = 20;

/// The last of what was drawn.
#[derive(Debug, Default)]
pub(super) struct Screen {
    tail: VecDeque<u8>,
}

/// A dialogue that waits for a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dialogue {
    text: String,
    options: Vec<Choice>,
}

/// What can be chosen, and the keys that do.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    label: String,
    keys: String,
}

impl Screen {
    pub(super) fn drawn(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(MAX_TAIL)..];
        let surplus = (self.tail.len() + bytes.len()).saturating_sub(MAX_TAIL);
        self.tail.drain(..surplus);
        self.tail.extend(bytes);
    }

    /// Forgets what was drawn.
    pub(super) fn clear(&mut self) {
        self.tail = VecDeque::new();
    }

    fn rows(&self) -> Vec<String> {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        let mut grid = Grid::default();
        grid.draw(&String::from_utf8_lossy(&bytes));
        let rows = grid.rows.iter().map(|row| row.iter().collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).collect()
    }

    /// What stands there, without blank lines and frames.
    pub(super) fn text(&self) -> String {
        text(&self.rows())
    }

    /// The menu that stands there, if one does.
    pub(super) fn dialogue(&self) -> Option<Dialogue> {
        let rows = self.rows();
        let text = text(&rows);
        let is_menu = text.contains("Enter to co") || text.contains("Esc to ca");
        let options = choices(&rows);
        let waits = is_menu && !options.is_empty() || text.contains("Press Enter");
        waits.then_some(Dialogue { text, options })
    }
}

fn text(rows: &[String]) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| has_words(row)) {
        text.push_str(row);
        text.push('\n');
    }
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

fn has_words(row: &str) -> bool {
    row.chars().any(char::is_alphanumeric)
}

/// The rows around the mark of what is chosen: `❯ 1. Yes`, or without numbers.
fn choices(rows: &[String]) -> Vec<Choice> {
    let Some(chosen) = rows.iter().rposition(|row| row.contains('❯')) else {
        return Vec::new();
    };
    let above = rows[..chosen].iter().rev().take_while(|row| has_words(row));
    let first = chosen - above.count().min(chosen);
    let block = rows[first..].iter().take_while(|row| has_words(row));
    let mut choices = Vec::new();
    for (place, row) in block.enumerate().take(MAX_OPTIONS) {
        let is_frame = |letter: char| letter.is_whitespace() || "❯│|".contains(letter);
        let label = row.trim_matches(is_frame);
        let number = label
            .split_once('.')
            .filter(|(key, _)| key.len() == 1 && key.chars().all(|digit| digit.is_ascii_digit()));
        choices.push(match number {
            Some((key, label)) => Choice {
                label: label.trim().to_owned(),
                keys: key.to_owned(),
            },
            None => {
                let away = (first + place).abs_diff(chosen);
                let arrow = match first + place < chosen {
                    true => "\u{1b}[A",
                    false => "\u{1b}[B",
                };
                Choice {
                    label: label.to_owned(),
                    keys: format!("{}\r", arrow.repeat(away)),
                }
            }
        });
    }
    choices
}

impl Dialogue {
    /// The question that it is.
    pub(super) fn question(&self, id: String) -> AskQuestion {
        let options: Vec<_> = self
            .options
            .iter()
            .map(|choice| AskOption {
                label: choice.label.clone(),
                description: String::new(),
            })
            .collect();
        AskQuestion {
            id,
            prompt: self.text.clone(),
            options: options.clone(),
            multi_select: false,
            questions: vec![Question {
                question: self.text.clone(),
                header: "Dialogue".to_owned(),
                options,
                multi_select: false,
            }],
            tool: None,
            tool_use_id: None,
        }
    }

    /// The keys that answer it: an option's own; words and the Enter key otherwise; the Escape
    /// key for no answer.
    pub(super) fn keys(&self, answer: Option<&str>) -> String {
        let Some(answer) = answer else {
            return "\u{1b}".to_owned();
        };
        let chosen = self
            .options
            .iter()
            .find(|choice| choice.label == answer || choice.keys == answer);
        match chosen {
            Some(choice) => choice.keys.clone(),
            None => {
                let words = answer.chars().filter(|key| !key.is_control());
                words.chain(['\r']).collect()
            }
        }
    }
}

/// As much of a terminal as text needs (ECMA-48).
#[derive(Default)]
struct Grid {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Grid {
    fn draw(&mut self, text: &str) {
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\u{1b}' => self.escape(&mut letters),
                '\r' => self.column = 0,
                '\n' => self.row = (self.row + 1).min(ROWS),
                '\u{8}' => self.column = self.column.saturating_sub(1),
                letter if letter.is_control() => {}
                letter => self.put(letter),
            }
        }
    }

    fn put(&mut self, letter: char) {
        if self.row >= ROWS || self.column >= COLUMNS {
            return;
        }
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, Vec::new());
        }
        let row = &mut self.rows[self.row];
        if row.len() <= self.column {
            row.resize(self.column + 1, ' ');
        }
        row[self.column] = letter;
        self.column += 1;
    }

    fn escape(&mut self, letters: &mut std::str::Chars<'_>) {
        match letters.next() {
            Some('[') => {
                let mut numbers = String::new();
                for letter in letters.by_ref() {
                    if ('@'..='~').contains(&letter) {
                        self.control(letter, &numbers);
                        return;
                    }
                    numbers.push(letter);
                }
            }
            // A command to the operating system ends with BEL or ST.
            Some(']' | 'P' | '_' | '^') => {
                let mut before = ' ';
                for letter in letters.by_ref() {
                    if letter == '\u{7}' || before == '\u{1b}' {
                        return;
                    }
                    before = letter;
                }
            }
            Some('(' | ')') => drop(letters.next()),
            _ => {}
        }
    }

    fn control(&mut self, kind: char, numbers: &str) {
        let mut numbers = numbers.split(';').map(|number| number.parse().ok());
        let mut next = |default: usize| numbers.next().flatten().unwrap_or(default).min(10_000);
        match kind {
            'A' => self.row = self.row.saturating_sub(next(1)),
            'B' | 'E' => {
                self.row = (self.row + next(1)).min(ROWS);
                if kind == 'E' {
                    self.column = 0;
                }
            }
            'C' => self.column = (self.column + next(1)).min(COLUMNS),
            'D' => self.column = self.column.saturating_sub(next(1)),
            'G' => self.column = next(1).saturating_sub(1).min(COLUMNS),
            'd' => self.row = next(1).saturating_sub(1).min(ROWS),
            'H' | 'f' => {
                self.row = next(1).saturating_sub(1).min(ROWS);
                self.column = next(1).saturating_sub(1).min(COLUMNS);
            }
            'J' => {
                if next(0) >= 2 {
                    self.rows.clear();
                } else {
                    self.rows.truncate(self.row + 1);
                    self.cut_row();
                }
            }
            'K' => match next(0) {
                0 => self.cut_row(),
                _ => {
                    if let Some(row) = self.rows.get_mut(self.row) {
                        row.clear();
                    }
                }
            },
            _ => {}
        }
    }

    fn cut_row(&mut self) {
        if let Some(row) = self.rows.get_mut(self.row) {
            row.truncate(self.column);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_menu_is_read_off_the_screen() {
        let mut screen = Screen::default();
        screen.drawn(b"\x1b[?1049h\x1b[2J\x1b[HConfiguration\x1b[1Cerror\r\n\r\n\x1b]0;title\x07");
        screen.drawn("\u{1b}[4;1HThe file /h/.claude.json is damaged\r\n╭──╮\r\n".as_bytes());
        screen.drawn("\r\n\u{1b}[36m❯ 1. Exit\u{1b}[0m\r\n  2. Reset it\r\n".as_bytes());
        screen.drawn(b"\r\nEnter to confirm\r\n");
        let dialogue = screen.dialogue().unwrap();
        let question = dialogue.question("q".to_owned());
        assert_eq!(
            question.prompt,
            "Configuration error\nThe file /h/.claude.json is damaged\n❯ 1. Exit\n  2. Reset it\n\
             Enter to confirm\n"
        );
        assert_eq!(question.options.len(), 2);
        assert_eq!(question.options[1].label, "Reset it");
        assert_eq!(dialogue.keys(Some("Reset it")), "2");
        assert_eq!(dialogue.keys(Some("2")), "2");
        assert_eq!(dialogue.keys(Some("a\u{1b}b")), "ab\r");
        assert_eq!(dialogue.keys(None), "\u{1b}");
        screen.clear();
        let unnumbered = "Trust it?\r\n\r\n❯ No\r\n  Yes, all\r\n\r\nEnter to confirm";
        screen.drawn(unnumbered.as_bytes());
        let dialogue = screen.dialogue().unwrap();
        assert_eq!(dialogue.keys(Some("Yes, all")), "\u{1b}[B\r");
        assert_eq!(dialogue.keys(Some("No")), "\r");
        screen.clear();
        screen.drawn("❯ a draft\r\n  1. of a list".as_bytes());
        assert_eq!(screen.dialogue(), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_drawn_is_too_much(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            words in "(\u{1b}\\[[0-9;]{0,8}[A-Za-z]|[a-z1-9. ❯\r\n]){0,40}",
        ) {
            let mut screen = Screen::default();
            screen.drawn(&bytes);
            screen.drawn(words.as_bytes());
            prop_assert!(screen.text().len() <= MAX_TEXT);
            if let Some(dialogue) = screen.dialogue() {
                prop_assert!(dialogue.options.len() <= MAX_OPTIONS);
            }
        }
    }
}
