//! The journal's promises under torn writes: what was whole stays as it was, what was not is
//! gone, and `seq` goes on without a gap.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use cib_protocol::frame::{Data, Frame, Text};
use cib_protocol::time::Timestamp;
use cib_session::journal::{FILE, Journal, OpenError, SyncPolicy};
use proptest::prelude::*;
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(7);

fn open(dir: &Path) -> (Journal, u64) {
    let (journal, opened) = Journal::open(dir, ID, SyncPolicy::None).unwrap();
    assert_eq!(journal.last_seq(), opened.last_seq);
    (journal, opened.torn)
}

fn text(text: &str) -> Data {
    Data::Text(Text {
        text: text.to_owned(),
        ..Text::default()
    })
}

fn append(journal: &mut Journal, texts: &[String]) {
    for words in texts {
        journal.push(Timestamp::from_millis(0), &text(words));
    }
    journal.flush().unwrap();
}

/// The texts of all frames, which have to be in sequence.
fn read(dir: &Path) -> Vec<String> {
    let lines = fs::read_to_string(dir.join(FILE)).unwrap();
    assert!(lines.is_empty() || lines.ends_with('\n'));
    let frames = lines
        .lines()
        .map(|line| serde_json::from_str::<Frame>(line).unwrap());
    frames
        .zip(1..)
        .map(|(frame, seq)| {
            assert_eq!(frame.seq, seq);
            match frame.decode().unwrap() {
                Some(Data::Text(text)) => text.text,
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[a-z\n\"\\\\\u{e9}\u{1f600}]{0,30}", 0..12)
}

proptest! {
    #[test]
    fn a_journal_cut_at_any_byte_keeps_its_whole_frames_and_goes_on(
        before in texts(),
        after in texts(),
        cut in 0.0f64..=1.0,
        dirt in proptest::collection::vec(any::<u8>().prop_filter("a newline ends a line", |b| *b != b'\n'), 0..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        append(&mut open(dir.path()).0, &before);
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a short length")]
        bytes.truncate((bytes.len() as f64 * cut) as usize);
        let whole = bytes.iter().filter(|&&byte| byte == b'\n').count();
        bytes.extend_from_slice(&dirt);
        fs::write(&path, &bytes).unwrap();

        let (mut journal, torn) = open(dir.path());
        let rest = bytes.len() - bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        prop_assert_eq!(torn, rest as u64);
        append(&mut journal, &after);
        let expected: Vec<_> = before[..whole].iter().chain(&after).cloned().collect();
        prop_assert_eq!(read(dir.path()), expected);
    }

    #[test]
    fn whole_lines_of_dirt_behind_the_last_frame_go_too(
        before in texts().prop_filter("a frame has to be there", |texts| !texts.is_empty()),
        dirt in proptest::collection::vec("[^{]{0,20}", 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        append(&mut open(dir.path()).0, &before);
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        // Blocks that a file system did not write before the power went read as zeros.
        bytes.extend_from_slice(format!("{}\n\0\0\0\n", dirt.join("\n")).as_bytes());
        fs::write(&path, &bytes).unwrap();
        open(dir.path());
        prop_assert_eq!(read(dir.path()), before);
    }

    #[test]
    fn frames_do_not_depend_on_when_they_are_written(
        batches in proptest::collection::vec(texts(), 0..5),
        every in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let policy = if every { SyncPolicy::Frame } else { SyncPolicy::Batch };
        let (mut journal, _) = Journal::open(dir.path(), ID, policy).unwrap();
        for batch in &batches {
            append(&mut journal, batch);
        }
        prop_assert_eq!(read(dir.path()), batches.concat());
    }
}

#[test]
fn a_long_line_is_found_across_the_steps_of_the_search() {
    let dir = tempfile::tempdir().unwrap();
    let long = vec!["x".repeat(200_000), "y".repeat(70_000)];
    append(&mut open(dir.path()).0, &long);
    let (mut journal, torn) = open(dir.path());
    assert_eq!((journal.last_seq(), torn), (2, 0));
    append(&mut journal, &["z".to_owned()]);
    assert_eq!(read(dir.path()).len(), 3);
}

#[test]
fn a_file_of_lines_that_are_no_frames_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    fs::write(&path, "dear diary\n").unwrap();
    let error = Journal::open(dir.path(), ID, SyncPolicy::None).unwrap_err();
    assert!(matches!(error, OpenError::End { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary\n");
}
