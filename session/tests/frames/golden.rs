//! Every capture of the real CLI parses to the frames that stand in `golden/`.
//!
//! After a change that is meant, `CIB_UPDATE_GOLDEN=1 cargo test -p cib-session --test frames`
//! writes the files anew, and the difference is what the change does to clients.

use std::fs;
use std::path::PathBuf;

use crate::replay::replay;
use crate::terminal;
use cib_protocol::frame::Data;

fn dir(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", name].iter().collect()
}

/// One frame a line, so that a difference is a frame.
fn shown(frames: &[Data]) -> String {
    let mut text = String::new();
    for frame in frames {
        text.push_str(&serde_json::to_string(frame).unwrap());
        text.push('\n');
    }
    text
}

/// Compares with the golden file, or writes it anew. Returns whether they differ.
fn differs(name: &str, frames: &[Data]) -> bool {
    let seen = shown(frames);
    let golden = dir("golden").join(name);
    if std::env::var_os("CIB_UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &seen).unwrap();
        return false;
    }
    fs::read_to_string(&golden).unwrap_or_default() != seen
}

fn fixture(name: &str) -> String {
    fs::read_to_string(dir("fixtures").join(name)).unwrap()
}

#[test]
fn every_capture_of_the_stream_parses_to_its_golden_frames() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(dir("fixtures")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let other = ["transcript_", "hooks_", "statusline_"];
        if other.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        if differs(&name, &replay(&fixture(&name)).frames) {
            wrong.push(name);
        }
    }
    assert!(
        wrong.is_empty(),
        "these captures give other frames than before: {wrong:?}"
    );
}

#[test]
fn every_capture_of_the_terminal_parses_to_its_golden_frames() {
    let captures = [
        ("2.1.330", "hooks_tui_command", "transcript_tui_8833303a"),
        ("2.1.330", "", "transcript_p_todo_d5144d4a"),
        ("2.1.112", "", "transcript_v112_p"),
        ("2.1.112", "", "transcript_v112_tui"),
    ];
    for (version, hooks, transcript) in captures {
        let hooks = match hooks {
            "" => String::new(),
            name => fixture(&format!("{name}.jsonl")),
        };
        let name = format!("{transcript}.jsonl");
        let frames = terminal::replay(version, &hooks, &fixture(&name));
        assert!(
            !differs(&name, &frames),
            "{name} gives other frames than before"
        );
    }
}
