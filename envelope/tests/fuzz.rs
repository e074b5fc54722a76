//! What strangers may send and what somebody on the line may make of an answer, by the corpus of
//! the fuzzer and mutations of it.

use std::path::PathBuf;

use cib_envelope::fuzz;

/// Pieces that make a mutation more than noise.
const WORDS: &[&str] = &[
    "CIB3\u{3}\u{1}\u{0}\u{0}",
    "CIB3\u{4}\u{1}\u{0}\u{0}",
    "CIB3\u{6}\u{1}\u{0}\u{0}",
    "\u{0}\u{0}\u{0}\u{0}",
    "\u{1}\u{0}",
    "\u{7f}\u{7f}",
    "/api/sessions",
];

/// Tries a target with its corpus.
fn try_all(name: &str, target: fn(&[u8])) {
    let dir: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus", name]
        .iter()
        .collect();
    cib_testkit::fuzz::try_all(&dir, WORDS, target);
}

#[test]
fn no_message_of_a_stranger_opens_or_makes_a_session() {
    try_all("message", fuzz::message);
}

#[test]
fn no_bytes_that_were_not_sealed_are_read_as_an_answer() {
    try_all("content", fuzz::content);
}
