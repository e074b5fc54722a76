//! Tokens are compared and stored as SHA-256 digests, never as text.
//!
//! No slow key derivation: a device token is 256 random bits, so there is no dictionary to run
//! through. The operator's own secrets are digested together with bytes that are new at each
//! start of the box, so a list of digests made beforehand is of no use.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 digest of a token.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

/// Text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is 64 lower-case hexadecimal digits")]
pub struct BadDigest;

impl Digest {
    /// Of a token as a client sends it.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Compares without telling by its duration how much was equal.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// How a secret of the operator's is recognised.
#[derive(Clone)]
pub struct Verifier {
    salt: Box<[u8]>,
    digest: Digest,
}

impl Verifier {
    /// From the salt and the digest of both together, the salt first.
    #[must_use]
    pub fn new(salt: &[u8], digest: Digest) -> Self {
        Self {
            salt: salt.into(),
            digest,
        }
    }

    /// Of a secret that is at hand, without a salt.
    #[must_use]
    pub fn plain(secret: &[u8]) -> Self {
        Self::new(&[], Digest(Sha256::digest(secret).into()))
    }

    /// The digest, as a name of the secret: another wherever the salt is another.
    #[must_use]
    pub fn name(&self) -> String {
        self.digest.to_string()
    }

    /// Whether this is the secret. The time taken says nothing of how much was equal.
    #[must_use]
    pub fn matches(&self, secret: &[u8]) -> bool {
        let digest = Sha256::new().chain_update(&self.salt).chain_update(secret);
        Digest(digest.finalize().into()).matches(&self.digest)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cib_base::hex::encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != digest.len() || !rest.is_empty() {
            return Err(BadDigest);
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Result<u8, BadDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(BadDigest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's own example.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_sha_256_and_survives_its_own_spelling() {
        assert_eq!(Digest::of("abc").to_string(), ABC);
        let read: Digest = ABC.parse().unwrap();
        assert!(read.matches(&Digest::of("abc")));
        assert!(!read.matches(&Digest::of("abd")));
    }

    #[test]
    fn a_verifier_knows_its_secret_behind_its_salt_alone() {
        let salted = Verifier::new(b"salt", Digest(Sha256::digest("saltabc").into()));
        assert!(salted.matches(b"abc"));
        assert!(!salted.matches(b"abd") && !salted.matches(b"") && !salted.matches(b"saltabc"));
        assert!(Verifier::plain(b"abc").matches(b"abc"));
        assert_eq!(format!("{salted:?}"), "Verifier(..)");
    }

    #[test]
    fn a_digest_of_another_shape_is_refused() {
        let upper = ABC.to_uppercase();
        for bad in [
            "",
            &ABC[1..],
            &upper,
            &format!("{ABC}0"),
            &format!("{ABC}00"),
        ] {
            assert_eq!(bad.parse::<Digest>().err(), Some(BadDigest), "{bad}");
        }
    }
}
