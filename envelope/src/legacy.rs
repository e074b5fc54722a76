//! The envelopes that were published before, versions 1 and 2, byte for byte.
//!
//! They bind less than it seems: see `docs/AES-TRANSPORT.md` for what nobody can close.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::keys::Key;

/// Bytes of payload in a record of version 2.
pub const PAYLOAD: usize = 4093;

/// Records of one request of version 2 at most.
pub const MOST: u32 = 2048;

const TAG: usize = 16;

/// It does not open, or is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message does not open")]
pub struct Bad;

fn cipher(key: &Key) -> Result<LessSafeKey, Bad> {
    let key = UnboundKey::new(&AES_256_GCM, key.bytes()).map_err(|_| Bad)?;
    Ok(LessSafeKey::new(key))
}

/// What a message of version 1 is bound to. An answer has the method `RESPONSE`.
#[derive(Clone, Copy, Debug)]
pub struct V1<'a> {
    /// The key's id, as the header has it.
    pub key_id: &'a str,
    /// Milliseconds since 1970, as the header has them.
    pub timestamp: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The nonce.
    pub nonce: [u8; 12],
}

impl V1<'_> {
    fn aad(&self) -> String {
        let Self {
            key_id,
            timestamp,
            method,
            path,
            ..
        } = self;
        format!("CIB1\n{key_id}\n{timestamp}\n{method}\n{path}\n")
    }

    /// Seals a body.
    ///
    /// # Errors
    /// If it is too long for the cipher.
    pub fn seal(&self, key: &Key, plain: &[u8]) -> Result<Vec<u8>, Bad> {
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let aad = Aad::from(self.aad());
        cipher(key)?
            .seal_in_place_append_tag(nonce, aad, &mut sealed)
            .map_err(|_| Bad)?;
        Ok(sealed)
    }

    /// Opens a body. One that is empty was sealed by nobody.
    ///
    /// # Errors
    /// If it does not open.
    pub fn open(&self, key: &Key, sealed: &[u8]) -> Result<Vec<u8>, Bad> {
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let aad = Aad::from(self.aad());
        let length = cipher(key)?
            .open_in_place(nonce, aad, &mut plain)
            .map_err(|_| Bad)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

/// A record of version 2 that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Its type, which may be one that is not known here.
    pub number: u8,
    /// What it carries.
    pub payload: Vec<u8>,
    /// What follows it in the message.
    pub rest: &'a [u8],
}

/// Which way a stream of version 2 goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Request,
    /// From it.
    Response,
}

/// What a record of version 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    /// The line lives.
    Heartbeat = 0,
    /// A piece of a JSON value.
    Json = 1,
    /// A frame.
    Frame = 2,
    /// The stream ended.
    End = 0x7f,
}

/// One stream of version 2: its records in order.
#[derive(Debug)]
pub struct V2 {
    cipher: LessSafeKey,
    direction: Direction,
    key_id: String,
    path: String,
    stream: [u8; 16],
    count: u32,
}

impl V2 {
    /// A stream at its beginning.
    ///
    /// # Errors
    /// Never, with a key of 32 bytes.
    pub fn new(
        key: &Key,
        direction: Direction,
        key_id: &str,
        path: &str,
        stream: [u8; 16],
    ) -> Result<Self, Bad> {
        Ok(Self {
            cipher: cipher(key)?,
            direction,
            key_id: key_id.to_owned(),
            path: path.to_owned(),
            stream,
            count: 0,
        })
    }

    fn next(&mut self) -> (Nonce, String) {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.stream[..8]);
        nonce[8..].copy_from_slice(&self.count.to_be_bytes());
        let direction = match self.direction {
            Direction::Request => "REQUEST",
            Direction::Response => "RESPONSE",
        };
        let stream: String = self
            .stream
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let (key_id, path, count) = (&self.key_id, &self.path, self.count);
        let aad = format!("CIB2\n{direction}\n{key_id}\n{path}\n{stream}\n{count}\n");
        self.count += 1;
        (Nonce::assume_unique_for_key(nonce), aad)
    }

    /// Writes a record behind `out`.
    ///
    /// # Errors
    /// If the payload is longer than [`PAYLOAD`].
    pub fn seal(&mut self, kind: Type, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Bad> {
        let length = u16::try_from(payload.len()).map_err(|_| Bad)?;
        if payload.len() > PAYLOAD {
            return Err(Bad);
        }
        let (nonce, aad) = self.next();
        out.extend_from_slice(&(length + 3).to_be_bytes());
        let from = out.len();
        out.push(kind as u8);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(payload);
        let sealed =
            self.cipher
                .seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[from..]);
        out.extend_from_slice(sealed.map_err(|_| Bad)?.as_ref());
        Ok(())
    }

    /// The record that a message begins with; nothing at the terminator. The end of the bytes is no terminator.
    ///
    /// # Errors
    /// If it is cut or does not open.
    pub fn open<'a>(&mut self, message: &'a [u8]) -> Result<Option<Opened<'a>>, Bad> {
        let (header, rest) = message.split_at_checked(2).ok_or(Bad)?;
        let length = usize::from(u16::from_be_bytes([header[0], header[1]]));
        if length == 0 {
            return if rest.is_empty() { Ok(None) } else { Err(Bad) };
        }
        if length > PAYLOAD + 3 || self.count >= MOST {
            return Err(Bad);
        }
        let (sealed, rest) = rest.split_at_checked(length + TAG).ok_or(Bad)?;
        let (nonce, aad) = self.next();
        let mut plain = sealed.to_vec();
        let opened = self.cipher.open_in_place(nonce, Aad::from(aad), &mut plain);
        let plain = opened.map_err(|_| Bad)?;
        let (inner, payload) = plain.split_at_checked(3).ok_or(Bad)?;
        if usize::from(u16::from_be_bytes([inner[1], inner[2]])) != payload.len() {
            return Err(Bad);
        }
        Ok(Some(Opened {
            number: inner[0],
            payload: payload.to_vec(),
            rest,
        }))
    }
}
