//! The words of ttyd on a WebSocket: the first byte of a message says what the rest is.

use bytes::Bytes;
use serde::Deserialize;

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// Bytes for the terminal.
    Input(&'m [u8]),
    /// The client's size.
    Size {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// It wants to hear nothing for a while, or something again.
    Pause(bool),
    /// Nothing that is known.
    Unknown,
}

/// A size, in the first message beside a token that was shown before.
#[derive(Deserialize)]
struct Size {
    columns: u16,
    rows: u16,
}

impl<'m> Message<'m> {
    /// Reads a message.
    #[must_use]
    pub fn read(message: &'m [u8]) -> Self {
        match message.split_first() {
            Some((b'0', input)) => Self::Input(input),
            Some((b'1', size)) => Self::size(size),
            Some((b'2', _)) => Self::Pause(true),
            Some((b'3', _)) => Self::Pause(false),
            Some((b'{', _)) => Self::size(message),
            _ => Self::Unknown,
        }
    }

    fn size(json: &[u8]) -> Self {
        match serde_json::from_slice(json) {
            Ok(Size { columns, rows }) => Self::Size {
                cols: columns,
                rows,
            },
            Err(_) => Self::Unknown,
        }
    }
}

/// What a client is told when it has connected: a title, and that it shows things as it likes.
#[must_use]
pub fn greeting() -> [Bytes; 2] {
    [
        Bytes::from_static(b"1claude-in-box"),
        Bytes::from_static(b"2{}"),
    ]
}

/// Bytes of the terminal.
#[must_use]
pub fn output(bytes: &[u8]) -> Bytes {
    [b"0", bytes].concat().into()
}

/// Why something was not done, which ttyd has no words for.
#[must_use]
pub fn complaint(text: &str) -> Bytes {
    output(format!("\r\n{text}\r\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_read_by_its_first_byte() {
        for (message, read) in [
            (&b"0ls\n"[..], Message::Input(b"ls\n")),
            (b"0", Message::Input(b"")),
            (
                b"1{\"columns\":80,\"rows\":24}",
                Message::Size { cols: 80, rows: 24 },
            ),
            (
                b"{\"AuthToken\":\"x\",\"columns\":80,\"rows\":24}",
                Message::Size { cols: 80, rows: 24 },
            ),
            (b"2", Message::Pause(true)),
            (b"3", Message::Pause(false)),
            (b"{\"AuthToken\":\"\"}", Message::Unknown),
            (b"1{\"columns\":-1,\"rows\":24}", Message::Unknown),
            (b"1", Message::Unknown),
            (b"9", Message::Unknown),
            (b"", Message::Unknown),
        ] {
            assert_eq!(Message::read(message), read, "{message:?}");
        }
    }
}
