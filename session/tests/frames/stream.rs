//! The stream driver on input that is cut, split and damaged at random.

use std::fs;

use cib_protocol::frame::{Data, Meta, Role};
use cib_session::ledger::Ledger;
use cib_session::stream_json::lines::{Limits, Splitter};
use cib_session::stream_json::{Out, Stream};
use proptest::prelude::*;
use serde_json::Value;

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).unwrap()
}

/// What the CLI wrote in a capture, as the bytes that it wrote.
fn written(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in fixture(name).lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        match value.get("msg") {
            Some(message) if value["dir"] == "out" => bytes.extend(message.to_string().bytes()),
            Some(_) => continue,
            None => bytes.extend(line.bytes()),
        }
        bytes.push(b'\n');
    }
    bytes
}

fn play<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Vec<Data> {
    let mut splitter = Splitter::new(limits);
    let mut stream = Stream::new(Ledger::starting(0, Meta::default()), 0.0);
    let mut out = Out::default();
    for chunk in chunks {
        splitter.feed(chunk, |line| stream.line(&line, 1, &mut out));
    }
    splitter.finish(|line| stream.line(&line, 1, &mut out));
    out.frames
}

fn assistant_text(frames: &[Data]) -> String {
    frames
        .iter()
        .filter_map(|frame| match frame {
            Data::Text(text) if text.role == Role::Assistant && text.agent.is_none() => {
                Some(text.text.as_str())
            }
            _ => None,
        })
        .collect()
}

const CAPTURES: [&str; 4] = ["p_thinktool", "p_agent", "p_todo", "v112_bidi"];

#[test]
fn streamed_text_is_told_once() {
    for name in [
        "golden_bidi",
        "golden_resume",
        "p_bash",
        "p_think",
        "v112_bidi",
    ] {
        let streamed = play([written(name).as_slice()], Limits::for_output(1 << 20));
        let whole: Vec<u8> = String::from_utf8(written(name))
            .unwrap()
            .lines()
            .filter(|line| !line.contains(r#""type":"stream_event""#))
            .flat_map(|line| format!("{line}\n").into_bytes())
            .collect();
        let whole = play([whole.as_slice()], Limits::for_output(1 << 20));
        assert_eq!(
            assistant_text(&streamed),
            assistant_text(&whole),
            "in {name}"
        );
    }
}

#[test]
fn whatever_a_line_is_it_gives_at_most_one_raw_frame() {
    let unknown = [
        r#"{"type":"from.the.future","a":[1,2]}"#,
        r#"{"type":"system","subtype":"from.the.future"}"#,
        r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"citations_delta"}}}"#,
        r#"{"type":"assistant","message":{"content":"not a list"}}"#,
        r#"{"type":5}"#,
        r#"{"subtype":"init"}"#,
        r#""just text""#,
        "null",
        "{",
    ];
    for line in unknown {
        let frames = play([line.as_bytes()], Limits::for_output(1 << 20));
        assert!(
            matches!(frames.as_slice(), [Data::Raw(_)]),
            "{line} gave {frames:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_do_not_depend_on_how_the_output_is_split(
        which in 0..CAPTURES.len(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
        cap in prop_oneof![Just(1usize << 20), Just(64)],
    ) {
        let bytes = written(CAPTURES[which]);
        let mut cuts: Vec<_> = cuts.iter().map(|at| at.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let limits = Limits::for_output(cap);
        let split = play(cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]), limits);
        prop_assert_eq!(split, play([bytes.as_slice()], limits));
    }

    #[test]
    fn damage_costs_no_frame_of_another_line(
        which in 0..CAPTURES.len(),
        at in any::<proptest::sample::Index>(),
        with in any::<u8>().prop_filter("a newline makes two lines of one", |byte| *byte != b'\n'),
    ) {
        let mut bytes = written(CAPTURES[which]);
        let whole = play([bytes.as_slice()], Limits::for_output(1 << 20));
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != b'\n');
        bytes[at] = with;
        let damaged = play([bytes.as_slice()], Limits::for_output(1 << 20));
        // One line more or less changes at most its own frames and those that say that the
        // same thing has begun or ended.
        let kept = damaged.iter().filter(|frame| whole.contains(frame)).count();
        prop_assert!(kept + 8 >= whole.len(), "{} of {} frames are left", kept, whole.len());
    }

    #[test]
    fn no_bytes_make_it_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8)) {
        play(chunks.iter().map(Vec::as_slice), Limits { string: 16, line: 64 });
    }

    #[test]
    fn no_json_makes_it_panic(
        kind in prop_oneof![Just("system"), Just("user"), Just("assistant"), Just("result"), Just("stream_event"), Just("control_request"), Just("control_response")],
        field in prop_oneof![Just("message"), Just("event"), Just("subtype"), Just("request"), Just("response"), Just("request_id")],
        value in "[\\[\\]{}:,\"a-z0-9 ]{0,40}",
    ) {
        let line = format!(r#"{{"type":"{kind}","{field}":{value}}}"#);
        play([line.as_bytes()], Limits::for_output(1 << 20));
    }
}
