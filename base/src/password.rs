//! Passwords of people: hashed slowly, so that a stolen file of them is dear to guess from.
//!
//! argon2id with 19 MiB, two passes and one lane, which is what OWASP names first for a server.
//! A hash is a PHC string and says its own parameters, so one that was made with others is still
//! understood, and can be seen to be made anew.

use std::error::Error;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

/// Fewest bytes of a password.
pub const LEAST: usize = 8;

/// Most bytes of one. Longer ones would cost their reader more than they are worth.
pub const MOST: usize = 1024;

/// Memory that a hash takes while it is made, in KiB.
const MEMORY: u32 = 19 * 1024;

/// How often that memory is gone through.
const PASSES: u32 = 2;

/// Bytes of salt.
const SALT: usize = 16;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random(#[source] getrandom::Error),
    /// The hash itself failed: of memory, for instance.
    #[error("a password cannot be hashed")]
    Hash(#[source] Box<dyn Error + Send + Sync>),
}

/// Whether a password may be one.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that begins with what it is.
pub fn check(password: &str) -> Result<(), &'static str> {
    match password.len() {
        ..LEAST => Err("has fewer than 8 characters"),
        LEAST..=MOST => Ok(()),
        _ => Err("has more than 1,024 bytes"),
    }
}

/// A new hash of a password, with a salt of its own, as a PHC string.
///
/// # Errors
/// See [`HashError`].
pub fn hash(password: &str) -> Result<String, HashError> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(HashError::Random)?;
    let hash = hasher()
        .and_then(|hasher| Ok(hasher.hash_password_with_salt(password.as_bytes(), &salt)?))
        .map_err(HashError::Hash)?;
    Ok(hash.to_string())
}

/// Whether a hash is of this password. One that cannot be read is of none.
#[must_use]
pub fn matches(hash: &str, password: &str) -> bool {
    // The parameters are the hash's own.
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

/// Whether a hash was made as [`hash`] makes them.
#[must_use]
pub fn is_current(hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return false;
    };
    hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && hash.version == Some(Version::V0x13.into())
        && Params::try_from(&hash.params).is_ok_and(|params| {
            (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY, PASSES, 1)
        })
}

fn hasher() -> Result<Argon2<'static>, Box<dyn Error + Send + Sync>> {
    let params = Params::new(MEMORY, PASSES, 1, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone_and_never_the_same_twice() {
        let first = hash("correct horse").unwrap();
        assert!(
            first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{first}"
        );
        assert!(matches(&first, "correct horse"));
        for wrong in ["correct horsf", "correct hors", "", "correct horse "] {
            assert!(!matches(&first, wrong), "{wrong:?}");
        }
        assert_ne!(first, hash("correct horse").unwrap());
    }

    #[test]
    fn a_hash_with_other_parameters_is_understood_and_seen_to_be_old() {
        let params = Params::new(64, 1, 1, None).unwrap();
        let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_with_salt(b"correct horse", b"somesalt12345678")
            .unwrap()
            .to_string();
        assert!(matches(&old, "correct horse"));
        assert!(!is_current(&old));
        assert!(is_current(&hash("correct horse").unwrap()));
        assert!(!is_current("nonsense") && !matches("nonsense", "correct horse"));
    }

    #[test]
    fn a_password_has_eight_bytes_to_a_thousand() {
        check("1234567").unwrap_err();
        check("12345678").unwrap();
        check(&"x".repeat(MOST)).unwrap();
        check(&"x".repeat(MOST + 1)).unwrap_err();
    }
}
