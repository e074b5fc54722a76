//! From bytes to lines, in bounded memory.
//!
//! A line is normally small and passed on as it came. One tool can make it as long as it
//! likes, though, so a line that grows beyond [`Limits::string`] bytes is read with a small
//! JSON lexer that keeps the first [`Limits::string`] bytes of every string and counts the
//! rest. If all that is kept is still too much, what nests deeply goes next, then what comes
//! last. What is left is still JSON, and [`Line::removed`] says what each part of it lost.

use std::borrow::Cow;
use std::mem;

use cib_foreign::json;

/// Levels of a line that are kept when it is too long: the line, its message, the message's
/// content, and a block of that with its id.
const KEPT_LEVELS: u64 = 4;

/// Bytes kept of a string when its line is too long: an id or a name.
const SHORT: usize = 512;

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes kept of one string, counted as they are after unescaping.
    pub string: usize,
    /// Bytes kept of one line after its strings were cut. What is needed to say that more was
    /// left out comes on top, at most as much again and a string.
    pub line: usize,
}

impl Limits {
    /// Bounds for a cap on one tool's output. A result stands in its line twice, and other
    /// fields want room as well.
    #[must_use]
    pub fn for_output(cap: usize) -> Self {
        Self {
            string: cap,
            line: cap.saturating_mul(4).saturating_add(64 * 1024),
        }
    }
}

/// A string that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// Where its closing quote stands in the kept line.
    end: usize,
    /// Bytes taken away, unescaped.
    removed: u64,
}

/// One line, without its newline.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// What was kept of it.
    pub bytes: &'a [u8],
    /// Its length as it came.
    pub size: u64,
    /// Whether it was too long even after cutting, so that `bytes` is only its beginning. Nothing
    /// that is JSON is.
    pub overflowed: bool,
    cuts: &'a [Cut],
}

impl<'a> Line<'a> {
    /// A line of which nothing was cut.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            size: bytes.len() as u64,
            overflowed: false,
            cuts: &[],
        }
    }

    /// What was kept of it as text, see [`json::text`].
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        json::text(self.bytes)
    }

    /// Whether anything was left out of it.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// How many bytes the strings of a part of this line's `text` lost; 0 for a part of another
    /// text.
    #[must_use]
    pub fn removed(&self, text: &str, part: &str) -> u64 {
        if self.cuts.is_empty() {
            return 0;
        }
        let base = text.as_ptr().addr();
        let start = part.as_ptr().addr().wrapping_sub(base);
        let range = start..start.saturating_add(part.len());
        self.cuts
            .iter()
            .filter(|cut| range.contains(&cut.end))
            .map(|cut| cut.removed)
            .sum()
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    /// What is kept of a line that has begun.
    line: Vec<u8>,
    /// Its length so far, as it came.
    size: u64,
    /// Set once it is longer than any string may be.
    lexer: Option<Lexer>,
}

impl Splitter {
    /// A splitter at the beginning of a line.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            line: Vec::new(),
            size: 0,
            lexer: None,
        }
    }

    /// Takes bytes as they come, and calls `each` for every line that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(at) = memchr(bytes) {
            let (head, rest) = bytes.split_at(at);
            bytes = &rest[1..];
            if self.size == 0 && head.len() <= self.limits.string {
                each(Line::whole(head));
            } else {
                self.extend(head);
                self.end(&mut each);
            }
        }
        self.extend(bytes);
    }

    /// Ends a last line that has no newline.
    pub fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if self.size > 0 {
            self.end(&mut each);
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if self.lexer.is_none() {
            if self.line.len() + bytes.len() <= self.limits.string {
                self.line.extend_from_slice(bytes);
                return;
            }
            let begun = mem::take(&mut self.line);
            let mut lexer = Lexer::new(self.limits);
            lexer.feed(&begun, &mut self.line);
            self.lexer = Some(lexer);
        }
        if let Some(lexer) = &mut self.lexer {
            lexer.feed(bytes, &mut self.line);
        }
    }

    fn end(&mut self, each: &mut impl FnMut(Line<'_>)) {
        let mut lexer = self.lexer.take();
        if let Some(lexer) = &mut lexer {
            lexer.end(&mut self.line);
        }
        each(Line {
            bytes: &self.line,
            size: self.size,
            overflowed: lexer.as_ref().is_some_and(|lexer| lexer.overflowed),
            cuts: lexer.as_ref().map_or(&[], |lexer| &lexer.cuts),
        });
        self.size = 0;
        if lexer.is_some() {
            self.line = Vec::new();
        } else {
            self.line.clear();
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// Copies JSON and leaves out what is too much of it.
#[derive(Debug)]
struct Lexer {
    limits: Limits,
    place: Place,
    /// Lists and objects around.
    depth: u64,
    /// The depth inside the list or object whose rest is being left out.
    dropping: Option<u64>,
    /// Bytes of strings left out of it, unescaped.
    dropped: u64,
    /// Bytes that may be kept of the string at hand, unescaped.
    most: usize,
    /// Bytes kept of it.
    kept: usize,
    /// Bytes left out of it, unescaped.
    removed: u64,
    /// Whether the rest of it is being left out.
    cutting: bool,
    /// Whether the unit before was the first half of a surrogate pair.
    half: bool,
    cuts: Vec<Cut>,
    overflowed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Inside,
    /// Behind a backslash.
    Escape,
    /// Behind `\u`, with the value so far and the number of digits still to come.
    Unicode {
        value: u16,
        left: u8,
    },
}

impl Lexer {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Outside,
            depth: 0,
            dropping: None,
            dropped: 0,
            most: 0,
            kept: 0,
            removed: 0,
            cutting: false,
            half: false,
            cuts: Vec::new(),
            overflowed: false,
        }
    }

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let most = self.limits.line * 2 + self.limits.string;
        for &byte in bytes {
            if self.overflowed {
                return;
            }
            self.byte(byte, out);
            if out.len() > most {
                self.overflow(out);
            }
        }
    }

    /// The line ends: what was being left out should have.
    fn end(&mut self, out: &mut Vec<u8>) {
        if self.dropping.is_some() {
            self.overflow(out);
        }
    }

    fn overflow(&mut self, out: &mut Vec<u8>) {
        out.truncate(self.limits.string);
        self.overflowed = true;
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.place {
            Place::Outside => self.outside(byte, out),
            Place::Inside if byte == b'"' => {
                if self.dropping.is_some() {
                    self.dropped += self.removed;
                } else {
                    self.note_cut(self.removed, out);
                    out.push(byte);
                }
                self.place = Place::Outside;
            }
            Place::Inside => {
                // A string may only be cut where a character begins, and never between the
                // halves of a pair: either would make the rest no JSON.
                let begins = byte & 0b1100_0000 != 0b1000_0000;
                if begins && !self.half && self.kept >= self.most {
                    self.cutting = true;
                }
                if byte == b'\\' {
                    self.place = Place::Escape;
                } else {
                    self.half = false;
                    self.count(1);
                }
                self.copy(byte, out);
            }
            Place::Escape => {
                self.copy(byte, out);
                if byte == b'u' {
                    self.place = Place::Unicode { value: 0, left: 4 };
                } else {
                    self.half = false;
                    self.place = Place::Inside;
                    self.count(1);
                }
            }
            Place::Unicode { value, left } => {
                self.copy(byte, out);
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                let value = value << 4 | u16::try_from(digit).unwrap_or(0);
                if left > 1 {
                    let left = left - 1;
                    self.place = Place::Unicode { value, left };
                } else {
                    self.place = Place::Inside;
                    self.unicode(value);
                }
            }
        }
    }

    fn outside(&mut self, byte: u8, out: &mut Vec<u8>) {
        let keeps = self.dropping.is_none();
        match byte {
            b'"' => {
                self.place = Place::Inside;
                self.most = match out.len() > self.limits.line {
                    true => self.limits.string.min(SHORT),
                    false => self.limits.string,
                };
                self.kept = 0;
                self.removed = 0;
                self.cutting = !keeps;
                self.half = false;
            }
            b'[' | b'{' => {
                self.depth += 1;
                if keeps {
                    out.push(byte);
                    self.drop_if_too_much(out);
                }
                return;
            }
            b']' | b'}' => {
                if self.dropping == Some(self.depth) {
                    self.dropping = None;
                    self.note_cut(self.dropped.max(1), out);
                    out.push(byte);
                    self.depth = self.depth.saturating_sub(1);
                    return;
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b',' if keeps => {
                self.drop_if_too_much(out);
                if self.dropping.is_some() {
                    return;
                }
            }
            _ => {}
        }
        if keeps {
            out.push(byte);
        }
    }

    /// Leaves out the rest of the list or object at hand if enough is kept.
    fn drop_if_too_much(&mut self, out: &[u8]) {
        let most = self.limits.line;
        // What nests deeply goes first, then all but the line's own fields, then those.
        let bound = match self.depth {
            0 => usize::MAX,
            1 => most + most / 2,
            2..=KEPT_LEVELS => most + most / 4,
            _ => most,
        };
        if out.len() > bound {
            self.dropping = Some(self.depth);
            self.dropped = 0;
        }
    }

    /// Notes what was left out in front of the byte that comes next.
    fn note_cut(&mut self, removed: u64, out: &[u8]) {
        if removed > 0 {
            let end = out.len();
            self.cuts.push(Cut { end, removed });
        }
    }

    /// Counts an escaped UTF-16 unit by the bytes that it is in UTF-8.
    fn unicode(&mut self, value: u16) {
        let second = self.half && (0xdc00..0xe000).contains(&value);
        self.half = (0xd800..0xdc00).contains(&value);
        self.count(match value {
            _ if second => 0,
            _ if self.half => 4,
            0..0x80 => 1,
            0x80..0x800 => 2,
            _ => 3,
        });
    }

    fn count(&mut self, bytes: usize) {
        if self.cutting {
            self.removed += bytes as u64;
        } else {
            self.kept += bytes;
        }
    }

    fn copy(&mut self, byte: u8, out: &mut Vec<u8>) {
        if !self.cutting {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const LIMITS: Limits = Limits {
        string: 16,
        line: 400,
    };

    #[derive(Debug, PartialEq)]
    struct Seen {
        bytes: Vec<u8>,
        size: u64,
        overflowed: bool,
        removed: u64,
    }

    fn split(chunks: &[&[u8]]) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut splitter = Splitter::new(LIMITS);
        let mut each = |line: Line<'_>| {
            seen.push(Seen {
                bytes: line.bytes.to_vec(),
                size: line.size,
                overflowed: line.overflowed,
                removed: line.cuts.iter().map(|cut| cut.removed).sum(),
            });
        };
        for chunk in chunks {
            splitter.feed(chunk, &mut each);
        }
        splitter.finish(&mut each);
        seen
    }

    #[test]
    fn a_line_without_its_newline_is_a_line_at_the_end() {
        let seen = split(&[b"one\ntw", b"o\n\nthree"]);
        let lines: Vec<_> = seen.iter().map(|line| line.bytes.as_slice()).collect();
        assert_eq!(lines, [&b"one"[..], b"two", b"", b"three"]);
    }

    #[test]
    fn a_long_string_is_cut_and_what_it_lost_is_known_by_its_place() {
        let long = "x".repeat(50);
        let text = json!({"a": long, "b": "short", "c": [long]}).to_string();
        let mut splitter = Splitter::new(LIMITS);
        splitter.feed(text.as_bytes(), |_| ());
        splitter.finish(|line| {
            #[derive(serde::Deserialize)]
            struct Parts<'a> {
                #[serde(borrow)]
                b: &'a serde_json::value::RawValue,
                #[serde(borrow)]
                c: &'a serde_json::value::RawValue,
            }
            let kept = std::str::from_utf8(line.bytes).unwrap();
            let parts: Parts<'_> = serde_json::from_str(kept).unwrap();
            assert_eq!(line.removed(kept, parts.b.get()), 0);
            assert_eq!(line.removed(kept, parts.c.get()), 34);
            assert_eq!(parts.c.get(), format!("[\"{}\"]", "x".repeat(16)));
            assert_eq!(line.size, text.len() as u64);
        });
    }

    #[test]
    fn a_line_without_end_is_kept_only_in_its_beginning() {
        let seen = split(&[&vec![b'['; 100_000], b"\nnext\n"]);
        assert!(seen[0].overflowed);
        assert_eq!(seen[0].bytes.len(), LIMITS.string);
        assert_eq!(seen[0].size, 100_000);
        assert_eq!(seen[1].bytes, b"next");
    }

    #[test]
    fn a_line_of_many_small_values_keeps_its_first_levels_and_is_still_json() {
        let many = vec!["a small string"; 2000];
        let patch = json!({"hunks": [{"lines": many}]});
        let line = json!({
            "a": {"content": [{"id": "t1", "text": "kept"}]},
            "b": patch,
            "c": {"list": many},
            "z": "last",
        });
        let text = line.to_string();
        let mut splitter = Splitter::new(LIMITS);
        splitter.feed(text.as_bytes(), |_| ());
        splitter.finish(|line| {
            assert!(!line.overflowed);
            assert!(line.bytes.len() < 2 * LIMITS.line, "{}", line.bytes.len());
            let text = line.text();
            let kept = json::Object::read(&text).unwrap();
            let content = kept.object("a").unwrap().items("content").unwrap();
            assert!(content[0].contains("t1") && content[0].contains("kept"));
            let lost = 2000 * "a small string".len() as u64;
            assert!(line.removed(&text, kept.get("b").unwrap()) > lost / 2);
            assert!(line.removed(&text, kept.get("c").unwrap()) > lost / 2);
            assert_eq!(kept.string("z").as_deref(), Some("last"));
            assert!(serde_json::from_str::<Value>(&text).is_ok());
        });
    }

    proptest! {
        #[test]
        fn json_that_is_too_long_stays_json_in_bounds(
            shape in proptest::collection::vec((0u8..6, 0usize..40), 1..200),
        ) {
            let mut value = json!("end");
            for (kind, size) in shape {
                value = match kind {
                    0 => json!({"name": value, "x": "y".repeat(size)}),
                    1 => json!([value, "z".repeat(size)]),
                    2 => json!([vec![1; size], value]),
                    3 => json!({"a": vec!["s"; size], "b": value}),
                    4 => json!([[["d".repeat(size)]], value]),
                    _ => json!({"only": value}),
                };
            }
            let text = value.to_string();
            let seen = split(&[text.as_bytes()]);
            prop_assert!(!seen[0].overflowed);
            prop_assert!(seen[0].bytes.len() <= 2 * LIMITS.line + LIMITS.string);
            let kept = std::str::from_utf8(&seen[0].bytes).unwrap();
            prop_assert!(json::parse(kept).is_ok(), "{}", kept);
        }

        #[test]
        fn lines_do_not_depend_on_how_the_bytes_are_split(
            text in proptest::collection::vec("[a\"\\\\{}:,u0-9dD\u{e9}\u{1f600}]{0,60}", 0..6),
            at in proptest::collection::vec(0usize..400, 0..6),
        ) {
            let bytes = text.join("\n").into_bytes();
            let mut cuts: Vec<_> = at.iter().map(|at| at % (bytes.len() + 1)).collect();
            cuts.push(0);
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(split(&chunks), split(&[&bytes]));
        }

        #[test]
        fn what_is_left_of_json_is_json_and_nothing_is_lost_uncounted(
            strings in proptest::collection::vec("[a\\n\"\u{e9}\u{20ac}\u{1f600}\u{7}]{0,40}", 0..4),
            escape in any::<bool>(),
        ) {
            let mut text = serde_json::to_string(&strings).unwrap();
            if escape {
                text = text.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                    let mut units = [0; 2];
                    c.encode_utf16(&mut units).iter().map(|u| format!("\\u{u:04x}")).collect()
                }).collect();
            }
            let seen = split(&[text.as_bytes()]);
            prop_assert!(!seen[0].overflowed);
            let left: Vec<String> = serde_json::from_slice(&seen[0].bytes).unwrap();
            let mut lost = 0;
            for (left, whole) in left.iter().zip(&strings) {
                prop_assert!(whole.starts_with(left.as_str()));
                prop_assert!(left == whole || left.len() >= LIMITS.string);
                lost += whole.len() - left.len();
            }
            prop_assert_eq!(seen[0].removed, lost as u64);
            prop_assert!(serde_json::from_slice::<Value>(&seen[0].bytes).is_ok());
        }
    }
}
