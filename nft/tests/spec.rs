//! The promise in `docs/spec/egress.md` names a test for each of its lines.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::path::{Path, PathBuf};

/// The crates whose tests the promise may name.
const CRATES: [&str; 5] = ["nft", "init", "upstream", "resolver", "testkit"];

/// Where in a crate a file of tests may be.
const PLACES: [&str; 6] = [
    "tests/{}.rs",
    "tests/host_init/{}.rs",
    "tests/services/{}.rs",
    "src/egress/{}.rs",
    "src/egress/{}/tests.rs",
    "src/{}/tests.rs",
];

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

/// The sources that a file of tests may be.
fn sources(file: &str) -> Vec<String> {
    let places = CRATES
        .iter()
        .flat_map(|name| PLACES.map(|place| root().join(name).join(place.replace("{}", file))));
    places
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect()
}

#[test]
fn every_test_that_the_promise_names_exists() {
    let promise = promise();
    let named = named(&promise);
    assert!(named.len() > 40, "the promise names {} tests", named.len());
    for (file, test) in named {
        let definition = format!("fn {test}(");
        assert!(
            sources(file)
                .iter()
                .any(|source| source.contains(&definition)),
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
