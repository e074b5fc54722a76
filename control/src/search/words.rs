//! Words that are looked for, and where they stand in a text.

use cib_protocol::api::Snippet;

/// Characters of what somebody looks for.
pub const MAX_QUERY: usize = 200;

/// Words of it.
const MAX_WORDS: usize = 16;

/// Characters that are shown in front of what was found, and behind it.
const AROUND: usize = 80;

/// What is looked for: words that all have to be there, in whatever order and case.
#[derive(Clone, Debug)]
pub struct Words(Vec<String>);

impl Words {
    /// From what somebody typed; `None` if that is nothing, or too much.
    #[must_use]
    pub fn parse(query: &str) -> Option<Self> {
        if query.chars().count() > MAX_QUERY {
            return None;
        }
        let words: Vec<_> = query.split_whitespace().map(str::to_lowercase).collect();
        (!words.is_empty() && words.len() <= MAX_WORDS).then_some(Self(words))
    }

    /// Where the first word stands if all are in a text, with what is around it.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Snippet> {
        if text.is_ascii() {
            // Letters of ASCII are as long in either case.
            let low = text.to_ascii_lowercase();
            let (start, end) = self.place(&low)?;
            return Some(snippet(text, start, end));
        }
        let low = text.to_lowercase();
        let (start, end) = self.place(&low)?;
        let (start, end) = (original(text, start), original(text, end));
        Some(snippet(text, start, end.max(start)))
    }

    /// Where the first word stands in a text in lower case that has them all.
    fn place(&self, low: &str) -> Option<(usize, usize)> {
        let mut first = None;
        for word in &self.0 {
            let at = memchr::memmem::find(low.as_bytes(), word.as_bytes())?;
            first.get_or_insert((at, at + word.len()));
        }
        first
    }
}

/// Where a place of a text's lower case is in the text itself: some letters have another length,
/// or become two.
fn original(text: &str, place: usize) -> usize {
    let mut low = 0;
    for (at, char) in text.char_indices() {
        if low >= place {
            return at;
        }
        low += char.to_lowercase().map(char::len_utf8).sum::<usize>();
    }
    text.len()
}

fn snippet(text: &str, start: usize, end: usize) -> Snippet {
    let (before, rest) = text.split_at(start);
    let (found, after) = rest.split_at(end - start);
    let begin = before
        .char_indices()
        .rev()
        .nth(AROUND - 1)
        .map_or(0, |(at, _)| at);
    let stop = after
        .char_indices()
        .nth(AROUND)
        .map_or(after.len(), |(at, _)| at);
    Snippet {
        before: before[begin..].to_owned(),
        found: found.to_owned(),
        after: after[..stop].to_owned(),
        cut_before: begin > 0,
        cut_after: stop < after.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(query: &str, text: &str) -> Option<String> {
        let found = Words::parse(query).unwrap().find(text)?;
        Some(format!("{}[{}]{}", found.before, found.found, found.after))
    }

    #[test]
    fn all_words_have_to_be_there_in_any_order_and_case() {
        assert_eq!(
            find("FENCE mend", "Mend the fence").unwrap(),
            "Mend the [fence]"
        );
        assert_eq!(find("fence gate", "Mend the fence"), None);
        assert_eq!(find("ÄRGER", "viel Ärger!").unwrap(), "viel [Ärger]!");
        assert_eq!(find("面", "把前面的").unwrap(), "把前[面]的");
    }

    #[test]
    fn a_place_is_right_where_letters_change_their_length() {
        // The capital I with a dot becomes two characters, the Kelvin sign one of another length.
        assert_eq!(find("x", "\u{130}\u{130}x").unwrap(), "\u{130}\u{130}[x]");
        assert_eq!(find("kx", "\u{212a}X").unwrap(), "[\u{212a}X]");
        assert!(find("\u{307}", "\u{130}").is_some());
    }

    #[test]
    fn what_is_around_is_bounded_and_says_that_it_is_cut() {
        let text = format!("{}needle{}", "ä".repeat(500), "ö".repeat(500));
        let found = Words::parse("needle").unwrap().find(&text).unwrap();
        assert_eq!(found.before.chars().count(), AROUND);
        assert_eq!(found.after.chars().count(), AROUND);
        assert!(found.cut_before && found.cut_after);
    }

    #[test]
    fn nothing_and_too_much_are_not_looked_for() {
        assert!(Words::parse(" \n").is_none());
        assert!(Words::parse(&"x".repeat(MAX_QUERY + 1)).is_none());
        assert!(Words::parse(&"x ".repeat(MAX_WORDS + 1)).is_none());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_looked_for_in_whatever_text(query: String, text: String) {
            if let Some(words) = Words::parse(&query) {
                let _ = words.find(&text);
            }
        }
    }
}
