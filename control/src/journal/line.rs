//! The head of a frame: what a reader has to know of a line that it otherwise passes on.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

/// What stands in front of a frame's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Position in the journal.
    pub seq: u64,
    /// What the data is.
    pub kind: Cow<'a, str>,
}

/// As the fields stand in the line that every keeper writes: `session` first and 36 bytes long.
const SEQ: Range<usize> = 48..56;

/// Reads the head of a line, which may be cut anywhere behind the `kind`. `None` if the bytes
/// are not the beginning of a frame.
#[must_use]
pub fn head(line: &[u8]) -> Option<Head<'_>> {
    written(line).or_else(|| parsed(line))
}

/// Reads the spelling that keepers write, without parsing JSON: tens of thousands of frames a
/// second pass through here once for every reader.
fn written(line: &[u8]) -> Option<Head<'_>> {
    if !line.starts_with(br#"{"session":""#) || line.get(SEQ)? != br#"","seq":"# {
        return None;
    }
    let rest = &line[SEQ.end..];
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let seq = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let rest = rest[digits..].strip_prefix(br#","ts":""#)?;
    let rest = &rest[memchr::memchr(b'"', rest)?..];
    let rest = rest.strip_prefix(br#"","kind":""#)?;
    let kind = &rest[..memchr::memchr(b'"', rest)?];
    if kind.contains(&b'\\') {
        return None;
    }
    Some(Head {
        seq,
        kind: Cow::Borrowed(std::str::from_utf8(kind).ok()?),
    })
}

/// Reads any other spelling; the line has to be whole.
fn parsed(line: &[u8]) -> Option<Head<'_>> {
    #[derive(Deserialize)]
    struct Loose<'a> {
        seq: u64,
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    let loose: Loose<'_> = serde_json::from_slice(line).ok()?;
    Some(Head {
        seq: loose.seq,
        kind: loose.kind,
    })
}

#[cfg(test)]
mod tests {
    use cib_protocol::frame::{Data, Frame, Text};
    use cib_protocol::session::Uuid;
    use cib_protocol::time::Timestamp;

    use super::*;

    fn frame(seq: u64, text: &str) -> Vec<u8> {
        let data = Data::Text(Text {
            text: text.to_owned(),
            ..Text::default()
        });
        let frame = Frame::new(Uuid::nil(), seq, Timestamp::from_millis(7), &data).unwrap();
        serde_json::to_vec(&frame).unwrap()
    }

    #[test]
    fn a_keepers_line_is_read_without_parsing_even_when_it_is_cut() {
        let line = frame(42, "x");
        let head = written(&line).unwrap();
        assert_eq!((head.seq, &*head.kind), (42, "text.delta"));
        assert_eq!(written(&line[..line.len() - 20]), Some(head));
    }

    #[test]
    fn another_order_of_fields_is_parsed() {
        let line = br#"{"kind":"a\u002eb","data":{},"seq":7}"#;
        let head = head(line).unwrap();
        assert_eq!((head.seq, &*head.kind), (7, "a.b"));
    }

    #[test]
    fn what_is_no_frame_has_no_head() {
        for line in [
            &b""[..],
            b"garbage",
            b"{}",
            b"{\"seq\":-1,\"kind\":\"a\"}",
            &frame(1, "")[..60],
        ] {
            assert_eq!(head(line), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn both_ways_of_reading_agree(seq: u64, text: String) {
            let line = frame(seq, &text);
            proptest::prop_assert_eq!(written(&line), parsed(&line));
        }

        #[test]
        fn no_bytes_make_it_panic(line: Vec<u8>) {
            let _ = head(&line);
        }
    }
}
