//! `docs/spec/cli.md` names a test behind each of its promises.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// All Rust sources below a folder, as one text.
fn sources(folder: PathBuf) -> String {
    let mut text = String::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

#[test]
fn each_promise_names_a_test_that_there_is() {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources(this.join("src")) + &sources(this.join("tests"));
    let page = fs::read_to_string(this.join("../docs/spec/cli.md")).unwrap();
    let mut promises = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let is_promise = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.ends_with(|c: char| c.is_ascii_digit())
        };
        if !is_promise(cells[0]) {
            continue;
        }
        promises += 1;
        let last = cells[cells.len() - 1];
        let named: Vec<&str> = last
            .split('`')
            .skip(1)
            .step_by(2)
            .filter_map(|code| code.rsplit("::").next())
            .collect();
        assert!(
            !named.is_empty() || last.contains("these"),
            "no test behind: {row}"
        );
        for test in named {
            assert!(
                sources.contains(&format!("fn {test}(")),
                "there is no test {test}"
            );
        }
    }
    assert!(promises > 20, "{promises}");
}
