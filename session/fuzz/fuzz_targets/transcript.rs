//! Lines of a transcript, and the same bytes as a state file.

#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::transcript(bytes));
