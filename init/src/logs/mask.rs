//! Hides secrets in the log, whoever writes them.

/// A value shorter than this would turn ordinary words into stars; nothing that short is
/// accepted as a token, and init's own messages never quote a secret.
const LEAST: usize = 4;

/// The values to hide.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    secrets: Vec<String>,
}

impl Mask {
    /// Hides a value from now on, and each of its lines, since a log is written in lines; also as
    /// it stands in JSON, which many services write.
    pub fn add(&mut self, secret: &str) {
        for piece in std::iter::once(secret).chain(secret.lines()) {
            let quoted = serde_json::Value::from(piece).to_string();
            for form in [piece, quoted.trim_matches('"')] {
                if form.len() >= LEAST && !self.secrets.iter().any(|known| known == form) {
                    self.secrets.push(form.to_owned());
                }
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

    /// How many bytes at the end of a piece have to wait for what follows it, so that no value is
    /// cut in two of which neither would be known.
    #[must_use]
    pub(super) fn open_end(&self, piece: &[u8]) -> usize {
        let begins = |secret: &String| {
            let first = piece.len() - secret.len().min(piece.len());
            (first..piece.len()).find(|at| secret.as_bytes().starts_with(&piece[*at..]))
        };
        let mut cut = self.secrets.iter().filter_map(begins).min();
        let mut end = piece.len();
        // Nor must a whole one be cut for the beginning of another.
        while let Some(at) = cut {
            end = at;
            cut = self
                .secrets
                .iter()
                .filter_map(|s| across(piece, s.as_bytes(), end))
                .min();
        }
        piece.len() - end
    }
}

/// Where a secret begins that lies across a place in a piece.
fn across(piece: &[u8], secret: &[u8], place: usize) -> Option<usize> {
    let first = (place + 1).saturating_sub(secret.len());
    (first..place).find(|at| piece[*at..].starts_with(secret))
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

    #[test]
    fn a_secret_is_hidden_as_json_has_it_too() {
        let mut mask = Mask::default();
        mask.add("pass\"word\\");
        assert_eq!(mask.apply(r#"{"url":"pass\"word\\"}"#), r#"{"url":"***"}"#);
        assert_eq!(mask.apply(r#"pass"word\"#), "***");
    }

    #[test]
    fn of_a_piece_waits_what_may_be_a_secrets_beginning_and_what_lies_across_it() {
        let mut mask = Mask::default();
        mask.add("abab");
        mask.add("xaba");
        let waits = |piece: &str| mask.open_end(piece.as_bytes());
        assert_eq!(waits("nothing"), 0);
        assert_eq!(waits("... ab"), 2);
        assert_eq!(waits("... abab"), 4, "it may be a part of a longer one");
        assert_eq!(waits("... xaba"), 4);
        assert_eq!(waits("... xab"), 3);
        assert_eq!(waits("ab"), 2);
    }

    proptest! {
        #[test]
        fn no_two_pieces_show_a_secret_that_lies_across_them(
            text in "[abc]{0,24}",
            secrets in proptest::collection::vec("[abc]{4,6}", 1..3),
            cut in 0_usize..24,
        ) {
            let mut mask = Mask::default();
            secrets.iter().for_each(|secret| mask.add(secret));
            let cut = cut.min(text.len());
            let cut = cut - mask.open_end(&text.as_bytes()[..cut]);
            let shown = [mask.apply(&text[..cut]), mask.apply(&text[cut..])].concat();
            // Two of them may overlap, of which one is hidden.
            let whole = mask.apply(&text);
            for secret in &secrets {
                prop_assert!(!shown.contains(secret) || whole.contains(secret), "{shown}");
            }
        }

        #[test]
        fn no_line_shows_a_secret(before in ".{0,20}", secret in "[a-z0-9]{4,20}", after in ".{0,20}") {
            let mut mask = Mask::default();
            mask.add(&secret);
            let line = format!("{before}{secret}{after}");
            prop_assert!(!mask.apply(&line).contains(&secret));
        }
    }
}
