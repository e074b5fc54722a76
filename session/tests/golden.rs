//! Every capture of the real CLI parses to the frames that stand in `golden/`.
//!
//! After a change that is meant, `CIB_UPDATE_GOLDEN=1 cargo test -p cib-session --test golden`
//! writes the files anew, and the difference is what the change does to clients.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::PathBuf;

use cib_protocol::frame::Data;
use common::replay::replay;

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

#[test]
fn every_capture_of_the_stream_parses_to_its_golden_frames() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(dir("fixtures")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if ["transcript_", "hooks_", "statusline_"]
            .iter()
            .any(|p| name.starts_with(p))
        {
            continue;
        }
        let seen = shown(&replay(&fs::read_to_string(&path).unwrap()).frames);
        let golden = dir("golden").join(&name);
        if std::env::var_os("CIB_UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &seen).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != seen {
            wrong.push(name);
        }
    }
    assert!(
        wrong.is_empty(),
        "these captures give other frames than before: {wrong:?}"
    );
}
