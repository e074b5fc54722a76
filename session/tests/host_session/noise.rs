//! Output and clients that are not as they should be do no harm.

use std::fs;
use std::io::{BufRead, BufReader, Write};

use crate::keeper::{Keeper, Place, SOON, data};
use cib_protocol::keeper::{KeeperFault, KeeperReply};
use cib_testkit::wait::wait_until;
use serde_json::json;

#[test]
fn garbage_is_kept_as_it_came_and_the_session_goes_on() {
    let place = Place::new();
    let keeper = place.start(&place.spec("garbage"));
    keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
    let raw = data(&keeper.frames(), "raw");
    let beginnings: Vec<_> = raw.iter().map(|raw| raw["beginning"].as_str()).collect();
    assert_eq!(
        beginnings,
        [
            Some("this is no JSON"),
            Some("\u{fffd}\u{fffd}"),
            None,
            Some("[1,2")
        ]
    );
    assert_eq!(raw[2]["type"], "from.the.future");
    keeper.wait_frame("text.delta", |text| text["text"] == "still here");
}

#[test]
fn lines_of_fifty_megabytes_are_cut_and_memory_stays_small() {
    let place = Place::new();
    let keeper = place.start(&place.spec("huge"));
    keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
    let frames = keeper.frames();
    let result = &data(&frames, "tool.use.result")[0];
    assert_eq!(result["original_bytes"], 52_428_800);
    assert_eq!(result["output"].as_str().unwrap().len(), 1024 * 1024);
    let raw = &data(&frames, "raw")[0];
    assert_eq!(raw["type"], "oversized_line");
    assert_eq!(raw["original_bytes"], 52_428_800);
    keeper.wait_frame("text.delta", |text| text["text"] == "after the flood");
    let status = fs::read_to_string(format!("/proc/{}/status", keeper.process.pid())).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 40 * 1024, "at most {peak} KiB were resident");
}

#[test]
fn a_malformed_request_shuts_out_its_client_alone() {
    let place = Place::new();
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    let mut good = keeper.connect();
    let mut bad = keeper.connect();
    bad.write_all(b"{\"op\":\"fly\"}\n{\"op\":\"status\"}\n")
        .unwrap();
    let mut replies = BufReader::new(bad).lines();
    let reply: KeeperReply = serde_json::from_str(&replies.next().unwrap().unwrap()).unwrap();
    let KeeperReply::Refused { code, detail } = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(code, KeeperFault::BadRequest);
    assert!(detail.contains("unknown variant `fly`"), "{detail}");
    assert!(replies.next().is_none(), "the connection is closed");
    good.write_all(b"{\"op\":\"status\"}\n").unwrap();
    let mut line = String::new();
    BufReader::new(good).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"status\":"), "{line}");
}

#[test]
fn clients_that_never_read_or_never_finish_hold_nobody_up() {
    let place = Place::new();
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    let mut deaf = keeper.connect();
    deaf.set_nonblocking(true).unwrap();
    // Its replies fill every buffer on the way; then its requests are not read any more.
    while deaf.write(&b"{\"op\":\"status\"}\n".repeat(100)).is_ok() {}
    let mut slow = keeper.connect();
    slow.write_all(b"{\"op\":\"inp").unwrap();
    let gone = keeper.connect();
    drop(gone);
    keeper.input("hello");
    keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
    slow.write_all(b"ut\",\"text\":\"later\"}\n").unwrap();
    wait_until(SOON, "the second turn", || {
        data(&keeper.frames(), "stop").len() == 2
    });
}

#[test]
fn input_that_claude_does_not_take_is_refused_in_the_end_and_the_session_can_be_stopped() {
    let mut place = Place::new();
    place.options = vec!["--grace-ms".into(), "500".into()];
    let mut keeper = place.start(&place.spec("sleeps"));
    keeper.wait_frame("text.delta", |text| text["text"] == "about to read nothing");
    let text = "x".repeat(4 * 1024 * 1024);
    let mut refused = None;
    for _ in 0..10 {
        if let KeeperReply::Refused { code, .. } = keeper.ask(&json!({"op": "input", "text": text}))
        {
            refused = Some(code);
            break;
        }
    }
    assert_eq!(refused, Some(KeeperFault::Busy));
    assert_eq!(keeper.ask(&json!({"op": "stop"})), KeeperReply::Done);
    assert_eq!(keeper.wait_exit(), 0);
}

#[test]
fn a_request_that_is_too_long_is_refused() {
    let place = Place::new();
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    let mut client = keeper.connect();
    let part = vec![b'x'; 1024 * 1024];
    // The keeper answers and closes before everything is sent.
    while client.write_all(&part).is_ok() {}
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line).unwrap();
    assert!(line.contains("at most 8388608 bytes"), "{line}");
}

#[test]
fn a_spec_that_is_wrong_is_refused_without_a_trace_and_quotes_no_value() {
    let place = Place::new();
    for (change, says) in [
        (json!({"workdir": "work"}), "is not an absolute path"),
        (
            json!({"workdir": "/no/such/dir"}),
            "is no directory of this box",
        ),
        (
            json!({"limits": {"max_turns": "hunter2"}}),
            "no session spec on standard input",
        ),
    ] {
        let mut spec = place.spec("echo");
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let mut keeper = place.spawn(&spec);
        assert_eq!(keeper.wait_exit(), 78);
        let output = keeper.process.output();
        assert!(output.contains(says), "{output}");
        assert!(!output.contains("hunter2"), "{output}");
        assert!(!keeper.dir.join("transcript.jsonl").exists());
    }
}

/// A field of a keeper's proportional memory in KiB.
fn memory(keeper: &Keeper, field: &str) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", keeper.process.pid());
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_keeper_that_sleeps_is_small_and_wakes_up_again() {
    for limits in [json!({}), json!({"memory": 1_u64 << 40, "pids": 1000})] {
        let place = Place::new();
        let mut spec = place.spec("echo");
        spec["limits"] = limits;
        let keeper = place.start(&spec);
        keeper.wait_state("idle");
        wait_until(SOON, "a keeper of 1.5 MB", || {
            memory(&keeper, "Pss:") <= 1536
        });
        keeper.input("it wakes up again");
        keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
    }
}

#[test]
fn what_a_keeper_that_streams_allocates_stays_within_four_megabytes() {
    let place = Place::new();
    let keeper = place.start(&place.spec("pours"));
    keeper.wait_state("idle");
    let journal = keeper.dir.join("transcript.jsonl");
    let (mut most, mut looks) = (0, 0);
    keeper.input("as fast as it can");
    wait_until(SOON, "twenty megabytes of frames", || {
        // Without its code, which is several times as large in a build for tests; the whole is
        // measured in a real box (`box_api`).
        most = most.max(memory(&keeper, "Pss_Anon:"));
        looks += 1;
        fs::metadata(&journal).unwrap().len() > 20_000_000
    });
    assert!(looks > 5, "it was looked at while it streamed");
    assert!(most <= 4096, "a keeper that streams takes {most} KiB");
}
