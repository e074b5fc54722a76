//! Secrets that must not show, whoever writes them.

/// A value shorter than this would turn ordinary words into stars; nothing that short is
/// accepted as a token, and init's own messages never quote a secret.
const LEAST: usize = 4;

/// The values to hide.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    secrets: Vec<String>,
}

impl Mask {
    /// Hides a value from now on, and each of its lines, since a log is written in lines.
    pub fn add(&mut self, secret: &str) {
        for piece in std::iter::once(secret).chain(secret.lines()) {
            if piece.len() >= LEAST && !self.secrets.iter().any(|known| known == piece) {
                self.secrets.push(piece.to_owned());
            }
        }
        // The longest first, so that a secret within another does not leave its rest behind.
        self.secrets
            .sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text without the values.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        let mut shown = std::borrow::Cow::Borrowed(text);
        for secret in &self.secrets {
            if shown.contains(secret.as_str()) {
                shown = shown.replace(secret.as_str(), "***").into();
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longer_secret_goes_first() {
        let mut mask = Mask::default();
        mask.add("secret");
        mask.add("secret-and-more");
        assert_eq!(mask.apply("a secret-and-more b secret"), "a *** b ***");
    }

    #[test]
    fn words_too_short_to_be_secrets_stay() {
        let mut mask = Mask::default();
        mask.add("abc");
        assert_eq!(mask.apply("abc"), "abc");
    }

    proptest! {
        #[test]
        fn no_line_shows_a_secret(before in ".{0,20}", secret in "[a-z0-9]{4,20}", after in ".{0,20}") {
            let mut mask = Mask::default();
            mask.add(&secret);
            let line = format!("{before}{secret}{after}");
            prop_assert!(!mask.apply(&line).contains(&secret));
        }
    }
}
