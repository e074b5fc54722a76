//! A terminal for programs that want one: `script` (util-linux) is the terminal.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wait::wait_until;

const SOON: Duration = Duration::from_secs(60);

/// What waits for the start of a box.
const LONG: Duration = Duration::from_secs(120);

/// How long a key is given to do something before it is pressed again.
const AGAIN: Duration = Duration::from_secs(5);

const ROWS: NonZeroU16 = NonZeroU16::new(30).expect("more than none");
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).expect("more than none");

/// A command line in a terminal of 100 columns and 30 rows.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Screen>>,
}

/// What a person would see, and all that was ever drawn.
struct Screen {
    drawn: Vec<u8>,
    shown: vt100::Parser,
}

impl Screen {
    fn new() -> Self {
        Self {
            drawn: Vec::new(),
            shown: vt100::Parser::new(ROWS, COLUMNS, 0),
        }
    }

    fn draws(&mut self, piece: &[u8]) {
        self.drawn.extend(piece);
        self.shown.process(piece);
    }

    /// Whether the words, without blanks, were drawn one after another or are seen now. A program
    /// that draws only what has changed may never write the words that are seen.
    fn has(&self, words: &str) -> bool {
        self.seen().contains(words) || self.plain().contains(words)
    }

    fn seen(&self) -> String {
        bare(&self.shown.screen().contents())
    }

    fn plain(&self) -> String {
        bare(&String::from_utf8_lossy(&self.drawn))
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.screen().contents())
    }
}

impl Terminal {
    /// Runs a shell's command line; `script` is that program, with the folder and the variables that
    /// the line is to have.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn running(mut script: Command, line: &str) -> Self {
        // The terminal's modes are told before and after.
        let line =
            format!("stty cols {COLUMNS} rows {ROWS}; stty -g; {line}; echo \"code=$?\"; stty -g");
        script
            .env("TERM", "xterm")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = script.spawn().expect("script (util-linux)");
        let (keys, said) = (child.stdin.take(), child.stdout.take());
        let (keys, mut said) = keys.zip(said).expect("both are pipes");
        let screen = Arc::new(Mutex::new(Screen::new()));
        let shared = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = said.read(&mut piece) {
                let mut screen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                screen.draws(&piece[..read]);
            }
        });
        Self {
            child,
            keys,
            screen,
        }
    }

    /// All that was ever drawn.
    #[must_use]
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.locked().drawn).into_owned()
    }

    fn locked(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until words are there.
    ///
    /// # Panics
    /// They do not come.
    #[track_caller]
    pub fn shows(&self, words: &str) {
        self.shows_times(words, 1);
    }

    /// Waits until words were drawn so many times.
    ///
    /// # Panics
    /// They were not.
    #[track_caller]
    pub fn shows_times(&self, words: &str, times: usize) {
        let found = catch_unwind(AssertUnwindSafe(|| {
            wait_until(SOON, words, || {
                self.screen().matches(words).count() >= times
            });
        }));
        assert!(found.is_ok(), "`{words}` is not in {:?}", self.screen());
    }

    /// As [`Terminal::shows`], for what draws its words one by one: colours, moves and blanks
    /// do not count.
    ///
    /// # Panics
    /// They do not come.
    #[track_caller]
    pub fn shows_plain(&self, words: &str) {
        let wanted = bare(words);
        let found = catch_unwind(AssertUnwindSafe(|| {
            wait_until(LONG, words, || self.locked().has(&wanted));
        }));
        let screen = self.locked();
        assert!(
            found.is_ok(),
            "`{words}` is not in {:?}, now seen as\n{screen:?}",
            screen.plain()
        );
    }

    /// Waits for a question whose first answer is chosen, and presses Enter until it is gone: what
    /// has just been drawn may not listen to keys yet. A key too many would answer what comes next
    /// before anybody has seen it, so that none is pressed for anything but this question.
    ///
    /// # Panics
    /// It does not come, or stays.
    #[track_caller]
    pub fn accepts(&mut self, question: &str) {
        self.shows_plain(question);
        let wanted = bare(question);
        let (mut pressed, mut looks) = (None::<Instant>, 0);
        let gone = catch_unwind(AssertUnwindSafe(|| {
            wait_until(LONG, question, || {
                let shown = self.locked().seen().contains(&wanted);
                if shown && pressed.is_none_or(|at| at.elapsed() > AGAIN) {
                    self.types(b"\r");
                    pressed = Some(Instant::now());
                }
                // A screen that is drawn anew is empty for a moment.
                looks = if shown { 0 } else { looks + 1 };
                pressed.is_some() && looks > 10
            });
        }));
        assert!(gone.is_ok(), "`{question}` stays:\n{:?}", self.locked());
    }

    /// Types.
    ///
    /// # Panics
    /// Nobody reads it any more.
    pub fn types(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("a terminal that is there");
        self.keys.flush().expect("a terminal that is there");
    }

    /// Ends what runs in it.
    pub fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the line's end.
    ///
    /// # Panics
    /// It does not end, or with another code.
    #[track_caller]
    pub fn is_done(&mut self, code: i32) {
        self.shows(&format!("code={code}"));
        let _ = self.child.wait();
    }

    /// Waits for its end; the terminal's modes are then what they were.
    ///
    /// # Panics
    /// They are not, or the end is another.
    #[track_caller]
    pub fn ends(mut self, code: i32) {
        self.is_done(code);
        let screen = self.screen();
        let modes: Vec<&str> = screen
            .split(['\r', '\n'])
            .filter(|line| line.matches(':').count() > 10)
            .collect();
        assert_eq!(modes.len(), 2, "{screen}");
        assert_eq!(
            modes[0], modes[1],
            "the terminal's modes are not what they were"
        );
        assert!(screen.contains("\x1b[?1049l") && screen.contains("\x1b[?25h"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A screen's text without colours, moves and blanks.
fn bare(text: &str) -> String {
    let mut bare = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            // A sequence ends with its first letter.
            let _ = characters.by_ref().find(char::is_ascii_alphabetic);
        } else if !c.is_whitespace() {
            bare.push(c);
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_moves_and_blanks_are_no_words() {
        assert_eq!(bare("a \u{1b}[31;1mb\u{1b}[0m\r\nc\u{1b}[2Jd"), "abcd");
    }

    #[test]
    fn words_of_which_only_changed_letters_are_drawn_are_seen() {
        let mut screen = Screen::new();
        screen.draws(b"Do you like to proceed?");
        assert!(!screen.has("Doyouwanttoproceed?"));
        screen.draws(b"\x1b[1;8Hwant");
        assert!(!screen.plain().contains("Doyouwanttoproceed?"));
        assert!(screen.has("Doyouwanttoproceed?"), "{screen:?}");
    }

    #[test]
    fn a_line_has_a_terminal_hears_what_is_typed_and_says_how_it_ended() {
        let mut terminal =
            Terminal::running(Command::new("script"), "test -t 0 && read a && (exit $a)");
        terminal.types(b"7\r");
        terminal.is_done(7);
    }
}
