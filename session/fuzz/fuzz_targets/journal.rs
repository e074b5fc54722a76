//! A journal's file as a crash may leave it: opening it never fails in a way that loses a
//! whole frame, and what is appended afterwards is in sequence.

#![no_main]

use cib_protocol::frame::{Data, Text};
use cib_protocol::time::Timestamp;
use cib_session::journal::{FILE, Journal, SyncPolicy};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join(FILE), bytes).expect("a file");
    let Ok((mut journal, opened)) = Journal::open(dir.path(), Uuid::nil(), SyncPolicy::None) else {
        return;
    };
    let seq = journal.push(Timestamp::from_millis(0), &Data::Text(Text::default()));
    assert_eq!(seq, opened.last_seq + 1);
    journal.flush().expect("room on the disk");
    let text = std::fs::read(dir.path().join(FILE)).expect("the journal");
    assert_eq!(text.last(), Some(&b'\n'));
});
