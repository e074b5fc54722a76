//! The promise in `docs/spec/egress.md` names a test for each of its lines.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::path::{Path, PathBuf};

/// The crates whose tests the promise may name.
const CRATES: [&str; 3] = ["nft", "init", "testkit"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn promise() -> String {
    std::fs::read_to_string(root().join("docs/spec/egress.md")).unwrap()
}

/// What is written as a file and a test of it, but for the page's own word for that.
fn named(line: &str) -> Vec<(&str, &str)> {
    line.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|named| *named != ("file", "test"))
        .collect()
}

/// The source of a file of tests.
fn source(file: &str) -> Option<String> {
    let candidates = CRATES.map(|name| root().join(name).join(format!("tests/{file}.rs")));
    candidates
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
}

#[test]
fn every_test_that_the_promise_names_exists() {
    let promise = promise();
    let named = named(&promise);
    assert!(named.len() > 40, "the promise names {} tests", named.len());
    for (file, test) in named {
        let source = source(file).unwrap_or_else(|| panic!("there is no {file}.rs"));
        assert!(
            source.contains(&format!("fn {test}(")),
            "{file}.rs has no test {test}"
        );
    }
}

#[test]
fn every_line_of_the_promise_names_a_test() {
    let promise = promise();
    let is_line = |line: &&str| {
        let number = line
            .strip_prefix("| ")
            .and_then(|rest| rest.split(' ').next());
        number.is_some_and(|number| {
            number.starts_with(|letter: char| letter.is_ascii_uppercase())
                && number[1..].parse::<u8>().is_ok()
        })
    };
    let lines: Vec<_> = promise.lines().filter(is_line).collect();
    assert!(lines.len() > 30, "the promise has {} lines", lines.len());
    for line in lines {
        assert!(!named(line).is_empty(), "no test: {line}");
    }
}
