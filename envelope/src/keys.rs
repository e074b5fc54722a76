//! What is derived from a device's secret. Each direction of each request has a key of its own.

use std::fmt;

use ring::{digest, hmac};
use zeroize::Zeroizing;

use crate::message::OPENING;

/// The id of a device token, which is the id of its secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

/// The id of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid(pub [u8; 16]);

/// 32 bytes that nobody else may know. They are wiped when they are dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for who shows them or makes a cipher of them.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sid(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// HMAC-SHA256 of several pieces as if they were one.
pub(crate) fn mac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for piece in pieces {
        context.update(piece);
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

/// The first block of HKDF-Expand.
fn expand(key: &Key, info: &[&[u8]]) -> Key {
    let mut pieces = info.to_vec();
    pieces.push(&[1]);
    Key::new(mac(key.bytes(), &pieces))
}

/// A device's secret, from the one root of the box. It can be worked out for every id, minted or
/// not, in the same time.
#[must_use]
pub fn device(root: &Key, id: KeyId) -> Key {
    expand(root, &[b"CIB3 device", &id.0])
}

/// As [`device`], for tokens of the earlier envelopes: no secret is ever good for both.
#[must_use]
pub fn legacy_device(root: &Key, id: KeyId) -> Key {
    expand(root, &[b"CIB1 device", &id.0])
}

/// The keys of one session.
#[derive(Clone, Debug)]
pub struct Traffic {
    traffic: Key,
    sid: Sid,
}

impl Traffic {
    /// From a device's secret and the first bytes of the message that opens the session.
    #[must_use]
    pub fn derive(secret: &Key, opening: &[u8; OPENING]) -> Self {
        let salt = digest::digest(&digest::SHA256, opening);
        let prk = Key::new(mac(salt.as_ref(), &[secret.bytes()]));
        let traffic = expand(&prk, &[b"CIB3 traffic"]);
        let mut sid = [0; 16];
        sid.copy_from_slice(&expand(&prk, &[b"CIB3 session"]).bytes()[..16]);
        Self {
            traffic,
            sid: Sid(sid),
        }
    }

    /// The session's id.
    #[must_use]
    pub fn sid(&self) -> Sid {
        self.sid
    }

    /// The secret of the session itself.
    #[must_use]
    pub fn secret(&self) -> &Key {
        &self.traffic
    }

    /// The key of a request.
    #[must_use]
    pub fn request(&self, number: u32, salt: [u8; 8]) -> Key {
        let number = number.to_be_bytes();
        expand(&self.traffic, &[b"CIB3 request", &number, &salt])
    }

    /// The key of the answer to that request.
    #[must_use]
    pub fn response(&self, number: u32, salt: [u8; 8], response_salt: [u8; 8]) -> Key {
        let number = number.to_be_bytes();
        expand(
            &self.traffic,
            &[b"CIB3 response", &number, &salt, &response_salt],
        )
    }

    /// The key of a message that was subscribed to.
    #[must_use]
    pub fn push(&self, number: u32, salt: [u8; 8]) -> Key {
        let number = number.to_be_bytes();
        expand(&self.traffic, &[b"CIB3 push", &number, &salt])
    }
}
