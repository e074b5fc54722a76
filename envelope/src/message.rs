//! What a message begins with: its prefix, in the clear.

use crate::keys::{KeyId, Sid};

/// What every message begins with.
pub const MAGIC: [u8; 4] = *b"CIB3";

/// SHA-256, HMAC, HKDF, AES-256-GCM with a tag of 16 bytes.
pub const SUITE: u8 = 1;

/// Bytes that say what a message is.
pub const LEAD: usize = 8;

/// Bytes of a ticket.
pub const TICKET: usize = 40;

/// Bytes of a challenge, which is nothing but its prefix.
pub const CHALLENGE: usize = LEAD + TICKET;

/// Bytes of the prefix of a message that opens a session.
pub const OPEN: usize = 84;

/// Those of them that make the session's keys.
pub const OPENING: usize = 72;

/// Bytes of the prefix of a later message of a session.
pub const NEXT: usize = 36;

/// Bytes of the prefix of an answer.
pub const RESPONSE: usize = 20;

/// The whole message that asks for a challenge.
pub const HELLO: [u8; LEAD] = lead(Kind::Hello);

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Asks for a challenge.
    Hello = 1,
    /// Carries a ticket.
    Challenge = 2,
    /// A request that opens a session.
    Open = 3,
    /// A later request of a session.
    Next = 4,
    /// Opens a session and a connection in it.
    Connect = 5,
    /// An answer.
    Response = 6,
    /// What was subscribed to, on a bus.
    Push = 7,
}

/// The first eight bytes of a message.
#[must_use]
pub const fn lead(kind: Kind) -> [u8; LEAD] {
    let [a, b, c, d] = MAGIC;
    [a, b, c, d, kind as u8, SUITE, 0, 0]
}

/// It is no message of this version and suite, or has no such length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of the envelope")]
pub struct Malformed;

/// What a client's message begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Nothing follows.
    Hello,
    /// Records follow.
    Open(Box<Open>),
    /// Records follow.
    Next(Next),
}

/// The prefix of a message that opens a session, or a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// As it came: the key depends on all of it.
    pub bytes: [u8; OPEN],
}

/// The prefix of a later message of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// As it came.
    pub bytes: [u8; NEXT],
}

/// Copies `N` bytes from a place that is known to be there.
pub(crate) fn at<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    let mut copy = [0; N];
    if let Some(there) = bytes.get(from..from + N) {
        copy.copy_from_slice(there);
    }
    copy
}

impl Open {
    /// Whether it opens a connection and not one request.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.bytes[4] == Kind::Connect as u8
    }

    /// Whose secret it was made with, as it says.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId(at(&self.bytes, 8))
    }

    /// The server's ticket.
    #[must_use]
    pub fn ticket(&self) -> [u8; TICKET] {
        at(&self.bytes, 32)
    }

    /// What makes the session's keys.
    #[must_use]
    pub fn opening(&self) -> [u8; OPENING] {
        at(&self.bytes, 0)
    }

    /// The salt of the request's key.
    #[must_use]
    pub fn salt(&self) -> [u8; 8] {
        at(&self.bytes, 76)
    }
}

impl Next {
    /// The session that it belongs to.
    #[must_use]
    pub fn sid(&self) -> Sid {
        Sid(at(&self.bytes, 8))
    }

    /// Its number in the session.
    #[must_use]
    pub fn number(&self) -> u32 {
        u32::from_be_bytes(at(&self.bytes, 24))
    }

    /// The salt of the request's key.
    #[must_use]
    pub fn salt(&self) -> [u8; 8] {
        at(&self.bytes, 28)
    }
}

impl Prefix {
    /// How many bytes the prefix of a client's message has, from its first eight.
    ///
    /// # Errors
    /// If it is no message that a client sends.
    pub fn length(first: &[u8; LEAD]) -> Result<usize, Malformed> {
        for (kind, length) in [
            (Kind::Hello, LEAD),
            (Kind::Open, OPEN),
            (Kind::Connect, OPEN),
            (Kind::Next, NEXT),
        ] {
            if *first == lead(kind) {
                return Ok(length);
            }
        }
        Err(Malformed)
    }

    /// Reads the prefix of a client's message, and says where the records begin.
    ///
    /// # Errors
    /// If it is no message that a client sends, or is too short.
    pub fn parse(message: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let first = message.first_chunk::<LEAD>().ok_or(Malformed)?;
        let length = Self::length(first)?;
        let (prefix, records) = message.split_at_checked(length).ok_or(Malformed)?;
        let prefix = match length {
            LEAD => Self::Hello,
            OPEN => {
                let bytes: [u8; OPEN] = at(prefix, 0);
                // The number of the request that opens a session.
                if at::<4>(&bytes, OPENING) != [0; 4] {
                    return Err(Malformed);
                }
                Self::Open(Box::new(Open { bytes }))
            }
            _ => {
                let next = Next {
                    bytes: at(prefix, 0),
                };
                if next.number() == 0 {
                    return Err(Malformed);
                }
                Self::Next(next)
            }
        };
        Ok((prefix, records))
    }
}

/// The prefix of a message that was subscribed to.
#[must_use]
pub fn push(sid: Sid, number: u32, salt: [u8; 8]) -> [u8; NEXT] {
    let mut bytes = [0; NEXT];
    bytes[..LEAD].copy_from_slice(&lead(Kind::Push));
    bytes[8..24].copy_from_slice(&sid.0);
    bytes[24..28].copy_from_slice(&number.to_be_bytes());
    bytes[28..].copy_from_slice(&salt);
    bytes
}

/// The prefix of an answer.
#[must_use]
pub fn response(number: u32, salt: [u8; 8]) -> [u8; RESPONSE] {
    let mut bytes = [0; RESPONSE];
    bytes[..LEAD].copy_from_slice(&lead(Kind::Response));
    bytes[8..12].copy_from_slice(&number.to_be_bytes());
    bytes[12..].copy_from_slice(&salt);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_magic_suite_or_kind_and_anything_but_zeros_behind_them_is_malformed() {
        assert_eq!(
            Prefix::parse(&HELLO).map(|found| found.0),
            Ok(Prefix::Hello)
        );
        for (place, value) in [
            (0, b'c'),
            (3, b'2'),
            (4, 0),
            (4, 2),
            (4, 6),
            (4, 7),
            (4, 8),
            (5, 2),
            (6, 1),
            (7, 1),
        ] {
            let mut other = HELLO;
            other[place] = value;
            assert_eq!(Prefix::parse(&other), Err(Malformed), "{place} {value}");
        }
        assert_eq!(Prefix::parse(&HELLO[..7]), Err(Malformed));
    }

    #[test]
    fn a_session_begins_with_zero_and_goes_on_with_something_else() {
        let mut open = [0; OPEN];
        open[..LEAD].copy_from_slice(&lead(Kind::Open));
        assert!(Prefix::parse(&open).is_ok());
        open[75] = 1;
        assert_eq!(Prefix::parse(&open), Err(Malformed));
        let mut next = [0; NEXT];
        next[..LEAD].copy_from_slice(&lead(Kind::Next));
        assert_eq!(Prefix::parse(&next), Err(Malformed));
        next[27] = 1;
        assert!(Prefix::parse(&next).is_ok());
        assert_eq!(Prefix::parse(&next[..35]), Err(Malformed));
    }
}
