//! A terminal given to a box.

use std::time::Duration;

use cib_testkit::terminal::Terminal;
use cib_testkit::wait::wait_until;

use crate::stage::Stage;

const SOON: Duration = Duration::from_secs(60);

/// `cib` in a terminal.
fn cib(stage: &Stage, arguments: &str) -> Terminal {
    let line = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_cib"));
    Terminal::running(stage.command("script"), &line)
}

#[test]
fn a_terminal_types_is_left_by_each_encoding_and_is_as_it_was() {
    let stage = Stage::new();
    let name = format!("typed-{}", std::process::id());
    // A start in a terminal ends in it, where there is no page to open.
    let begin = format!("start --shell --name {name}");
    let attach = format!("attach {name}");
    for (line, keys) in [
        (&begin, &b"\x1d"[..]),
        (&attach, b"\x1b[93;5u"),
        (&attach, b"\x1b[27;5;93~"),
    ] {
        let mut terminal = cib(&stage, line);
        terminal.shows("leaves it as it is");
        terminal.types(b"stty size; echo over $((40+2))\r");
        terminal.shows("30 100");
        terminal.shows("over 42");
        terminal.types(keys);
        terminal.ends(0);
    }
    // One that only looks types nothing, and is left by the keys that it was told.
    let looks = format!("attach {name} --read-only --detach-keys ctrl-p,ctrl-q");
    let mut terminal = cib(&stage, &looks);
    terminal.shows("ctrl-p,ctrl-q leaves it");
    terminal.types(b"echo typed $((1+1))\r");
    terminal.types(b"\x10\x11");
    terminal.ends(0);
    // A terminal that changes its size is followed.
    let line = format!("tty; '{}' {attach}", env!("CARGO_BIN_EXE_cib"));
    let mut terminal = Terminal::running(stage.command("script"), &line);
    terminal.shows("leaves it as it is");
    let screen = terminal.screen();
    let device = screen
        .lines()
        .find(|line| line.starts_with("/dev/"))
        .unwrap();
    stage.run("stty", &["-F", device.trim(), "cols", "90", "rows", "20"]);
    terminal.types(b"until stty size | grep '^20 90'; do :; done\r");
    terminal.shows("20 90\r");
    assert!(!terminal.screen().contains("typed 2"));
    terminal.types(b"\x1d");
    terminal.ends(0);
    // What was left goes on; what ends there is the command's end.
    let mut terminal = cib(&stage, &format!("attach {name}"));
    terminal.shows("leaves it as it is");
    terminal.types(b"exit 7\r");
    terminal.ends(7);
}

#[test]
fn a_terminal_comes_back_when_the_boxs_control_does() {
    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    let mut terminal = cib(&stage, &format!("attach {name}"));
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
    let mut terminal = cib(&stage, &format!("watch {name}"));
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
    let mut refused = cib(&stage, &format!("attach {name}"));
    refused.is_done(1);
    assert!(
        refused.screen().contains("--driver tty"),
        "{}",
        refused.screen()
    );
    let mut terminal = cib(&stage, &format!("attach {name} --driver tty"));
    terminal.shows("leaves it as it is");
    terminal.shows("Hello.");
    terminal.types(b"\x1d");
    terminal.ends(0);
}
