//! Fields of answers, which strangers wrote: what is not as it has to be is as if it were absent.

use serde_json::Value;

/// Characters of what a forge says, at most.
const WORDS: usize = 300;

/// The value at a path; `Null` where there is none.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, name| &value[*name])
}

/// The text at a path; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

pub(crate) fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).as_bool().unwrap_or_default()
}

pub(crate) fn number(value: &Value, path: &[&str]) -> Option<u64> {
    at(value, path).as_u64()
}

/// A list's items; none where there is no list.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// Text on one line, cut short.
pub(crate) fn line(text: &str, most: usize) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(most).collect::<String>().trim().to_owned()
}

pub(crate) fn words(text: &str) -> String {
    line(text, WORDS)
}

/// A branch's name, if git takes it as one and as nothing else; else nothing.
pub(crate) fn branch(text: &str) -> String {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let is_odd = text.len() > 250
        || text.starts_with(['-', '/', '.'])
        || text.ends_with(['/', '.'])
        || text.contains("..")
        || text.contains("//")
        || text.contains("@{")
        || text.contains(odd);
    if is_odd {
        String::new()
    } else {
        text.to_owned()
    }
}

/// A commit's id, if it looks like one; else nothing.
pub(crate) fn commit(text: &str) -> String {
    let is_id = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id {
        text.to_ascii_lowercase()
    } else {
        String::new()
    }
}

/// An address that a browser may be led to; else nothing.
pub(crate) fn url(text: &str) -> String {
    let leads = text.starts_with("https://") || text.starts_with("http://");
    let plain = text.len() < 2000 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if leads && plain {
        text.to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_is_what_it_has_to_be_or_nothing() {
        assert_eq!(line("a\nb\u{1b}[31m", 4), "a b");
        assert_eq!(branch("feature/a"), "feature/a");
        for odd in [
            "-f", "a..b", "a b", "a:b", "a\n", "/a", "a/", "@{u}", ".a", "a//b",
        ] {
            assert_eq!(branch(odd), "", "{odd}");
        }
        assert_eq!(commit(&"A".repeat(40)), "a".repeat(40));
        assert_eq!(commit("--upload-pack"), "");
        assert_eq!(url("https://x/1"), "https://x/1");
        assert_eq!(url("javascript:alert(1)"), "");
    }
}
