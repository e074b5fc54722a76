//! What a killed keeper leaves behind, and how it is picked up.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::keeper::{Place, SOON, data, frames, is_alive};
use cib_protocol::session::State;
use cib_testkit::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::json;

#[test]
fn kill_of_the_keeper_ends_claude_and_finish_marks_the_session_interrupted() {
    let place = Place::new();
    let spec = place.spec("echo");
    let mut keeper = place.start(&spec);
    keeper.wait_state("idle");
    let claude = keeper.meta().claude_pid.unwrap();
    keeper.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "the keeper's end", || {
        keeper.process.exited().is_some()
    });
    wait_until(SOON, "Claude's end", || !is_alive(claude));
    assert!(
        keeper.meta().state.is_live(),
        "nobody has written its end yet"
    );

    assert_eq!(place.finish(keeper.id), 0);
    let meta = keeper.meta();
    assert_eq!(meta.state, State::Interrupted);
    assert_eq!(meta.claude_pid, None);
    let after = keeper.frames();
    assert_eq!(meta.last_seq, after.last().unwrap().seq);
    assert_eq!(
        data(&after, "stop").last().unwrap()["reason"],
        "interrupted"
    );

    assert_eq!(place.finish(keeper.id), 0);
    assert_eq!(
        keeper.frames().len(),
        after.len(),
        "finishing twice changes nothing"
    );
}

#[test]
fn finish_waits_until_a_claude_that_does_not_want_to_end_is_gone() {
    let place = Place::new();
    let mut keeper = place.start(&place.spec("deaf"));
    keeper.wait_state("idle");
    let claude = keeper.meta().claude_pid.unwrap();
    keeper.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "the keeper's end", || {
        keeper.process.exited().is_some()
    });
    assert!(is_alive(claude), "it ignores SIGTERM");
    assert_eq!(place.finish(keeper.id), 0);
    assert!(!is_alive(claude));
}

#[test]
fn nothing_is_left_running_when_a_killed_keepers_session_is_finished() {
    let place = Place::new();
    let mut spec = place.spec("leaves");
    let left = place.path("left");
    spec["env"]["LEFT"] = left.to_str().unwrap().into();
    let mut keeper = place.start(&spec);
    keeper.wait_state("idle");
    wait_until(SOON, "the process left behind", || {
        fs::read_to_string(&left).is_ok_and(|text| text.ends_with('\n'))
    });
    let stray: u32 = fs::read_to_string(&left).unwrap().trim().parse().unwrap();
    keeper.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "the keeper's end", || {
        keeper.process.exited().is_some()
    });
    assert_eq!(place.finish(keeper.id), 0);
    assert!(!is_alive(stray));
}

#[test]
fn a_resumed_session_continues_its_journal_and_its_counts() {
    let place = Place::new();
    let spec = place.spec("echo");
    let mut keeper = place.start(&spec);
    keeper.wait_state("idle");
    keeper.input("one");
    keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
    keeper.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "the keeper's end", || {
        keeper.process.exited().is_some()
    });
    let journal = keeper.dir.join("transcript.jsonl");
    let mut torn = OpenOptions::new().append(true).open(&journal).unwrap();
    torn.write_all(br#"{"session":"half a fr"#).unwrap();
    let before = keeper.frames();

    let mut again = spec.clone();
    again["resume"] = json!({"claude_session": spec["id"]});
    let mut resumed = place.start(&again);
    wait_until(SOON, "the next frame", || {
        frames(&resumed.dir).len() > before.len()
    });
    resumed.wait_frame("meta", |meta| {
        meta["note"]
            .as_str()
            .is_some_and(|note| note.contains("torn; 21 bytes"))
    });
    resumed.input("two");
    wait_until(SOON, "the second turn", || resumed.meta().turns == 2);
    let command = fs::read(format!(
        "/proc/{}/cmdline",
        resumed.meta().claude_pid.unwrap()
    ))
    .unwrap();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    assert!(
        command.contains(&format!("--resume {}", resumed.id)),
        "{command}"
    );
    resumed.ask(&json!({"op": "stop"}));
    assert_eq!(resumed.wait_exit(), 0);
    let after = resumed.frames();
    assert_eq!(
        serde_json::to_string(&after[..before.len()]).unwrap(),
        serde_json::to_string(&before).unwrap()
    );
}

#[test]
fn of_two_keepers_on_one_session_the_second_gives_way() {
    let place = Place::new();
    let spec = place.spec("echo");
    let first = place.start(&spec);
    first.wait_state("idle");
    let mut second = place.spawn(&spec);
    assert_eq!(second.wait_exit(), 75);
    assert!(
        second
            .process
            .output()
            .contains("is held by another keeper")
    );
    first.input("still mine");
    first.wait_frame("stop", |stop| stop["reason"] == "turn_end");
    assert_eq!(place.finish(first.id), 75);
}

#[test]
fn of_two_sessions_on_one_conversation_the_second_gives_way() {
    let place = Place::new();
    let first = place.start(&place.spec("echo"));
    first.wait_state("idle");
    let mut other = place.spec("echo");
    other["resume"] = json!({"claude_session": first.id});
    let mut second = place.spawn(&other);
    assert_eq!(second.wait_exit(), 75);
    assert!(!second.dir.join("meta.json").exists(), "nothing was begun");
}

#[test]
fn a_conversation_is_not_resumed_while_its_last_claude_lives() {
    let place = Place::new();
    let mut first = place.start(&place.spec("deaf"));
    first.wait_state("idle");
    let claude = first.meta().claude_pid.unwrap();
    first.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "the keeper's end", || {
        first.process.exited().is_some()
    });
    assert!(is_alive(claude));
    let mut other = place.spec("echo");
    other["resume"] = json!({"claude_session": first.id});
    let second = place.start(&other);
    second.wait_state("idle");
    assert!(!is_alive(claude), "the next keeper has ended it first");
}
