//! Records: the sealed pieces of a message, in their order and to their end.
//!
//! `u16 h | ciphertext | tag[16]`; the high bit of `h` marks the last record of the message, the
//! rest is the plaintext's length. A record that is missing, double, moved, changed or of another
//! message does not open, and neither does one behind the last.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::keys::Key;

/// Bytes of plaintext that a record has at most.
pub const MAX: usize = 4096;

/// Bytes of plaintext that a client has to take at least.
pub const MIN_MAX: usize = 256;

/// Bytes of a tag.
pub const TAG: usize = 16;

/// Bytes in front of the ciphertext.
pub const HEADER: usize = 2;

/// Bytes that a record has besides its plaintext.
pub const AROUND: usize = HEADER + TAG;

/// Records that a message has at most.
pub const MOST: u32 = 1 << 24;

const LAST: u16 = 1 << 15;

/// A message has as many records as it may have. It has to end, and the client to ask anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message has too many records")]
pub struct Exhausted;

/// A record that is not the next one of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record does not open")]
pub struct Bad;

fn cipher(key: &Key) -> LessSafeKey {
    // The key's length is the algorithm's.
    let Ok(key) = UnboundKey::new(&AES_256_GCM, key.bytes()) else {
        unreachable!("32 bytes are a key of AES-256")
    };
    LessSafeKey::new(key)
}

/// One direction of one message: which record is next. It cannot be copied, so no nonce comes
/// twice.
struct Place {
    cipher: LessSafeKey,
    prefix: Vec<u8>,
    count: u32,
    is_over: bool,
}

impl Place {
    fn new(key: &Key, prefix: &[u8]) -> Self {
        Self {
            cipher: cipher(key),
            prefix: prefix.to_vec(),
            count: 0,
            is_over: false,
        }
    }

    fn nonce(&self, is_last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&self.count.to_be_bytes());
        nonce[11] = u8::from(is_last);
        Nonce::assume_unique_for_key(nonce)
    }

    fn step(&mut self, is_last: bool) {
        self.count += 1;
        self.is_over = is_last;
        // Only the first record is bound to it.
        self.prefix = Vec::new();
    }
}

/// Seals the records of a message.
pub struct Sealer(Place);

impl Sealer {
    /// For a message with this key and this prefix.
    #[must_use]
    pub fn new(key: &Key, prefix: &[u8]) -> Self {
        Self(Place::new(key, prefix))
    }

    /// How many records may still follow.
    #[must_use]
    pub fn left(&self) -> usize {
        if self.0.is_over {
            0
        } else {
            (MOST - self.0.count) as usize
        }
    }

    /// Writes a record behind `out`. `plain` comes in pieces, so that nobody has to join them.
    ///
    /// # Errors
    /// If the message has ended, has too many records, or the record would be too long.
    pub fn seal(
        &mut self,
        plain: &[&[u8]],
        is_last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Exhausted> {
        let place = &mut self.0;
        let length: usize = plain.iter().map(|piece| piece.len()).sum();
        let is_only_one_left = place.count >= MOST - 1;
        if place.is_over || place.count >= MOST || (is_only_one_left && !is_last) || length > MAX {
            return Err(Exhausted);
        }
        let header = u16::try_from(length).map_err(|_| Exhausted)? | if is_last { LAST } else { 0 };
        out.reserve(length + AROUND);
        out.extend_from_slice(&header.to_be_bytes());
        let from = out.len();
        for piece in plain {
            out.extend_from_slice(piece);
        }
        let nonce = place.nonce(is_last);
        let aad = Aad::from(&place.prefix);
        let sealed = place
            .cipher
            .seal_in_place_separate_tag(nonce, aad, &mut out[from..]);
        let tag = sealed.map_err(|_| Exhausted)?;
        out.extend_from_slice(tag.as_ref());
        place.step(is_last);
        Ok(())
    }
}

/// A record that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was in it.
    pub plain: Vec<u8>,
    /// Whether it was the last of its message.
    pub is_last: bool,
}

/// Opens the records of a message, from bytes that come in pieces of any size.
pub struct Opener {
    place: Place,
    waiting: Vec<u8>,
    at: usize,
}

impl Opener {
    /// For a message with this key and this prefix.
    #[must_use]
    pub fn new(key: &Key, prefix: &[u8]) -> Self {
        Self {
            place: Place::new(key, prefix),
            waiting: Vec::new(),
            at: 0,
        }
    }

    /// Whether the last record was opened, so that the message is whole.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.place.is_over
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.waiting.drain(..self.at);
            self.at = 0;
        }
        self.waiting.extend_from_slice(bytes);
    }

    /// The next record, if all of it is there.
    ///
    /// # Errors
    /// If it does not open, or there is something behind the last. Nothing opens after that.
    pub fn record(&mut self) -> Result<Option<Record>, Bad> {
        let waiting = &mut self.waiting[self.at..];
        if self.place.is_over {
            return if waiting.is_empty() {
                Ok(None)
            } else {
                Err(Bad)
            };
        }
        let Some(header) = waiting.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let header = u16::from_be_bytes(*header);
        let (is_last, length) = (header & LAST != 0, usize::from(header & !LAST));
        if length > MAX || self.place.count >= MOST {
            return Err(self.break_off());
        }
        let Some(sealed) = waiting.get_mut(HEADER..length + AROUND) else {
            return Ok(None);
        };
        let nonce = self.place.nonce(is_last);
        let aad = Aad::from(&self.place.prefix);
        let Ok(plain) = self.place.cipher.open_in_place(nonce, aad, sealed) else {
            return Err(self.break_off());
        };
        let plain = plain.to_vec();
        self.at += length + AROUND;
        self.place.step(is_last);
        Ok(Some(Record { plain, is_last }))
    }

    fn break_off(&mut self) -> Bad {
        self.place.is_over = true;
        // What stays is behind the end, so it is bad for ever.
        if self.waiting.len() == self.at {
            self.waiting.push(0);
        }
        Bad
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({})", self.0.count)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({})", self.place.count)
    }
}
