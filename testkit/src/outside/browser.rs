//! A browser's end of Web Push: it has the keys, and reads what a push service passes on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use ring::{aead, hmac};
use serde_json::{Value, json};

use super::Heard;

/// A browser that has subscribed.
pub struct Browser {
    secret: SecretKey,
    auth: [u8; 16],
}

/// Why a push is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoPush(pub &'static str);

impl Browser {
    /// A browser with this number, which has keys of its own.
    ///
    /// # Errors
    /// No number gives no keys but zero.
    pub fn new(number: u8) -> Result<Self, NoPush> {
        let secret = SecretKey::from_slice(&[number; 32]).map_err(|_| NoPush("no key"))?;
        Ok(Self {
            secret,
            auth: [number; 16],
        })
    }

    /// Its subscription, as a page sends it.
    #[must_use]
    pub fn subscription(&self, endpoint: &str) -> Value {
        let point = self.secret.public_key().to_sec1_point(false);
        json!({
            "endpoint": endpoint,
            "expirationTime": null,
            "keys": {
                "p256dh": URL_SAFE_NO_PAD.encode(point.as_bytes()),
                "auth": URL_SAFE_NO_PAD.encode(self.auth),
            },
        })
    }

    /// Opens what was pushed: RFC 8291.
    ///
    /// # Errors
    /// It is not for this browser, or is none.
    pub fn open(&self, heard: &Heard) -> Result<Value, NoPush> {
        if heard.header("content-encoding") != "aes128gcm" {
            return Err(NoPush("another coding"));
        }
        let (head, sealed) = heard.body.split_at_checked(86).ok_or(NoPush("too short"))?;
        let size = u32::from_be_bytes([head[16], head[17], head[18], head[19]]);
        if heard.body.len() > 4096 || size > 4096 || head[20] != 65 {
            return Err(NoPush("a head that no browser takes"));
        }
        let sender = &head[21..];
        let peer = PublicKey::from_sec1_bytes(sender).map_err(|_| NoPush("no point"))?;
        let shared = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        let own = self.secret.public_key().to_sec1_point(false);
        let info = [b"WebPush: info\0", own.as_bytes(), sender, b"\x01"].concat();
        let input = mac(&mac(&self.auth, shared.raw_secret_bytes()), &info);
        let pseudorandom = mac(&head[..16], &input);
        let key = mac(&pseudorandom, b"Content-Encoding: aes128gcm\0\x01");
        let nonce = mac(&pseudorandom, b"Content-Encoding: nonce\0\x01");
        let bad = |_| NoPush("it is not for this browser");
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, &key[..16]).map_err(bad)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(&nonce[..12]).map_err(bad)?;
        let mut text = sealed.to_vec();
        let opened = aead::LessSafeKey::new(key)
            .open_in_place(nonce, aead::Aad::empty(), &mut text)
            .map_err(bad)?;
        let (mark, text) = opened.split_last().ok_or(NoPush("empty"))?;
        if *mark != 2 {
            return Err(NoPush("no last record"));
        }
        serde_json::from_slice(text).map_err(|_| NoPush("no JSON"))
    }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().to_vec()
}

/// What a push service checks before it passes anything on: RFC 8292. The claims, if the signature is
/// that of the key that the browser subscribed with.
///
/// # Errors
/// It passes nothing on.
pub fn vouched(heard: &Heard, key: &str) -> Result<Value, NoPush> {
    let value = heard.header("authorization").strip_prefix("vapid t=");
    let (token, sent) = value
        .and_then(|value| value.split_once(", k="))
        .ok_or(NoPush("no signature"))?;
    if sent != key {
        return Err(NoPush("another key"));
    }
    let decode = |text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| NoPush("no base64"))
    };
    let (signed, signature) = token.rsplit_once('.').ok_or(NoPush("no token"))?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, decode(key)?)
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| NoPush("the signature is another's"))?;
    let claims = signed.split_once('.').ok_or(NoPush("no claims"))?.1;
    serde_json::from_slice(&decode(claims)?).map_err(|_| NoPush("no claims"))
}
