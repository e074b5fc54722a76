//! Encryption of a push message for one browser: RFC 8291, in the content coding of RFC 8188.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cib_protocol::secret::Secret;
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SystemRandom;
use ring::{aead, hmac};

/// Bytes of a public key: a point on P-256, uncompressed.
const POINT: usize = 65;

/// Bytes of a browser's secret.
const AUTH: usize = 16;

/// Bytes of a message, as every push service takes it (RFC 8030, section 7.2).
const RECORD: usize = 4096;

/// Bytes of what stands in front: salt, size of the record, length of a key, key.
const HEAD: usize = 16 + 4 + 1 + POINT;

/// Bytes of text that fit: behind it come a mark and a tag.
const MOST: usize = RECORD - HEAD - 1 - 16;

/// The public key of a browser.
pub(super) fn public_key(text: &str) -> Result<[u8; POINT], &'static str> {
    let wrong = "is no point on P-256, uncompressed, as base64url";
    let bytes = decode(text).ok_or(wrong)?;
    let point: [u8; POINT] = bytes.try_into().map_err(|_| wrong)?;
    (point[0] == 4).then_some(point).ok_or(wrong)
}

/// The secret of a browser.
pub(super) fn secret(secret: &Secret) -> Result<[u8; AUTH], &'static str> {
    let wrong = "is not 16 bytes as base64url";
    decode(secret.expose())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(wrong)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    // Some browsers' libraries write padding.
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Seals a text for a browser.
pub(super) fn seal(p256dh: &str, auth: &Secret, text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (browser, auth) = (public_key(p256dh)?, secret(auth)?);
    let random = SystemRandom::new();
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).map_err(|_| "no random bytes")?;
    let public = own.compute_public_key().map_err(|_| "no key")?;
    let public: [u8; POINT] = public.as_ref().try_into().map_err(|_| "no key")?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, browser);
    let shared = agree_ephemeral(own, &peer, <[u8]>::to_vec);
    let shared = shared.map_err(|_| "the browser's key is no point on P-256")?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| "no random bytes")?;
    let keys = Keys {
        browser: &browser,
        own: &public,
        auth: &auth,
        shared: &shared,
        salt: &salt,
    };
    keys.seal(text)
}

/// All that a message is sealed with.
struct Keys<'a> {
    browser: &'a [u8; POINT],
    own: &'a [u8; POINT],
    auth: &'a [u8],
    shared: &'a [u8],
    salt: &'a [u8; 16],
}

impl Keys<'_> {
    fn seal(&self, text: &[u8]) -> Result<Vec<u8>, &'static str> {
        if text.len() > MOST {
            return Err("the message is too long");
        }
        let mut info = b"WebPush: info\0".to_vec();
        info.extend_from_slice(self.browser);
        info.extend_from_slice(self.own);
        let input = expand(&mac(self.auth, self.shared), &info);
        let pseudorandom = mac(self.salt, &input);
        let key = expand(&pseudorandom, b"Content-Encoding: aes128gcm\0");
        let nonce = expand(&pseudorandom, b"Content-Encoding: nonce\0");
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, &key[..16]).map_err(|_| "no key")?;
        let nonce = aead::Nonce::try_assume_unique_for_key(&nonce[..12]).map_err(|_| "no nonce")?;
        // The mark of the last record, of which there is one.
        let mut body = text.to_vec();
        body.push(2);
        aead::LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut body)
            .map_err(|_| "it cannot be sealed")?;
        let mut sealed = Vec::with_capacity(HEAD + body.len());
        sealed.extend_from_slice(self.salt);
        sealed.extend_from_slice(&u32::try_from(RECORD).unwrap_or(u32::MAX).to_be_bytes());
        sealed.push(u8::try_from(POINT).unwrap_or(u8::MAX));
        sealed.extend_from_slice(self.own);
        sealed.append(&mut body);
        Ok(sealed)
    }
}

/// HKDF-Extract.
fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().to_vec()
}

/// The first block of HKDF-Expand.
fn expand(key: &[u8], info: &[u8]) -> Vec<u8> {
    let mut text = info.to_vec();
    text.push(1);
    mac(key, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    /// RFC 8291, appendix A.
    #[test]
    fn the_example_of_rfc_8291_comes_out_byte_for_byte() {
        let own = public_key(
            "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
        );
        let bytes = |text: &str| decode(text).unwrap();
        let keys = Keys {
            browser: &public_key(BROWSER).unwrap(),
            own: &own.unwrap(),
            auth: &bytes("BTBZMqHH6r4Tts7J_aSIgg"),
            shared: &bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs"),
            salt: &bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap(),
        };
        let sealed = keys
            .seal(b"When I grow up, I want to be a watermelon")
            .unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLoc\
             InmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLV\
             WGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn no_two_messages_are_sealed_alike_and_none_is_longer_than_services_take() {
        let auth = Secret::new("BTBZMqHH6r4Tts7J_aSIgg");
        let text = vec![b'x'; MOST];
        let (one, two) = (
            seal(BROWSER, &auth, &text).unwrap(),
            seal(BROWSER, &auth, &text).unwrap(),
        );
        assert_eq!(one.len(), RECORD);
        assert_ne!(one[..16], two[..16]);
        assert_ne!(one[21..86], two[21..86]);
        assert!(seal(BROWSER, &auth, &vec![0; MOST + 1]).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let auth = Secret::new("BTBZMqHH6r4Tts7J_aSIgg");
        let off_curve = URL_SAFE_NO_PAD.encode([4; POINT]);
        for bad in ["", "?", "BCVx", &off_curve] {
            assert!(seal(bad, &auth, b"x").is_err(), "{bad}");
        }
        for bad in ["", "BTBZ", "BTBZMqHH6r4Tts7J_aSIggAA"] {
            assert!(seal(BROWSER, &Secret::new(bad), b"x").is_err(), "{bad}");
        }
    }
}
