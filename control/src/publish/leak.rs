//! Secrets in what is to be published: those of the box, and what looks like anybody's.

use cib_base::{hex, print};
use cib_protocol::init::SecretPrint;
use sha2::{Digest as _, Sha256};

/// Bytes that two pieces of a text have to share, so that nothing is missed between them.
pub const OVERLAP: usize = 8 * 1024;

/// How tokens look that are known by their beginning: the beginning, which letters follow, and how
/// many of them at least.
const SHAPES: [(&str, Letters, usize, &str); 19] = [
    ("ghp_", Letters::Word, 36, "a token of GitHub"),
    ("gho_", Letters::Word, 36, "a token of GitHub"),
    ("ghu_", Letters::Word, 36, "a token of GitHub"),
    ("ghs_", Letters::Word, 36, "a token of GitHub"),
    ("ghr_", Letters::Word, 36, "a token of GitHub"),
    ("github_pat_", Letters::Word, 40, "a token of GitHub"),
    ("glpat-", Letters::Dashed, 20, "a token of GitLab"),
    ("sk-ant-", Letters::Dashed, 40, "a key of Anthropic"),
    ("sk-proj-", Letters::Dashed, 40, "a key of OpenAI"),
    ("AKIA", Letters::Capital, 16, "a key of AWS"),
    ("ASIA", Letters::Capital, 16, "a key of AWS"),
    ("AIza", Letters::Dashed, 35, "a key of Google"),
    ("xoxb-", Letters::Dashed, 20, "a token of Slack"),
    ("xoxp-", Letters::Dashed, 20, "a token of Slack"),
    ("npm_", Letters::Word, 36, "a token of npm"),
    ("pypi-", Letters::Dashed, 60, "a token of PyPI"),
    ("sk_live_", Letters::Word, 20, "a key of Stripe"),
    ("rk_live_", Letters::Word, 20, "a key of Stripe"),
    ("dop_v1_", Letters::Word, 64, "a token of DigitalOcean"),
];

/// What a private key begins with, and how its first line ends.
const KEY: (&[u8], &[u8]) = (b"-----BEGIN ", b"PRIVATE KEY-----");

/// Letters of a key's first line between these, at most.
const KEY_KIND: usize = 24;

/// Which letters a token has.
#[derive(Clone, Copy, Debug)]
enum Letters {
    /// Letters, digits and `_`.
    Word,
    /// And `-`.
    Dashed,
    /// Capital letters and digits.
    Capital,
}

impl Letters {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Dashed => byte.is_ascii_alphanumeric() || b"_-".contains(&byte),
            Self::Capital => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        }
    }
}

/// What is looked for, and what is let through all the same.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// What stands before a secret when it is digested.
    pub salt: String,
    /// The box's own.
    pub prints: Vec<SecretPrint>,
    /// What only looks like one.
    pub allowed: Vec<String>,
}

impl Secrets {
    /// What is found in a text, if anything is: never the secret itself.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<&'static str> {
        self.own(text).or_else(|| self.shaped(text))
    }

    fn own(&self, text: &[u8]) -> Option<&'static str> {
        let is_one = |print: &SecretPrint| {
            let length = usize::try_from(print.bytes).unwrap_or(0);
            print::places(text, length, print.roll).any(|at| {
                let found = &text[at..at + length];
                let digest = Sha256::new().chain_update(&self.salt).chain_update(found);
                hex::encode(&digest.finalize()) == print.sha256
            })
        };
        let found = self.prints.iter().any(is_one);
        found.then_some("a secret of the box")
    }

    fn shaped(&self, text: &[u8]) -> Option<&'static str> {
        for (begin, letters, least, what) in SHAPES {
            for at in memchr::memmem::find_iter(text, begin) {
                let before = at.checked_sub(1).map(|before| text[before]);
                if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                    continue;
                }
                let rest = &text[at + begin.len()..];
                let length = rest.iter().take_while(|byte| letters.has(**byte)).count();
                let token = &text[at..at + begin.len() + length];
                // The name of a key of AWS has this length and no other.
                let fits = match letters {
                    Letters::Capital => length == least,
                    _ => length >= least,
                };
                if fits && !self.is_allowed(token) {
                    return Some(what);
                }
            }
        }
        let (begin, end) = KEY;
        memchr::memmem::find_iter(text, begin).find_map(|at| {
            let rest = &text[at + begin.len()..];
            let rest = &rest[..rest.len().min(KEY_KIND + end.len())];
            let kind = memchr::memmem::find(rest, end)?;
            let line = &text[at..at + begin.len() + kind + end.len()];
            // What speaks of keys has no key behind it.
            let body = text.get(at + line.len()..)?.trim_ascii_start();
            let letters = body.iter().take_while(|byte| is_base64(**byte)).count();
            (letters >= 40 && !self.is_allowed(line)).then_some("a private key")
        })
    }

    fn is_allowed(&self, token: &[u8]) -> bool {
        self.allowed.iter().any(|one| one.as_bytes() == token)
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(salt: &str, secret: &str) -> SecretPrint {
        SecretPrint {
            bytes: u32::try_from(secret.len()).unwrap(),
            roll: print::roll(secret.as_bytes()),
            sha256: hex::encode(&Sha256::digest(format!("{salt}{secret}"))),
        }
    }

    #[test]
    fn the_boxs_own_secrets_and_what_looks_like_a_token_are_found_and_words_are_not() {
        let secrets = Secrets {
            salt: "salt".to_owned(),
            prints: vec![print("salt", "correct-horse-battery")],
            allowed: vec![format!("ghp_{}", "a".repeat(36))],
        };
        let key = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", "b3Bl".repeat(20));
        for (text, found) in [
            ("x = \"correct-horse-battery\"", Some("a secret of the box")),
            ("correct-horse-batterz", None),
            (
                &format!("t={}", "ghp_".to_owned() + &"b".repeat(36)),
                Some("a token of GitHub"),
            ),
            (&format!("t={}", "ghp_".to_owned() + &"a".repeat(36)), None),
            (
                &format!("sk-ant-api03-{}", "a".repeat(60)),
                Some("a key of Anthropic"),
            ),
            ("AKIAIOSFODNN7EXAMPLE", Some("a key of AWS")),
            ("AKIAIOSFODNN7EXAMPLEANDMORE", None),
            (&key, Some("a private key")),
            ("grep '-----BEGIN RSA PRIVATE KEY-----' *", None),
            ("ghp_short and a sk-ant- prefix", None),
            ("", None),
        ] {
            assert_eq!(secrets.find(text.as_bytes()), found, "{text}");
        }
    }
}
