//! A terminal given to a box: `script` (util-linux) is the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cib_testkit::wait::wait_until;

use crate::stage::Stage;

const SOON: Duration = Duration::from_secs(60);
/// What waits for the start of a box.
const LONG: Duration = Duration::from_secs(120);
/// How long a key is given to do something before it is pressed again.
const AGAIN: Duration = Duration::from_secs(5);

/// `cib` in a terminal of 100 columns and 30 rows.
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn of(stage: &Stage, arguments: &str) -> Self {
        let cib = env!("CARGO_BIN_EXE_cib");
        Self::running(stage, &format!("'{cib}' {arguments}"))
    }

    /// Any command line in such a terminal.
    pub(crate) fn running(stage: &Stage, line: &str) -> Self {
        // The terminal's modes are told before and after.
        let line = format!("stty cols 100 rows 30; stty -g; {line}; echo \"code=$?\"; stty -g");
        let mut command = stage.command("script");
        command
            .env("TERM", "xterm")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keys = child.stdin.take().unwrap();
        let mut said = child.stdout.take().unwrap();
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = said.read(&mut piece) {
                shared.lock().unwrap().extend(&piece[..read]);
            }
        });
        Self {
            child,
            keys,
            screen,
        }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    #[track_caller]
    fn shows(&self, words: &str) {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(SOON, words, || self.screen().contains(words));
        }));
        assert!(found.is_ok(), "`{words}` is not in {:?}", self.screen());
    }

    /// As [`Terminal::shows`], for what draws its words one by one: colours, moves and blanks
    /// do not count.
    #[track_caller]
    pub(crate) fn shows_plain(&self, words: &str) {
        let wanted = bare(words);
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(LONG, words, || bare(&self.screen()).contains(&wanted));
        }));
        assert!(
            found.is_ok(),
            "`{words}` is not in {:?}",
            bare(&self.screen())
        );
    }

    /// Presses Enter until words are there: what has just been drawn may not listen to keys yet.
    #[track_caller]
    pub(crate) fn enters_until(&mut self, words: &str) {
        let wanted = bare(words);
        let mut pressed: Option<Instant> = None;
        wait_until(LONG, words, || {
            let found = bare(&self.screen()).contains(&wanted);
            if !found && pressed.is_none_or(|at| at.elapsed() > AGAIN) {
                self.types(b"\r");
                pressed = Some(Instant::now());
            }
            found
        });
    }

    /// Ends what runs in it.
    pub(crate) fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn types(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    fn is_done(&mut self, code: i32) {
        self.shows(&format!("code={code}"));
        let _ = self.child.wait();
    }

    /// Waits for its end; whether its modes are what they were.
    #[track_caller]
    fn ends(mut self, code: i32) {
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

#[test]
fn a_terminal_types_is_left_by_each_encoding_and_is_as_it_was() {
    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    for keys in [&b"\x1d"[..], b"\x1b[93;5u", b"\x1b[27;5;93~"] {
        let mut terminal = Terminal::of(&stage, &format!("attach {name}"));
        terminal.shows("leaves it as it is");
        terminal.types(b"stty size; echo over $((40+2))\r");
        terminal.shows("30 100");
        terminal.shows("over 42");
        terminal.types(keys);
        terminal.ends(0);
    }
    // What was left goes on; what ends there is the command's end.
    let mut terminal = Terminal::of(&stage, &format!("attach {name}"));
    terminal.shows("leaves it as it is");
    terminal.types(b"exit 7\r");
    terminal.ends(7);
}

#[test]
fn a_terminal_comes_back_when_the_boxs_control_does() {
    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    let mut terminal = Terminal::of(&stage, &format!("attach {name}"));
    terminal.shows("leaves it as it is");
    terminal.types(b"echo before $((1+1))\r");
    terminal.shows("before 2");
    stage.docker(&["exec", &name, "cib-init", "svc", "restart", "control"]);
    terminal.types(b"\r");
    let mut count = 0;
    wait_until(SOON, "an answer after the restart", || {
        count += 1;
        if count % 25 == 1 {
            terminal.types(b"echo after $((2+2))\r");
        }
        terminal.screen().contains("after 4")
    });
    terminal.types(b"\x1d");
    terminal.ends(0);
}

#[test]
fn without_a_terminal_nothing_is_attached_and_nothing_asked() {
    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    let ran = stage.cib(&["attach", &name]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("cib exec"), "{}", ran.stderr);
}

#[test]
fn a_commit_is_shown_and_its_menu_continues_pushes_and_ends() {
    let stage = Stage::new();
    let name = stage.start(&["--shell", "--branch", "work"]);
    let remote = stage.remote();
    let pushed = || {
        stage.run(
            "git",
            &["-C", remote.to_str().unwrap(), "branch", "--list", "work"],
        )
    };
    let commit = |word: &str| {
        stage.inside(
            &name,
            &format!("echo {word} >> x; git add x; git commit -qm 'commit {word}'"),
        );
    };
    let mut terminal = Terminal::of(&stage, &format!("watch {name}"));
    terminal.shows("Ctrl-C ends it");
    for (word, answer) in [("one", "c\r"), ("two", "p\r"), ("three", "e\r")] {
        commit(word);
        terminal.shows(&format!("commit {word}"));
        terminal.shows(&format!("+{word}"));
        let asked = terminal.screen().matches("[e]xit?").count();
        let wanted = match word {
            "one" => 1,
            "two" => 2,
            _ => 3,
        };
        if asked < wanted {
            wait_until(SOON, "the menu", || {
                terminal.screen().matches("[e]xit?").count() == wanted
            });
        }
        assert_eq!(
            pushed().is_empty(),
            word != "three",
            "before the answer to {word}"
        );
        terminal.types(answer.as_bytes());
        if word == "two" {
            wait_until(SOON, "the push", || !pushed().is_empty());
        }
    }
    terminal.is_done(0);
}

#[test]
fn a_session_that_speaks_in_frames_becomes_a_terminal_when_that_is_said() {
    let stage = Stage::new();
    let name = stage.start(&["--", "@text Hello."]);
    wait_until(SOON, "the end of the turn", || {
        let list = stage.json(&["list", "--json"]);
        list[0]["cost_usd"].as_f64() > Some(0.0)
    });
    let mut refused = Terminal::of(&stage, &format!("attach {name}"));
    refused.is_done(1);
    assert!(
        refused.screen().contains("--driver tty"),
        "{}",
        refused.screen()
    );
    let mut terminal = Terminal::of(&stage, &format!("attach {name} --driver tty"));
    terminal.shows("leaves it as it is");
    terminal.shows("Hello.");
    terminal.types(b"\x1d");
    terminal.ends(0);
}
