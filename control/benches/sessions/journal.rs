//! Frames with the time of their writing in them.

use std::sync::OnceLock;
use std::time::Instant;

use cib_protocol::frame::{Data, Frame, Text};
use cib_protocol::session::SessionId;
use cib_protocol::time::Timestamp;

/// What stands before the time in a frame's text.
pub(super) const STAMP: &str = "written at ";

/// Text of about the length that Claude streams.
const FILLER: &str = "and some words around it";

/// The moment that times are counted from.
pub(super) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Appends one line.
pub(super) fn line(lines: &mut Vec<u8>, session: SessionId, seq: u64) {
    let now = epoch().elapsed().as_nanos();
    let data = Data::Text(Text {
        text: format!("{STAMP}{now} {FILLER}"),
        ..Text::default()
    });
    Frame::write_line(lines, session, seq, Timestamp::now(), &data).unwrap();
}
