//! What comes from outside, as functions from bytes: for the fuzzer, and for the tests that try
//! its corpus on any toolchain. Each checks what has to hold whatever the bytes are.

use cib_foreign::json;
use cib_protocol::frame::{Data, Frame, Meta, Text};
use cib_protocol::time::Timestamp;
use cib_session::journal::{FILE, Journal, SyncPolicy};
use cib_session::ledger::Ledger;
use cib_session::stream_json::lines::{Limits, Line, Splitter};
use cib_session::stream_json::{self, Stream};
use cib_session::tty::events::Abilities;
use cib_session::tty::{self, Tty};
use uuid::Uuid;

/// Bytes kept of a tool's output.
const CAP: usize = 64;

/// Bytes from the CLI's standard output: however they are cut, the same frames come of them.
pub(super) fn stream(bytes: &[u8]) {
    let whole = streamed(&[bytes]);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert_eq!(whole, streamed(&[first, second]));
    for data in &whole {
        line_of(data);
    }
}

fn streamed(pieces: &[&[u8]]) -> Vec<Data> {
    let mut lines = Splitter::new(Limits::for_output(CAP));
    let mut stream = Stream::new(Ledger::starting(0, Meta::default()), 0.0);
    let mut out = stream_json::Out::default();
    for piece in pieces {
        lines.feed(piece, |line| stream.line(&line, 1, &mut out));
    }
    lines.finish(|line| stream.line(&line, 1, &mut out));
    out.frames
}

/// Foreign JSON: what is read of it is what a strict parser reads, where that reads it at all.
pub(super) fn json(bytes: &[u8]) {
    let text = json::text(bytes);
    let ours = json::parse(&text);
    if let Ok(theirs) = serde_json::from_str::<serde_json::Value>(&text) {
        let ours = ours.as_ref().expect("what is strict JSON is JSON");
        assert_eq!(ours.is_object(), theirs.is_object());
        assert_eq!(ours.as_str(), theirs.as_str());
    }
    if let Ok(value) = &ours {
        let line = json::one_line(&text);
        assert!(!line.contains(['\n', '\r']), "one line");
        // What is too deep is told as it was written, its blanks included.
        if bytes.iter().filter(|byte| b"[{".contains(byte)).count() <= json::DEEPEST {
            assert_eq!(json::parse(&line).as_ref(), Ok(value));
        }
        serde_json::from_str::<serde_json::Value>(&value.to_string()).expect("strict JSON");
    }
    if let Some(object) = json::Object::read(&text) {
        for (name, part) in object.fields() {
            let _ = (object.count(name), object.string(name), json::items(part));
        }
    }
}

/// Lines of a transcript, and the same bytes as a state file.
pub(super) fn transcript(bytes: &[u8]) {
    let mut lines = Splitter::new(Limits::for_output(CAP));
    let mut tty = terminal();
    let mut out = tty::Out::default();
    lines.feed(bytes, |line| tty.transcript(&line, 1, &mut out));
    tty.state_file(&String::from_utf8_lossy(bytes), 2, &mut out);
    settle(tty, out);
}

/// Inputs of hooks, one a line. Each is answered unless it asks the user.
pub(super) fn hook(bytes: &[u8]) {
    let mut tty = terminal();
    let mut out = tty::Out::default();
    for (id, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let before = out.answers.len();
        tty.hook(id, &Line::whole(line), id, &mut out);
        let is_answered = out.answers[before..].iter().any(|(to, _)| *to == id);
        let asks = matches!(
            out.frames.last(),
            Some(Data::AskQuestion(_) | Data::Status(_))
        );
        assert!(is_answered || asks, "a hook waits for nobody");
    }
    settle(tty, out);
}

fn terminal() -> Tty {
    let ledger = Ledger::starting(0, Meta::default());
    Tty::new(ledger, Abilities::newest(), Timestamp::from_millis(0), 0.0)
}

/// Lets everything that is due happen, which has an end.
fn settle(mut tty: Tty, mut out: tty::Out) {
    let mut steps = 0;
    while let Some(at) = tty.deadline() {
        tty.tick(at, &mut out);
        steps += 1;
        assert!(steps < 10_000, "something is due for ever");
    }
    for data in &out.frames {
        line_of(data);
    }
}

/// A journal's file as a crash may leave it: opening it never takes a whole frame away, and
/// what is appended afterwards is in sequence.
pub(super) fn journal(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(FILE);
    std::fs::write(&path, bytes).expect("a file");
    let Ok((mut journal, opened)) = Journal::open(dir.path(), Uuid::nil(), SyncPolicy::None) else {
        assert_eq!(
            std::fs::read(&path).expect("the journal"),
            bytes,
            "it is left alone"
        );
        return;
    };
    let seq = journal.push(Timestamp::from_millis(0), &Data::Text(Text::default()));
    assert_eq!(seq, opened.last_seq + 1);
    journal.flush().expect("room on the disk");
    let text = std::fs::read(&path).expect("the journal");
    assert_eq!(text.last(), Some(&b'\n'));
    let kept = bytes.len() - usize::try_from(opened.torn).expect("a length");
    assert_eq!(text[..kept], bytes[..kept], "what was whole is as it was");
    let last = text[kept..].strip_suffix(b"\n").expect("a line");
    let frame: Frame = serde_json::from_slice(last).expect("a frame");
    assert_eq!(frame.seq, seq);
}

/// A payload is one line, and the frame in it has the payload's kind.
fn line_of(data: &Data) {
    let mut line = Vec::new();
    Frame::write_line(&mut line, Uuid::nil(), 1, Timestamp::from_millis(0), data).expect("JSON");
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    let frame: Frame = serde_json::from_slice(&line).expect("a frame");
    assert_eq!(frame.kind, data.kind());
}
