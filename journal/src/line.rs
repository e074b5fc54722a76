//! The head of a frame: what a reader has to know of a line that it otherwise passes on, and
//! whether the line may be passed on at all.

use std::borrow::Cow;
use std::ops::Range;

use cib_protocol::session::SessionId;
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    let loose = loose(line)?;
    Some(Head {
        seq: loose.seq,
        kind: loose.kind,
    })
}

#[derive(Deserialize)]
struct Loose<'a> {
    #[serde(default)]
    session: Option<SessionId>,
    seq: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

fn loose(line: &[u8]) -> Option<Loose<'_>> {
    serde_json::from_str(std::str::from_utf8(line).ok()?).ok()
}

/// Why a line is no frame of a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It holds bytes that would be something else in an event stream.
    #[error("a line has control characters in it")]
    Control,
    /// It is no UTF-8.
    #[error("a line is no text")]
    NotText,
    /// It is no JSON object, or one without a frame's head.
    #[error("a line is no frame")]
    NotAFrame,
    /// It says that it is another session's.
    #[error("a line is another session's")]
    OtherSession,
}

/// What the lines of one session have in common.
#[derive(Clone, Debug)]
pub struct Owner {
    session: SessionId,
    /// How every line begins that its keepers write.
    start: String,
}

impl Owner {
    /// The lines of a session.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            start: format!(r#"{{"session":"{session}","seq":"#),
        }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Reads the head of a whole line, if it is this session's. What the data holds is not
    /// looked at, so this is no answer to whether the line may be passed on.
    ///
    /// # Errors
    /// Why it is none.
    pub fn head<'a>(&self, line: &'a [u8]) -> Result<Head<'a>, Flaw> {
        if line.starts_with(self.start.as_bytes())
            && let Some(head) = written(line)
        {
            return is_word(&head.kind).then_some(head).ok_or(Flaw::NotAFrame);
        }
        let loose = loose(line).ok_or(Flaw::NotAFrame)?;
        if loose.session != Some(self.session) {
            return Err(Flaw::OtherSession);
        }
        if !is_word(&loose.kind) {
            return Err(Flaw::NotAFrame);
        }
        Ok(Head {
            seq: loose.seq,
            kind: loose.kind,
        })
    }

    /// Reads the head of a whole line that is to be passed on as it is: one JSON object of this
    /// session, without anything that could end the line early somewhere else.
    ///
    /// # Errors
    /// Why it must not be.
    pub fn check<'a>(&self, line: &'a [u8]) -> Result<Head<'a>, Flaw> {
        // JSON has no need of them: in a string they are escaped.
        if line.iter().any(|&byte| byte < b' ' || byte == 0x7f) {
            return Err(Flaw::Control);
        }
        let text = std::str::from_utf8(line).map_err(|_| Flaw::NotText)?;
        let head = self.head(line)?;
        if !text.starts_with('{') || serde_json::from_str::<IgnoredAny>(text).is_err() {
            return Err(Flaw::NotAFrame);
        }
        Ok(head)
    }
}

/// Whether a kind is spelled as kinds are, and so can stand in an event stream.
fn is_word(kind: &str) -> bool {
    (1..=64).contains(&kind.len())
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
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

    const ID: SessionId = Uuid::nil();

    fn line(middle: &str) -> Vec<u8> {
        let head = r#"{"session":"00000000-0000-0000-0000-000000000000","seq":3,"ts":"x","#;
        format!("{head}{middle}").into_bytes()
    }

    #[test]
    fn a_keepers_line_is_passed_on() {
        let line = frame(42, "a\nb\r\u{7f}\u{2028}\u{1f600}");
        let owner = Owner::new(ID);
        // The DEL is the one control character that serde leaves as it is.
        assert_eq!(owner.check(&line).unwrap_err(), Flaw::Control);
        let line = frame(42, "a\nb\r\u{2028}\u{1f600}");
        assert_eq!(owner.check(&line).unwrap().seq, 42);
    }

    #[test]
    fn nothing_is_passed_on_that_could_forge_an_event() {
        let owner = Owner::new(ID);
        for (forged, flaw) in [
            (line("\"kind\":\"raw\",\"data\":1}\rid: 9"), Flaw::Control),
            (line("\"kind\":\"raw\",\r\"data\":1}"), Flaw::Control),
            (line("\"kind\":\"raw\",\"data\":\"\0\"}"), Flaw::Control),
            (line(r#""kind":"a\nevent: end","data":1}"#), Flaw::NotAFrame),
            (line(r#""kind":"a b","data":1}"#), Flaw::NotAFrame),
            (line(r#""kind":"raw","data":1}{}"#), Flaw::NotAFrame),
            (line(r#""kind":"raw","data":}"#), Flaw::NotAFrame),
            (line(r#""kind":"raw","data":1"#), Flaw::NotAFrame),
            (b"[1]".to_vec(), Flaw::NotAFrame),
            (
                line("\"kind\":\"raw\",\"data\":\"\u{80}\"}")[..70].to_vec(),
                Flaw::NotAFrame,
            ),
            (frame(1, "x").repeat(2), Flaw::NotAFrame),
            (
                [&line("\"kind\":\"raw\",\"data\":\"")[..], &b"\xff\"}"[..]].concat(),
                Flaw::NotText,
            ),
        ] {
            let shown = String::from_utf8_lossy(&forged).into_owned();
            assert_eq!(owner.check(&forged).unwrap_err(), flaw, "{shown}");
        }
    }

    #[test]
    fn another_sessions_line_is_not_passed_on_however_it_is_spelled() {
        let owner = Owner::new(Uuid::from_u128(1));
        assert_eq!(owner.check(&frame(1, "x")), Err(Flaw::OtherSession));
        let line = br#"{"kind":"raw","data":{},"seq":7}"#;
        assert_eq!(owner.check(line), Err(Flaw::OtherSession));
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
