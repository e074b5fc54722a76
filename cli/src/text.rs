//! Text that a box has said, made fit for a terminal.
//!
//! What the agent writes reaches commit messages, names, diffs and the output of git. A terminal
//! obeys control characters, and marks that turn text around make a line read as another one.

use std::fmt::Write as _;

/// The text with every character that a terminal might obey, or that changes the order in which
/// others are shown, as an escape: `\u{1b}`. Line ends and tabs stay.
#[must_use]
pub fn plain(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// As [`plain`], on one line.
#[must_use]
pub fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// As [`plain`], for bytes: what is no UTF-8 becomes U+FFFD.
#[must_use]
pub fn plain_bytes(bytes: &[u8]) -> String {
    plain(&String::from_utf8_lossy(bytes))
}

/// JSON with the same characters as escapes of JSON: it means the same.
#[must_use]
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) {
            // All of them have four digits at most. Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if stays(c) || !(c.is_control() || turns(c)) {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    out
}

/// Marks of the Unicode Bidirectional Algorithm, and the line ends that no terminal shows.
fn turns(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_instead() {
        assert_eq!(plain("a\x1b]0;title\x07b"), "a\\u{1b}]0;title\\u{7}b");
        assert_eq!(plain("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(plain("if \u{202e}x\u{2066}"), "if \\u{202e}x\\u{2066}");
        assert_eq!(plain("tab\tand\nline\r"), "tab\tand\nline\\u{d}");
        assert_eq!(line("tab\tand\nline"), "tab\\u{9}and\\u{a}line");
        assert_eq!(plain("Grüße 你好 🎉"), "Grüße 你好 🎉");
    }

    #[test]
    fn json_reaches_no_terminal_either_and_means_the_same() {
        let value = serde_json::json!({"a\u{9b}": ["\u{85}\u{202e}x\u{1b}", "é🎉"]});
        let shown = json(&value.to_string());
        assert!(
            !shown.chars().any(|c| c.is_control() || turns(c)),
            "{shown}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_survives(bytes: Vec<u8>) {
            let out = plain_bytes(&bytes);
            prop_assert!(!out.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || turns(c)));
            let out = line(&String::from_utf8_lossy(&bytes));
            prop_assert!(!out.chars().any(|c| c.is_control() || turns(c)));
        }
    }
}
