//! `docs/spec/cli.md` names a test behind each of its promises.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

#[test]
fn each_command_has_a_row_that_names_how_it_is_accepted() {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources(this.join("src")) + &sources(this.join("tests"));
    let page = fs::read_to_string(this.join("../docs/spec/cli.md")).unwrap();
    let rows = page.split("## Every command").nth(1).unwrap();
    let rows = rows.split("\n## ").next().unwrap();
    let rows: Vec<(&str, &str)> = rows
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split_once(" | ").unwrap())
        .collect();
    let help = Command::new(env!("CARGO_BIN_EXE_cib"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help");
    for command in commands {
        let quoted = format!("`{command}`");
        assert!(
            rows.iter().any(|(names, _)| names.contains(&quoted)),
            "{command} has no row"
        );
    }
    for (names, accepted) in rows {
        let words: Vec<&str> = accepted.split([' ', ',', ';', '`']).collect();
        let tests = words.iter().filter(|word| word.contains("::"));
        let mut count = 0;
        for test in tests {
            let name = test.rsplit("::").next().unwrap();
            assert!(sources.contains(&format!("fn {name}(")), "{names}: {test}");
            count += 1;
        }
        let is_promise = |word: &&&str| page.contains(&format!("\n| {word} | "));
        count += words
            .iter()
            .filter(|word| word.len() > 1)
            .filter(is_promise)
            .count();
        assert!(count > 0, "{names}");
    }
}
