//! Signatures of releases, as minisign writes them with `-l`: Ed25519 over the file itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    id: [u8; 8],
    bytes: [u8; 32],
}

/// Why a signature is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    /// The key is none.
    #[error("the key is no public key of minisign")]
    Key,
    /// The signature is none.
    #[error("the signature is none that minisign -l writes")]
    Form,
    /// Another key has signed it.
    #[error("another key has signed it")]
    Another,
    /// It does not fit the file.
    #[error("the signature is not of this file")]
    Wrong,
}

impl Key {
    /// Reads a key: a line of base64, or the file that minisign writes.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let line = lines(text).next().ok_or(SignatureError::Key)?;
        let bytes = STANDARD.decode(line).map_err(|_| SignatureError::Key)?;
        let [b'E', b'd', rest @ ..] = &bytes[..] else {
            return Err(SignatureError::Key);
        };
        let (id, key) = rest.split_at_checked(8).ok_or(SignatureError::Key)?;
        Ok(Self {
            id: id.try_into().map_err(|_| SignatureError::Key)?,
            bytes: key.try_into().map_err(|_| SignatureError::Key)?,
        })
    }

    /// Whether a signature is this key's, and of this file.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, file: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        const COMMENT: &str = "trusted comment: ";
        let text = std::str::from_utf8(signature).map_err(|_| SignatureError::Form)?;
        let mut lines = text
            .lines()
            .skip_while(|line| line.starts_with("untrusted comment: "));
        let mut next = || lines.next().ok_or(SignatureError::Form);
        let own = decode(next()?)?;
        let comment = next()?.strip_prefix(COMMENT).ok_or(SignatureError::Form)?;
        let whole = decode(next()?)?;
        let [b'E', b'd', rest @ ..] = &own[..] else {
            return Err(SignatureError::Form);
        };
        let (id, own) = rest.split_at_checked(8).ok_or(SignatureError::Form)?;
        if own.len() != 64 {
            return Err(SignatureError::Form);
        }
        if id != self.id {
            return Err(SignatureError::Another);
        }
        let key = UnparsedPublicKey::new(&ED25519, &self.bytes);
        let all = [own, comment.as_bytes()].concat();
        key.verify(file, own)
            .and_then(|()| key.verify(&all, &whole))
            .map_err(|_| SignatureError::Wrong)
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with("untrusted comment:"))
}

fn decode(line: &str) -> Result<Vec<u8>, SignatureError> {
    STANDARD.decode(line).map_err(|_| SignatureError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    // What minisign 0.11 wrote: `minisign -G -W`, and `minisign -S -l -t "a comment"` of FILE.
    const FILE: &[u8] = b"aa  cib-0.2.0-linux_amd64.tar.gz\n";
    const PUBLIC: &str = "untrusted comment: minisign public key 93E15BFCF4324709\nRWQJRzL0/Fvhk27Q8OHpoRQpAz8pvQHHH+IRQdAFNbBHOzMZbPrOl2dZ\n";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key\nRWQJRzL0/Fvhk5jUkF0w2ach8WREzftZ8owLzizgSkIraxg7eGpDufrx7jWxmcIpEJ02gBo4Hxi2pjekxsZNR2dhJ7zA0AmiPw0=\ntrusted comment: a comment\n5xuZlSapTrB3yySYvdj5TcaAQ5H/AWGw1HCf2/UZagZNtXkM4A4QTZPXuljQSA3ZmL9wpUUHNXO/stMnd4BbAg==\n";

    #[test]
    fn what_minisign_has_signed_is_believed_and_nothing_else() {
        let key = Key::parse(PUBLIC).unwrap();
        assert_eq!(Key::parse(PUBLIC.lines().nth(1).unwrap()), Ok(key.clone()));
        assert_eq!(key.verify(FILE, SIGNED.as_bytes()), Ok(()));
        let wrong = Err(SignatureError::Wrong);
        assert_eq!(
            key.verify(b"aa  cib-0.2.1-linux_amd64.tar.gz\n", SIGNED.as_bytes()),
            wrong
        );
        let comment = SIGNED.replace("a comment", "another");
        assert_eq!(key.verify(FILE, comment.as_bytes()), wrong);
        let mut other = key;
        other.bytes[0] ^= 1;
        assert_eq!(other.verify(FILE, SIGNED.as_bytes()), wrong);
        other.id[0] ^= 1;
        assert_eq!(
            other.verify(FILE, SIGNED.as_bytes()),
            Err(SignatureError::Another)
        );
    }

    #[test]
    fn what_is_no_signature_or_no_key_is_said_to_be_none() {
        let key = Key::parse(PUBLIC).unwrap();
        for (at, _) in SIGNED.char_indices().step_by(7) {
            assert!(key.verify(FILE, &SIGNED.as_bytes()[..at]).is_err(), "{at}");
        }
        for text in ["", "x", "RWQ=", "untrusted comment: x"] {
            assert_eq!(Key::parse(text), Err(SignatureError::Key), "{text}");
            assert_eq!(
                key.verify(FILE, text.as_bytes()),
                Err(SignatureError::Form),
                "{text}"
            );
        }
    }
}
