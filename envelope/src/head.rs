//! What the first record of a request and of an answer begins with.

use crate::message::at;
use crate::record::{MAX, MIN_MAX};

/// HTTP methods, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// GET.
    Get = 1,
    /// POST.
    Post = 2,
    /// PUT.
    Put = 3,
    /// PATCH.
    Patch = 4,
    /// DELETE.
    Delete = 5,
}

impl Method {
    /// By number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Get,
            2 => Self::Post,
            3 => Self::Put,
            4 => Self::Patch,
            5 => Self::Delete,
            _ => return None,
        })
    }

    /// As HTTP writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Bytes of a request's head in front of the target.
const FIXED: usize = 13;

/// Bytes of an answer's head.
pub const ANSWER: usize = 11;

/// What a request asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The device's time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The longest plaintext of a record that the client takes.
    pub max_record: u16,
    /// The method.
    pub method: Method,
    /// Path and query, ASCII without spaces.
    pub target: String,
}

/// It is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the head of a request")]
pub struct BadHead;

impl Request {
    /// Reads a head, and says where the body begins.
    ///
    /// # Errors
    /// If it is not whole, or says what no head may say.
    pub fn parse(plain: &[u8]) -> Result<(Self, &[u8]), BadHead> {
        let (fixed, rest) = plain.split_at_checked(FIXED).ok_or(BadHead)?;
        let max_record = u16::from_be_bytes(at(fixed, 8));
        if !(MIN_MAX..=MAX).contains(&usize::from(max_record)) {
            return Err(BadHead);
        }
        let length = u16::from_be_bytes(at(fixed, 11));
        let (target, body) = rest.split_at_checked(length.into()).ok_or(BadHead)?;
        if target.first() != Some(&b'/') || !target.iter().all(u8::is_ascii_graphic) {
            return Err(BadHead);
        }
        let head = Self {
            time_ms: u64::from_be_bytes(at(fixed, 0)),
            max_record,
            method: Method::of(fixed[10]).ok_or(BadHead)?,
            target: String::from_utf8_lossy(target).into_owned(),
        };
        Ok((head, body))
    }

    /// As it is sent.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = self.time_ms.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.max_record.to_be_bytes());
        bytes.push(self.method as u8);
        let length = u16::try_from(self.target.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(self.target.as_bytes());
        bytes
    }
}

/// What an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Carries {
    /// A body: the bytes of all records. If the last is missing nothing counts.
    Body = 1,
    /// A stream of items, one a record.
    Stream = 2,
    /// A connection: items both ways.
    Connection = 3,
}

/// What an answer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The server's time, in milliseconds since 1970.
    pub time_ms: u64,
    /// As HTTP has it.
    pub status: u16,
    /// What follows.
    pub carries: Carries,
}

impl Answer {
    /// As it is sent.
    #[must_use]
    pub fn write(&self) -> [u8; ANSWER] {
        let mut bytes = [0; ANSWER];
        bytes[..8].copy_from_slice(&self.time_ms.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.status.to_be_bytes());
        bytes[10] = self.carries as u8;
        bytes
    }

    /// Reads a head, and says where the content begins.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(plain: &[u8]) -> Result<(Self, &[u8]), BadHead> {
        let (fixed, rest) = plain.split_at_checked(ANSWER).ok_or(BadHead)?;
        let carries = match fixed[10] {
            1 => Carries::Body,
            2 => Carries::Stream,
            3 => Carries::Connection,
            _ => return Err(BadHead),
        };
        let head = Self {
            time_ms: u64::from_be_bytes(at(fixed, 0)),
            status: u16::from_be_bytes(at(fixed, 8)),
            carries,
        };
        Ok((head, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_asks_nothing_clear_is_refused() {
        let good = Request {
            time_ms: 7,
            max_record: 256,
            method: Method::Delete,
            target: "/api/sessions?a=b".to_owned(),
        };
        let bytes = [&*good.write(), b"body"].concat();
        assert_eq!(Request::parse(&bytes), Ok((good, &b"body"[..])));
        for end in 0..bytes.len() - 4 {
            assert_eq!(Request::parse(&bytes[..end]), Err(BadHead), "{end}");
        }
        for (place, value) in [
            (8, 0),
            (8, 0x20),
            (10, 0),
            (10, 6),
            (13, b'a'),
            (14, b' '),
            (14, b'\n'),
            (14, 0x80),
        ] {
            let mut other = bytes.clone();
            other[place] = value;
            assert_eq!(Request::parse(&other), Err(BadHead), "{place} {value}");
        }
    }
}
