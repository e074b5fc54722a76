//! The tty driver on hooks, transcripts and state files that are damaged or made up.

use std::fs;

use cib_protocol::frame::{Data, Meta};
use cib_protocol::session::State;
use cib_protocol::time::Timestamp;
use cib_session::ledger::Ledger;
use cib_session::stream::lines::{Limits, Line, Splitter};
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
    tty.input("hello".to_owned(), 0, &mut out);
    assert!(out.keys.is_empty());
    tty.state_file(r#"{"status":"idle"}"#, 1000, &mut out);
    let mut at = 1000;
    while !out.keys.contains(&"\r".to_owned()) {
        at = at.max(tty.deadline().unwrap());
        tty.tick(at, &mut out);
    }
    assert_eq!(out.keys, ["\u{15}", "hello", "\r"]);
    // Nothing happens: it is submitted again, a few times.
    rest(&mut tty, &mut out);
    assert_eq!(out.keys[3..], ["\r", "\r", "\r"]);
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
