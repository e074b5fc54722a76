//! Names of repositories.

use std::fmt;
use std::str::FromStr;

/// Bytes of a name, at most.
const MOST: usize = 500;

/// A repository's name at a forge: `owner/name`; at GitLab the owner may have slashes in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug {
    owner: String,
    name: String,
}

/// A text that names no repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a repository is named `owner/name`, of letters, digits, `.`, `_` and `-`")]
pub struct BadSlug;

impl Slug {
    /// Of its two parts.
    ///
    /// # Errors
    /// They are none: empty, or of other characters than an address takes as they are.
    pub fn new(owner: &str, name: &str) -> Result<Self, BadSlug> {
        let name = name.strip_suffix(".git").unwrap_or(name);
        let is_short = owner.len() + name.len() < MOST;
        if is_short && owner.split('/').all(is_part) && is_part(name) {
            return Ok(Self {
                owner: owner.to_owned(),
                name: name.to_owned(),
            });
        }
        Err(BadSlug)
    }

    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its name there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are the same repository; capital letters make no difference to forges.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }
}

/// A part of a path that stays one part, and that no server takes for an option or a folder.
fn is_part(part: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !part.is_empty() && !part.starts_with(['.', '-']) && part.bytes().all(fits)
}

impl FromStr for Slug {
    type Err = BadSlug;

    fn from_str(text: &str) -> Result<Self, BadSlug> {
        let text = text.trim_matches('/');
        let (owner, name) = text.rsplit_once('/').ok_or(BadSlug)?;
        Self::new(owner, name)
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_an_owner_and_nothing_that_an_address_would_take_otherwise() {
        for (text, name) in [
            ("acme/api", "acme/api"),
            ("/acme/api.git/", "acme/api"),
            ("group/sub/api", "group/sub/api"),
            ("a_b/c.d-e", "a_b/c.d-e"),
        ] {
            assert_eq!(text.parse::<Slug>().unwrap().to_string(), name);
        }
        for text in [
            "",
            "api",
            "acme/",
            "/api",
            "acme//api",
            "../api",
            "acme/..",
            "acme/.git",
            "-x/y",
            "a/b?c",
            "a/b#c",
            "a/b%2f",
            "a b/c",
            "a/b\n",
            "a/\u{e9}",
        ] {
            assert_eq!(text.parse::<Slug>(), Err(BadSlug), "{text}");
        }
        assert!(
            "a/".parse::<Slug>().is_err()
                && format!("a/{}", "b".repeat(600)).parse::<Slug>().is_err()
        );
    }
}
