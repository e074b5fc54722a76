//! What comes from outside, by the corpus of the fuzzer and mutations of it.

use std::path::PathBuf;

#[path = "../fuzz/targets.rs"]
mod targets;

/// Pieces that make a mutation more than noise.
const WORDS: &[&str] = &[
    "\n",
    "\u{0}",
    "{",
    "}",
    "\"",
    "\\u0000",
    "\\ud800",
    "1e400",
    "-1",
    "18446744073709551615",
    "null",
    "[[[[[[[[",
    "\"type\":\"assistant\"",
    "\"type\":\"user\"",
    "\"type\":\"system\"",
    "\"type\":\"result\"",
    "\"type\":\"stream_event\"",
    "\"subtype\":\"init\"",
    "\"parent_tool_use_id\":\"toolu_1\"",
    "\"content\":\"",
    "\"hook_event_name\":\"PreToolUse\"",
    "\"hook_event_name\":\"PermissionRequest\"",
    "\"tool_name\":\"AskUserQuestion\"",
    "\"status\":\"idle\"",
    "{\"session\":\"00000000-0000-0000-0000-000000000000\",\"seq\":3,",
    "\"seq\":0",
];

/// Tries a target with its corpus.
fn try_all(name: &str, target: fn(&[u8])) {
    let dir: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus", name]
        .iter()
        .collect();
    cib_testkit::fuzz::try_all(&dir, WORDS, target);
}

#[test]
fn whatever_the_cli_prints_comes_to_the_same_frames_however_it_is_cut() {
    try_all("stream", targets::stream);
}

#[test]
fn foreign_json_is_read_as_a_strict_parser_reads_it_or_further() {
    try_all("json", targets::json);
}

#[test]
fn no_transcript_and_no_state_file_makes_the_keeper_panic() {
    try_all("transcript", targets::transcript);
}

#[test]
fn no_hook_is_left_without_an_answer_unless_it_asks_the_user() {
    try_all("hook", targets::hook);
}

#[test]
fn no_journal_that_is_opened_loses_a_whole_frame() {
    try_all("journal", targets::journal);
}
