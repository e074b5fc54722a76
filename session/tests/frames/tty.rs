//! The tty driver on hooks, transcripts and state files that are damaged or made up.

use std::fs;

use cib_protocol::frame::{By, Data, Meta};
use cib_protocol::session::State;
use cib_protocol::time::Timestamp;
use cib_session::ledger::Ledger;
use cib_session::stream_json::lines::{Limits, Line, Splitter};
use cib_session::tty::events::Abilities;
use cib_session::tty::{Out, Tty};
use proptest::prelude::*;
use serde_json::{Value, json};

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).unwrap()
}

fn tty() -> Tty {
    let ledger = Ledger::starting(0, Meta::default());
    Tty::new(
        ledger,
        Abilities::of("2.1.330"),
        Timestamp::from_millis(0),
        0.0,
    )
}

fn hook(tty: &mut Tty, id: u64, payload: &Value, out: &mut Out) {
    let text = payload.to_string();
    tty.hook(id, &Line::whole(text.as_bytes()), 1000, out);
}

/// Lets time pass until nothing is due any more.
fn rest(tty: &mut Tty, out: &mut Out) {
    while let Some(at) = tty.deadline() {
        tty.tick(at.max(1000), out);
    }
}

#[test]
fn every_hook_is_answered_unless_it_asks_the_user() {
    let mut tty = tty();
    let mut out = Out::default();
    let mut asked = 0;
    let mut told = 0;
    for (id, line) in (1..).zip(fixture("hooks_tui_command").lines()) {
        let value: Value = serde_json::from_str(line).unwrap();
        let Some(payload) = value.get("hook") else {
            continue;
        };
        told += 1;
        if payload["hook_event_name"] == "PermissionRequest" {
            asked += 1;
        }
        hook(&mut tty, id, payload, &mut out);
    }
    // The question was answered on the terminal, which lets its hook go as well.
    assert_eq!((asked, out.answers.len()), (1, told));
    for (_, answer) in out.answers {
        assert!(serde_json::from_str::<Value>(&answer).unwrap().is_object());
    }
}

#[test]
fn a_hook_that_was_ended_takes_its_question_along() {
    let mut tty = tty();
    let mut out = Out::default();
    let input = json!({"questions": [{"question": "Which?", "options": [{"label": "A"}]}]});
    let payload = json!({
        "hook_event_name": "PermissionRequest", "tool_name": "AskUserQuestion", "tool_input": input,
    });
    hook(&mut tty, 7, &payload, &mut out);
    assert_eq!(tty.state(), State::WaitingForInput);
    assert!(out.answers.is_empty());
    tty.hook_gone(7, 2000, &mut out);
    assert_eq!(tty.state(), State::Working);
    let answers = [("Which?".to_owned(), "A".to_owned())].into();
    assert!(tty.answer("hook-7", &answers, 2000, &mut out).is_err());
}

#[test]
fn history_is_not_told_again() {
    let ledger = Ledger::starting(0, Meta::default());
    let now = Timestamp::from_millis(4_000_000_000_000);
    let mut tty = Tty::new(ledger, Abilities::of("2.1.330"), now, 0.0);
    let mut out = Out::default();
    for line in fixture("transcript_tui_8833303a").lines() {
        tty.transcript(&Line::whole(line.as_bytes()), 1, &mut out);
    }
    tty.ended(2, &mut out);
    let told = out
        .frames
        .iter()
        .filter(|frame| !matches!(frame, Data::Usage(usage) if usage.input == 0));
    assert_eq!(told.count(), 0, "{:?}", out.frames);
}

#[test]
fn input_is_typed_once_there_is_a_prompt() {
    let mut tty = tty();
    let mut out = Out::default();
    let id = uuid::Uuid::nil();
    tty.input("hello", id, false, 0, &mut out).unwrap();
    assert!(out.keys.is_empty());
    tty.state_file(r#"{"status":"idle"}"#, 1000, &mut out);
    let mut at = 1000;
    while !out.keys.contains(&"\r".to_owned()) {
        at = at.max(tty.deadline().unwrap());
        tty.tick(at, &mut out);
    }
    assert_eq!(out.keys, ["\u{15}", "hello ", "\r"]);
    // Nothing happens: it is submitted again, a few times, and then it is told that it was not.
    rest(&mut tty, &mut out);
    assert_eq!(out.keys[3..], ["\r", "\r", "\r"]);
    let Some(Data::Stop(stop)) = out.frames.last() else {
        panic!("{:?}", out.frames);
    };
    assert_eq!(stop.reason, "not_submitted");
    assert_eq!(stop.messages, [id.to_string()]);
}

fn prompt(text: &str) -> Value {
    json!({"hook_event_name": "UserPromptSubmit", "prompt": text})
}

/// The ends of turns: whose each was, and which messages it answered.
fn ends(out: &Out) -> Vec<(Option<By>, Vec<String>)> {
    let stops = out.frames.iter().filter_map(|frame| match frame {
        Data::Stop(stop) => Some((stop.by, stop.messages.clone())),
        _ => None,
    });
    stops.collect()
}

#[test]
fn a_turn_on_the_terminal_names_its_message_and_one_of_claudes_own_names_none() {
    let (mut tty, mut out) = (tty(), Out::default());
    tty.state_file(r#"{"status":"idle"}"#, 1, &mut out);
    let id = uuid::Uuid::new_v4();
    tty.input("go", id, false, 2, &mut out).unwrap();
    let stop = json!({"hook_event_name": "Stop"});
    // A command in the background ends before the message is submitted.
    hook(
        &mut tty,
        1,
        &prompt("<task-notification>done</task-notification>"),
        &mut out,
    );
    hook(&mut tty, 2, &stop, &mut out);
    rest_until_idle(&mut tty, &mut out);
    hook(&mut tty, 3, &prompt("go"), &mut out);
    hook(&mut tty, 4, &stop, &mut out);
    rest_until_idle(&mut tty, &mut out);
    hook(&mut tty, 5, &prompt("typed by hand"), &mut out);
    hook(&mut tty, 6, &stop, &mut out);
    rest_until_idle(&mut tty, &mut out);
    assert_eq!(
        ends(&out),
        [
            (Some(By::Claude), vec![]),
            (Some(By::User), vec![id.to_string()]),
            (Some(By::User), vec![]),
        ]
    );
    let users = out
        .frames
        .iter()
        .filter(|frame| matches!(frame, Data::Text(_)));
    assert_eq!(users.count(), 2, "each message is told once");
}

fn rest_until_idle(tty: &mut Tty, out: &mut Out) {
    let line = r#"{"type":"system","subtype":"turn_duration"}"#;
    tty.transcript(&Line::whole(line.as_bytes()), 1000, out);
    assert_eq!(tty.state(), State::Idle);
}

#[test]
fn an_answer_on_the_terminal_reaches_the_question_that_it_names_and_no_other() {
    let (mut tty, mut out) = (tty(), Out::default());
    let call = |id: &str, command: &str| {
        json!({"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": id,
            "tool_input": {"command": command}})
    };
    let ask = |command: &str| {
        json!({"hook_event_name": "PermissionRequest", "tool_name": "Bash",
            "tool_input": {"command": command}})
    };
    hook(&mut tty, 1, &call("t1", "rm -r /"), &mut out);
    hook(&mut tty, 2, &call("t2", "ls"), &mut out);
    out.answers.clear();
    hook(&mut tty, 11, &ask("rm -r /"), &mut out);
    hook(&mut tty, 12, &ask("ls"), &mut out);
    // The same question again, forged or not, is a question of its own.
    hook(&mut tty, 13, &ask("ls"), &mut out);
    let ids: Vec<_> = out
        .frames
        .iter()
        .filter_map(|frame| match frame {
            Data::AskQuestion(question) => Some(question.id.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["t1", "t2", "hook-13"]);
    let answers = [("Allow Bash?".to_owned(), "allow".to_owned())].into();
    tty.answer("t2", &answers, 1, &mut out).unwrap();
    assert_eq!(out.answers.len(), 1);
    assert_eq!(out.answers[0].0, 12);
    assert!(out.answers[0].1.contains(r#""command":"ls""#));
    assert!(tty.answer("t2", &answers, 1, &mut out).is_err());
    // Another call that goes on closes no question but its own.
    let post = json!({"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_use_id": "t1"});
    hook(&mut tty, 14, &post, &mut out);
    assert!(tty.answer("t1", &answers, 1, &mut out).is_err());
    tty.answer("hook-13", &answers, 1, &mut out).unwrap();
}

#[test]
fn a_menu_that_nobody_asked_for_is_a_question_and_its_answer_presses_the_key() {
    let (mut tty, mut out) = (tty(), Out::default());
    let menu = "\u{1b}[2J\u{1b}[HThe file /h/.claude.json is damaged\r\n\r\n❯ 1. Exit\r\n  2. Reset\r\n\r\nEnter to confirm\r\n";
    tty.drawn(menu.as_bytes(), 10);
    while !out
        .frames
        .iter()
        .any(|frame| matches!(frame, Data::AskQuestion(_)))
    {
        let at = tty.deadline().unwrap();
        assert!(at < 10_000, "nobody is asked");
        tty.tick(at, &mut out);
    }
    assert_eq!(tty.state(), State::WaitingForInput);
    let id = out.frames.iter().find_map(|frame| match frame {
        Data::AskQuestion(question) if question.prompt.contains("/h/.claude.json") => {
            Some(question.id.clone())
        }
        _ => None,
    });
    let id = id.unwrap();
    let answers = [("the menu".to_owned(), "Reset".to_owned())].into();
    tty.answer(&id, &answers, 6000, &mut out).unwrap();
    assert_eq!(out.keys, ["2"]);
    assert!(tty.answer(&id, &answers, 6000, &mut out).is_err());
    tty.state_file(r#"{"status":"idle"}"#, 7000, &mut out);
    assert_eq!(tty.state(), State::Idle);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_do_not_depend_on_how_the_transcript_is_split(
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..30),
    ) {
        let bytes = fixture("transcript_v112_tui").into_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|at| at.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let play = |chunks: &mut dyn Iterator<Item = &[u8]>| {
            let mut lines = Splitter::new(Limits::for_output(1 << 20));
            let (mut tty, mut out) = (tty(), Out::default());
            for chunk in chunks {
                lines.feed(chunk, |line| tty.transcript(&line, 1, &mut out));
            }
            out.frames
        };
        let split = play(&mut cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]));
        prop_assert_eq!(split, play(&mut [bytes.as_slice()].into_iter()));
    }

    #[test]
    fn nothing_that_is_read_makes_it_panic(
        what in 0..3,
        line in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        with in any::<u8>(),
        noise in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let name = if what == 0 { "hooks_tui_command" } else { "transcript_tui_8833303a" };
        let text = fixture(name);
        let lines: Vec<_> = text.lines().collect();
        let mut bytes = lines[line.index(lines.len())].as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let (mut tty, mut out) = (tty(), Out::default());
        for bytes in [bytes.as_slice(), &noise] {
            tty.hook(1, &Line::whole(bytes), 1, &mut out);
            tty.transcript(&Line::whole(bytes), 2, &mut out);
            tty.state_file(&String::from_utf8_lossy(bytes), 3, &mut out);
        }
        rest(&mut tty, &mut out);
    }
}

#[test]
fn a_message_that_waits_for_a_hook_is_not_submitted_again_and_the_hook_is_told_once() {
    let ledger = Ledger::starting(0, Meta::default());
    let start = Timestamp::from_millis(0);
    // It tells no state, so a message that shows no effect is submitted again.
    let mut tty = Tty::new(ledger, Abilities::of("2.1.112"), start, 0.0);
    let mut out = Out::default();
    let begins = json!({"cib_hook": {"begins": "sleep 90", "run": "7", "event": "SessionStart"}});
    hook(&mut tty, 1, &begins, &mut out);
    let own = json!({"hook_event_name": "SessionStart", "session_id": "x"});
    hook(&mut tty, 2, &own, &mut out);
    let id = uuid::Uuid::nil();
    tty.input("hello", id, false, 1000, &mut out).unwrap();
    let mut now = 1000;
    while now < 60_000 {
        now = now.max(tty.deadline().unwrap());
        tty.tick(now, &mut out);
    }
    let submitted = |out: &Out| out.keys.iter().filter(|keys| *keys == "\r").count();
    assert_eq!(submitted(&out), 1);
    assert!(tty.held_up_since().is_some_and(|since| since < 5000));
    let notes = |out: &Out| {
        let notes = out.frames.iter().filter_map(|frame| match frame {
            Data::Meta(meta) => meta.note.clone(),
            _ => None,
        });
        notes.collect::<Vec<_>>()
    };
    let says = "Claude takes no message yet: its hook SessionStart (`sleep 90`) has not ended";
    assert_eq!(notes(&out), [says]);
    assert!(
        !out.frames
            .iter()
            .any(|frame| matches!(frame, Data::Stop(_)))
    );
    let ends = json!({"cib_hook": {"run": "7", "exit_code": 0}, "payload": own});
    hook(&mut tty, 3, &ends, &mut out);
    assert_eq!(tty.held_up_since(), None);
    rest(&mut tty, &mut out);
    assert_eq!(
        submitted(&out),
        4,
        "what is not taken then is submitted again"
    );
}
