//! A patch in colours: lines by what they are, words by what they are in their language, and in a
//! line that was changed the words that were.

pub mod syntax;

use syntax::{Kind, Language, Within};

/// Characters of a line in which words are looked for.
const LONG: usize = 1000;

/// Lines that are compared with each other at once, at most.
const MANY: usize = 200;

/// A patch with colours, as a terminal takes them. The text has no control characters.
#[must_use]
pub fn patch(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut sides = Sides::default();
    let mut at = 0;
    let mut in_hunk = false;
    while at < lines.len() {
        let line = lines[at];
        // What looks like a file's name in a hunk is a line that begins with `-- ` or `++ `.
        in_hunk = line.starts_with("@@ ") || (in_hunk && line.starts_with([' ', '+', '-', '\\']));
        if !in_hunk {
            if line.starts_with("diff --git ") {
                sides.language = None;
            } else if let Some(path) = line.strip_prefix("+++ ").or(line.strip_prefix("--- ")) {
                // One of both may be /dev/null.
                sides.language = syntax::of(path.trim_matches('"')).or(sides.language);
            }
            paint(&mut out, "1", line);
            at += 1;
            continue;
        }
        let old = run_of(&lines[at..], '-');
        let new = run_of(&lines[at + old..], '+');
        if old > 0 && old == new && old <= MANY {
            for which in [0, 1] {
                for pair in 0..old {
                    let both = [lines[at + pair], lines[at + old + pair]];
                    let standing_out = changed(both[which], both[1 - which]);
                    sides.paint(&mut out, both[which], standing_out);
                }
            }
        } else {
            for line in &lines[at..at + (old + new).max(1)] {
                if line.starts_with('@') {
                    // What stands between two hunks is not seen.
                    (sides.old, sides.new) = Default::default();
                    paint(&mut out, "36", line);
                } else {
                    sides.paint(&mut out, line, None);
                }
            }
        }
        at += (old + new).max(1);
    }
    out
}

/// What both sides of a patch are in.
#[derive(Debug, Default)]
struct Sides {
    language: Option<&'static Language>,
    old: Within,
    new: Within,
}

impl Sides {
    /// A line of a hunk, with the part of it that stands out.
    fn paint(&mut self, out: &mut String, line: &str, standing_out: Option<(usize, usize)>) {
        let base = match line.as_bytes().first() {
            Some(b'+') => "32",
            Some(b'-') => "31",
            _ => "",
        };
        let mut parts = Vec::new();
        if let (Some(language), true) = (self.language, line.len() <= LONG && line.len() > 1) {
            let text = &line[1..];
            parts = match base {
                "31" => language.parts(text, &mut self.old),
                "32" => language.parts(text, &mut self.new),
                _ => {
                    let _ = language.parts(text, &mut self.old);
                    language.parts(text, &mut self.new)
                }
            };
        }
        if base.is_empty() && parts.is_empty() {
            return paint(out, "", line);
        }
        // Where something begins or ends; what ends goes first.
        let mut marks: Vec<(usize, bool, &str)> = Vec::new();
        let plain = if base.is_empty() { "39" } else { base };
        for (from, to, kind) in parts {
            let (on, off) = match kind {
                Kind::Keyword => ("1", "22"),
                Kind::Comment => ("2", "22"),
                Kind::Text => ("33", plain),
                Kind::Number => ("36", plain),
            };
            marks.push((from + 1, true, on));
            marks.push((to + 1, false, off));
        }
        if let Some((from, to)) = standing_out {
            marks.push((from, true, "7"));
            marks.push((to, false, "27"));
        }
        marks.sort_by_key(|(at, begins, _)| (*at, *begins));
        let sgr = |out: &mut String, code: &str| {
            for part in ["\x1b[", code, "m"] {
                out.push_str(part);
            }
        };
        if !base.is_empty() {
            sgr(out, base);
        }
        let mut at = 0;
        for (mark, _, code) in marks {
            out.push_str(&line[at..mark]);
            sgr(out, code);
            at = mark;
        }
        out.push_str(&line[at..]);
        out.push_str("\x1b[0m\n");
    }
}

fn run_of(lines: &[&str], sign: char) -> usize {
    lines
        .iter()
        .take_while(|line| line.starts_with(sign))
        .count()
}

fn paint(out: &mut String, sgr: &str, line: &str) {
    if sgr.is_empty() {
        out.push_str(line);
    } else {
        for part in ["\x1b[", sgr, "m", line, "\x1b[0m"] {
            out.push_str(part);
        }
    }
    out.push('\n');
}

/// The part of a line by which it differs from the one that it was made of. Of two lines that have
/// little in common nothing stands out.
fn changed(line: &str, other: &str) -> Option<(usize, usize)> {
    let (start, end) = differing(&line[1..], &other[1..]);
    let (start, end) = (start + 1, end + 1);
    let common = line.len() - (end - start);
    let stands_out = line.len().max(other.len()) <= LONG && common * 2 >= line.len() && start < end;
    stands_out.then_some((start, end))
}

/// Where a text differs from another one, in bytes; no word of it is taken apart.
fn differing(text: &str, other: &str) -> (usize, usize) {
    let (words, others) = (words(text), words(other));
    let both = words.len().min(others.len());
    let same = |at: &usize| words[*at] == others[*at];
    let start = (0..both).take_while(same).count();
    let same = |at: &usize| words[words.len() - 1 - at] == others[others.len() - 1 - at];
    let end = (0..both - start).take_while(same).count();
    let length = |words: &[&str]| words.iter().map(|word| word.len()).sum::<usize>();
    let last = length(&words[words.len() - end..]);
    (length(&words[..start]), text.len() - last)
}

/// Words, and what is between them character by character.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut before = false;
    for (at, c) in text.char_indices() {
        let is_word = c.is_alphanumeric() || c == '_';
        if at > start && !(is_word && before) {
            words.push(&text[start..at]);
            start = at;
        }
        before = is_word;
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_words_that_were_changed_stand_out() {
        let text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n same\n-let first = call(1);\n+let second = call(1);\n";
        let painted = patch(text);
        for words in [
            "\x1b[1m--- a/x\x1b[0m\n",
            "\x1b[36m@@ -1,2 +1,2 @@\x1b[0m\n same\n",
            "\x1b[31m-let \x1b[7mfirst\x1b[27m = call(1);\x1b[0m\n",
            "\x1b[32m+let \x1b[7msecond\x1b[27m = call(1);\x1b[0m\n",
        ] {
            assert!(painted.contains(words), "{words:?} is not in {painted:?}");
        }
    }

    #[test]
    fn words_have_the_colours_of_their_language_and_the_line_keeps_its_own() {
        let text = "diff --git a/x.rs b/x.rs\n--- /dev/null\n+++ b/x.rs\n@@ -0,0 +1,2 @@\n+let x = \"y\"; // z\n use\n";
        let painted = patch(text);
        for words in [
            "\x1b[32m+\x1b[1mlet\x1b[22m x = \x1b[33m\"y\"\x1b[32m; \x1b[2m// z\x1b[22m\x1b[0m\n",
            "\n \x1b[1muse\x1b[22m\x1b[0m\n",
        ] {
            assert!(painted.contains(words), "{words:?} is not in {painted:?}");
        }
    }

    #[test]
    fn a_line_that_looks_like_a_files_name_is_a_line() {
        let painted = patch("@@ -1 +0,0 @@\n--- a comment of SQL\n");
        assert!(painted.contains("\x1b[31m--- a comment"), "{painted:?}");
    }

    proptest! {
        #[test]
        fn a_patch_in_colours_is_the_same_patch(
            lines in prop::collection::vec("[-+ @\\\\][-+@a-zé_(). ]{0,12}", 0..20)
        ) {
            let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let text = format!("+++ b/x.rs\n@@ -1 +1 @@\n{lines}");
            let mut bare = String::new();
            let painted = patch(&text);
            let mut rest = painted.as_str();
            while let Some((before, after)) = rest.split_once('\x1b') {
                bare.push_str(before);
                rest = after.split_once('m').unwrap().1;
            }
            bare.push_str(rest);
            prop_assert_eq!(bare, text);
        }
    }
}
