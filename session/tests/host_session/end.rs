//! How sessions end, each with a clear state: asked, killed, limited, or by Claude's own fault.

use std::fs;

use crate::keeper::{Keeper, Place, SOON, data, is_alive};
use cib_protocol::keeper::KeeperReply;
use cib_protocol::session::State;
use cib_testkit::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::json;

fn last_stop(frames: &[cib_protocol::frame::Frame]) -> serde_json::Value {
    let stop = data(frames, "stop").pop().unwrap();
    assert_eq!(stop["last"], true);
    let last = frames.last().unwrap();
    assert_eq!(last.kind, "status", "the state is the last word");
    stop
}

#[test]
fn a_session_that_is_stopped_ends_in_order() {
    let place = Place::new();
    let mut keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    keeper.input("hello");
    keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
    assert_eq!(keeper.ask(&json!({"op": "stop"})), KeeperReply::Done);
    assert_eq!(keeper.wait_exit(), 0);
    assert_eq!(last_stop(&keeper.frames())["reason"], "exit");
    let meta = keeper.meta();
    assert_eq!(meta.state, State::Stopped);
    assert_eq!(meta.exit_code, Some(0));
    assert_eq!(meta.ended_in, Some(State::Idle));
    assert_eq!(meta.turns, 1);
    assert_eq!(meta.last_seq, keeper.frames().last().unwrap().seq);
}

#[test]
fn sigterm_to_the_keeper_interrupts_the_session() {
    let place = Place::new();
    let mut keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    keeper.process.signal(Signal::SIGTERM).unwrap();
    assert_eq!(keeper.wait_exit(), 0);
    assert_eq!(last_stop(&keeper.frames())["reason"], "shutdown");
    assert_eq!(keeper.meta().state, State::Interrupted);
}

#[test]
fn a_claude_that_ignores_sigterm_is_killed_by_the_deadline() {
    let mut place = Place::new();
    place.options = vec!["--grace-ms".into(), "600".into()];
    let mut keeper = place.start(&place.spec("deaf"));
    keeper.wait_state("idle");
    let claude = keeper.meta().claude_pid.unwrap();
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
    assert!(!is_alive(claude));
    assert_eq!(keeper.meta().state, State::Stopped);
    assert_eq!(keeper.meta().exit_code, Some(137));
}

#[test]
fn a_stop_that_kills_does_not_wait() {
    let place = Place::new();
    let mut keeper = place.start(&place.spec("deaf"));
    keeper.wait_state("idle");
    let claude = keeper.meta().claude_pid.unwrap();
    let begun = std::time::Instant::now();
    keeper.ask(&json!({"op": "stop", "kill": true}));
    assert_eq!(keeper.wait_exit(), 0);
    assert!(begun.elapsed().as_millis() < 4500, "the grace is 5 seconds");
    assert!(!is_alive(claude));
}

#[test]
fn a_claude_that_dies_at_once_leaves_its_last_words() {
    let place = Place::new();
    let mut keeper = place.spawn(&place.spec("dies"));
    assert_eq!(keeper.wait_exit(), 0);
    let stop = last_stop(&keeper.frames());
    assert_eq!(stop["reason"], "exit 3");
    assert_eq!(stop["detail"], "first line of a complaint\nthe last words");
    assert_eq!(keeper.meta().state, State::Failed);
    assert_eq!(keeper.meta().reason.as_deref(), Some("exit 3"));
}

#[test]
fn a_claude_that_hangs_at_its_start_fails_the_session() {
    let mut place = Place::new();
    place.options = ["--start-ms", "300", "--grace-ms", "300"]
        .map(String::from)
        .to_vec();
    let mut keeper = place.spawn(&place.spec("hangs"));
    assert_eq!(keeper.wait_exit(), 0);
    assert_eq!(
        last_stop(&keeper.frames())["reason"],
        "no answer from Claude"
    );
    assert_eq!(keeper.meta().state, State::Failed);
}

#[test]
fn a_claude_that_closes_its_output_and_lives_on_fails_the_session() {
    let mut place = Place::new();
    place.options = vec!["--grace-ms".into(), "300".into()];
    let mut keeper = place.start(&place.spec("closes"));
    assert_eq!(keeper.wait_exit(), 0);
    assert_eq!(
        last_stop(&keeper.frames())["reason"],
        "Claude closed its output"
    );
}

#[test]
fn a_claude_that_cannot_be_executed_is_named() {
    let mut place = Place::new();
    place.claude = "/nowhere/claude".into();
    let mut keeper = place.spawn(&place.spec("echo"));
    assert_eq!(keeper.wait_exit(), 70);
    let says = keeper.process.output();
    assert!(
        says.contains("cannot start /nowhere/claude: No such file"),
        "{says}"
    );
    assert_eq!(keeper.meta().state, State::Failed);
}

#[test]
fn nothing_that_claude_started_outlives_its_session() {
    let place = Place::new();
    let mut spec = place.spec("leaves");
    let left = place.path("left");
    spec["env"]["LEFT"] = left.to_str().unwrap().into();
    let mut keeper = place.start(&spec);
    keeper.wait_state("idle");
    wait_until(SOON, "the process left behind", || {
        fs::read_to_string(&left).is_ok_and(|t| t.ends_with('\n'))
    });
    let pid: u32 = fs::read_to_string(&left).unwrap().trim().parse().unwrap();
    assert!(is_alive(pid));
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
    assert!(!is_alive(pid));
}

#[test]
fn each_limit_ends_the_session_and_is_named() {
    for (limits, turns, name) in [
        (json!({"max_turns": 2}), 2, "limit max_turns"),
        (json!({"max_cost_usd": 0.5}), 2, "limit max_cost_usd"),
        (json!({"max_duration": 1}), 0, "limit max_duration"),
    ] {
        let place = Place::new();
        let mut spec = place.spec("echo");
        spec["limits"] = limits;
        let mut keeper = place.start(&spec);
        keeper.wait_state("idle");
        for turn in 1..=turns {
            keeper.input("again");
            wait_until(SOON, "a turn's end", || {
                data(&keeper.frames(), "stop").len() >= turn
            });
        }
        assert_eq!(keeper.wait_exit(), 0);
        assert_eq!(last_stop(&keeper.frames())["reason"], name);
        assert_eq!(keeper.meta().state, State::Stopped);
        assert_eq!(keeper.meta().reason.as_deref(), Some(name));
    }
}

#[test]
fn the_time_that_a_session_ran_before_counts_and_the_time_between_does_not() {
    let place = Place::new();
    let mut spec = place.spec("echo");
    spec["limits"] = json!({"max_duration": 3600});
    let mut keeper = place.start(&spec);
    keeper.wait_state("idle");
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
    let ran = |keeper: &Keeper| keeper.meta().resources.run_ms.unwrap();
    let first = ran(&keeper);
    assert!(first < 60_000, "{first}");

    // A machine without a clock of its own made it in 1970.
    let journal = keeper.dir.join("transcript.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let year = &keeper.meta().created_at.to_string()[..5];
    fs::write(&journal, text.replace(&format!("\"{year}"), "\"1970-")).unwrap();
    spec["resume"] = json!({"claude_session": spec["id"]});
    let mut again = place.start(&spec);
    wait_until(SOON, "it is idle again", || {
        again.meta().state == State::Idle
    });
    again.ask(&json!({"op": "stop"}));
    assert_eq!(again.wait_exit(), 0);
    assert_ne!(again.meta().reason.as_deref(), Some("limit max_duration"));
    assert!(ran(&again) > first);

    // An hour of running, on the other hand, is an hour.
    let text = fs::read_to_string(&journal).unwrap();
    let (counted, hour) = (ran(&again), 3_600_000);
    let told = |ms: u64| format!("\"run_ms\":{ms}");
    assert!(text.contains(&told(counted)));
    fs::write(&journal, text.replace(&told(counted), &told(hour))).unwrap();
    let mut last = place.spawn(&spec);
    assert_eq!(last.wait_exit(), 0);
    assert_eq!(last.meta().reason.as_deref(), Some("limit max_duration"));
}

#[test]
fn an_older_claude_is_started_without_the_option_that_it_refuses() {
    let place = Place::new();
    let mut spec = place.spec("old");
    spec["prompt"] = "hello".into();
    let keeper = place.start(&spec);
    keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
    let said = data(&keeper.frames(), "text.delta");
    let users: Vec<_> = said.iter().filter(|text| text["role"] == "user").collect();
    assert_eq!(users.len(), 1, "the prompt is told once");
}
