//! Pieces of a text that follow each other, joined into fewer messages.

use serde_json::{Map, Value};

use super::sources::Line;

/// Bytes of a text above which no more is joined to it.
const MOST: usize = 16 * 1024;

/// Kinds that come in pieces, word by word.
const PIECES: [&str; 2] = ["text.delta", "thinking"];

/// Whether more of the same may follow a frame in a moment.
pub(super) fn is_piece(line: &Line) -> bool {
    PIECES.contains(&&*line.kind)
}

/// A text while it grows.
struct Text {
    from: u64,
    last: Line,
    frame: Map<String, Value>,
    /// Without its text.
    data: Map<String, Value>,
    text: String,
}

impl Text {
    /// A piece of a message of Claude's, if a frame is one.
    fn of(line: &Line) -> Option<Self> {
        if !is_piece(line) {
            return None;
        }
        let mut frame: Map<String, Value> = serde_json::from_slice(&line.bytes).ok()?;
        let Some(Value::Object(mut data)) = frame.remove("data") else {
            return None;
        };
        let Some(Value::String(text)) = data.remove("text") else {
            return None;
        };
        // What somebody says is whole, and without a message nobody knows what belongs together.
        let is_users = data.get("role").is_some_and(|role| role == "user");
        if is_users || !data.get("message_id").is_some_and(Value::is_string) {
            return None;
        }
        Some(Self {
            from: line.seq,
            last: line.clone(),
            frame,
            data,
            text,
        })
    }

    fn takes(&self, next: &Self) -> bool {
        let is_same = self.last.kind == next.last.kind && self.data == next.data;
        is_same && self.text.len() + next.text.len() <= MOST
    }

    fn add(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.last = next.last;
    }

    /// The frame that says all of it. One that is alone stays as it stands in the journal.
    fn line(self) -> Line {
        if self.from == self.last.seq {
            return self.last;
        }
        let Self {
            from,
            last,
            mut frame,
            mut data,
            text,
        } = self;
        data.insert("text".to_owned(), text.into());
        frame.insert("data".to_owned(), data.into());
        frame.insert("seq".to_owned(), last.seq.into());
        frame.insert("seq_from".to_owned(), from.into());
        Line {
            bytes: Value::Object(frame).to_string().into(),
            ..last
        }
    }
}

/// The same frames, with the pieces of each message joined that follow each other.
pub(super) fn joined(lines: Vec<Line>) -> Vec<Line> {
    let mut out = Vec::with_capacity(lines.len());
    let mut growing: Option<Text> = None;
    for line in lines {
        let piece = Text::of(&line);
        match (growing.take(), piece) {
            (Some(mut text), Some(piece)) if text.takes(&piece) => {
                text.add(piece);
                growing = Some(text);
            }
            (before, piece) => {
                out.extend(before.map(Text::line));
                match piece {
                    Some(piece) => growing = Some(piece),
                    None => out.push(line),
                }
            }
        }
    }
    out.extend(growing.map(Text::line));
    out
}

#[cfg(test)]
mod tests {
    use cib_protocol::session::SessionId;
    use serde_json::json;

    use super::*;

    fn line(seq: u64, kind: &str, data: &Value) -> Line {
        let session = SessionId::nil();
        let frame = json!({"session": session, "seq": seq, "ts": 5, "kind": kind, "data": data});
        Line {
            seq,
            kind: kind.to_owned(),
            bytes: frame.to_string().into(),
        }
    }

    fn said(line: &Line) -> (u64, Value, Value) {
        let frame: Value = serde_json::from_slice(&line.bytes).unwrap();
        assert_eq!(frame["seq"], line.seq);
        let text = frame["data"]["text"].clone();
        (line.seq, frame["seq_from"].clone(), text)
    }

    #[test]
    fn pieces_of_one_message_are_joined_and_nothing_else_is() {
        let piece = |seq, text: &str, message: &str| {
            line(
                seq,
                "text.delta",
                &json!({"text": text, "role": "assistant", "message_id": message}),
            )
        };
        let user = json!({"text": "u", "role": "user", "message_id": "1"});
        let lines = vec![
            piece(1, "a", "m"),
            piece(3, "b", "m"),
            piece(4, "c", "n"),
            line(5, "thinking", &json!({"text": "d", "message_id": "n"})),
            line(6, "thinking", &json!({"text": "e", "message_id": "n"})),
            line(7, "status", &json!({"state": "idle"})),
            line(8, "text.delta", &user),
            line(9, "text.delta", &user),
            line(10, "text.delta", &json!({"text": "f"})),
            line(11, "text.delta", &json!({"text": "g"})),
            piece(12, &"x".repeat(MOST), "m"),
            piece(13, "y", "m"),
        ];
        let joined: Vec<_> = joined(lines).iter().map(said).collect();
        let one = |seq: u64, text: &str| (seq, Value::Null, json!(text));
        assert_eq!(
            joined,
            [
                (3, json!(1), json!("ab")),
                one(4, "c"),
                (6, json!(5), json!("de")),
                (7, Value::Null, Value::Null),
                one(8, "u"),
                one(9, "u"),
                one(10, "f"),
                one(11, "g"),
                one(12, &"x".repeat(MOST)),
                one(13, "y"),
            ]
        );
    }
}
