//! Items: what a stream or a connection carries, one a record.
//!
//! `type u8 | flags u8 | ref u16 | payload`. With flag 1 the payload goes on in the next item of
//! that type and ref.

use crate::message::at;

/// Bytes in front of a payload.
pub const HEADER: usize = 4;

/// The payload goes on in the next item.
const MORE: u8 = 1;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The line lives. From the server: its time.
    Heartbeat = 0x00,
    /// A request of a device, on a connection.
    Call = 0x01,
    /// The answer to one.
    Reply = 0x02,
    /// A line of a journal, or another event's data.
    Frame = 0x03,
    /// A stream of a connection ended.
    StreamEnd = 0x7e,
    /// The whole ended: the last record.
    End = 0x7f,
}

impl Kind {
    /// By number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Some(match number {
            0x00 => Self::Heartbeat,
            0x01 => Self::Call,
            0x02 => Self::Reply,
            0x03 => Self::Frame,
            0x7e => Self::StreamEnd,
            0x7f => Self::End,
            _ => return None,
        })
    }
}

/// An item, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its type, which may be one that is not known here.
    pub number: u8,
    /// Whether the payload goes on in the next one.
    pub goes_on: bool,
    /// What it belongs to, on a connection.
    pub reference: u16,
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> Item<'a> {
    /// Reads a record's plaintext.
    #[must_use]
    pub fn parse(plain: &'a [u8]) -> Option<Self> {
        let (header, payload) = plain.split_at_checked(HEADER)?;
        // Other flags mean what this version does not know.
        (header[1] & !MORE == 0).then(|| Self {
            number: header[0],
            goes_on: header[1] & MORE != 0,
            reference: u16::from_be_bytes(at(header, 2)),
            payload,
        })
    }

    /// What it is, if that is known.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(self.number)
    }
}

/// An item cut into pieces that fit into records of `max` bytes: each piece's header, and its part
/// of the payload. There is always one.
pub fn pieces(
    kind: Kind,
    reference: u16,
    payload: &[u8],
    max: usize,
) -> impl Iterator<Item = ([u8; HEADER], &[u8])> {
    let room = max.saturating_sub(HEADER).max(1);
    let count = payload.len().div_ceil(room).max(1);
    (0..count).map(move |n| {
        let from = n * room;
        let until = payload.len().min(from + room);
        let [high, low] = reference.to_be_bytes();
        let flags = if n + 1 < count { MORE } else { 0 };
        ([kind as u8, flags, high, low], &payload[from..until])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_pieces_of_an_item_join_to_it_and_each_fits(
            payload in prop::collection::vec(any::<u8>(), 0..3000),
            reference: u16,
            max in 256_usize..4096,
        ) {
            let mut joined = Vec::new();
            let mut goes_on = true;
            for (header, piece) in pieces(Kind::Frame, reference, &payload, max) {
                let plain = [&header[..], piece].concat();
                prop_assert!(plain.len() <= max && goes_on);
                let item = Item::parse(&plain).expect("it was made so");
                prop_assert_eq!((item.kind(), item.reference), (Some(Kind::Frame), reference));
                goes_on = item.goes_on;
                joined.extend_from_slice(item.payload);
            }
            prop_assert!(!goes_on);
            prop_assert_eq!(joined, payload);
        }
    }
}
