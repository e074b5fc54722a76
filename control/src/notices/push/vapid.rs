//! Who sends a push message: RFC 8292, with ES256.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cib_protocol::secret::Secret;
use cib_protocol::time::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Seconds that a signature is good; a day is the most that services take.
const LIFE: i64 = 12 * 3600;

/// The file, readable by control alone.
const FILE: &str = "vapid.json";

#[derive(Serialize, Deserialize)]
struct Stored {
    pkcs8: Secret,
}

/// The key that the box signs with.
pub(in crate::notices) struct Vapid {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl std::fmt::Debug for Vapid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vapid")
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Vapid {
    /// The key in a folder, made if there is none. Subscriptions hang on it, so one that cannot be
    /// read is not replaced.
    pub(in crate::notices) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let random = SystemRandom::new();
        let pkcs8 = match cib_foreign::own::read(&path) {
            Ok(bytes) => {
                let stored: Stored = serde_json::from_slice(&bytes)?;
                STANDARD.decode(stored.pkcs8.expose())?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                let made = made.map_err(|_| "no random bytes")?;
                let pkcs8 = Secret::new(STANDARD.encode(&made));
                cib_base::files::replace(&path, &serde_json::to_vec(&Stored { pkcs8 })?)?;
                made.as_ref().to_vec()
            }
            Err(error) => return Err(error.into()),
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random);
        let pair = pair.map_err(|error| format!("{} holds no key: {error}", path.display()))?;
        Ok(Self { pair, random })
    }

    /// The public key, as browsers take it.
    pub(in crate::notices) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }

    /// The value of `Authorization` for a push service.
    pub(super) fn authorization(
        &self,
        origin: &str,
        contact: &str,
        now: Timestamp,
    ) -> Result<String, &'static str> {
        let encode = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let head = encode(json!({"typ": "JWT", "alg": "ES256"}));
        let until = now.as_millis() / 1000 + LIFE;
        let claims = encode(json!({"aud": origin, "exp": until, "sub": contact}));
        let signed = format!("{head}.{claims}");
        let signature = self.pair.sign(&self.random, signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.map_err(|_| "it cannot be signed")?);
        Ok(format!("vapid t={signed}.{signature}, k={}", self.public()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_controls_alone_and_its_signature_holds() {
        let dir = tempfile::tempdir().unwrap();
        let vapid = Vapid::open(dir.path()).unwrap();
        let mode = std::fs::metadata(dir.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Vapid::open(dir.path()).unwrap();
        assert_eq!(again.public(), vapid.public());
        let now = Timestamp::from_millis(1_700_000_000_000);
        let value = vapid.authorization("https://push.example", "mailto:a@b.example", now);
        let value = value.unwrap();
        let (token, key) = value
            .strip_prefix("vapid t=")
            .unwrap()
            .split_once(", k=")
            .unwrap();
        let key = URL_SAFE_NO_PAD.decode(key).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(signed.as_bytes(), &signature)
            .unwrap();
        let claims = URL_SAFE_NO_PAD
            .decode(signed.split_once('.').unwrap().1)
            .unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(
            claims,
            json!({"aud": "https://push.example", "exp": 1_700_043_200, "sub": "mailto:a@b.example"})
        );
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), r#"{"pkcs8":"AAAA"}"#).unwrap();
        assert!(Vapid::open(dir.path()).is_err());
        let left = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(left, r#"{"pkcs8":"AAAA"}"#);
    }
}
