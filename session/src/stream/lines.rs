//! From bytes to lines, in bounded memory.
//!
//! A line is normally small and passed on as it came. One tool can make it as long as it
//! likes, though, so a line that grows beyond [`Limits::string`] bytes is read with a small
//! JSON lexer that keeps the first [`Limits::string`] bytes of every string and counts the
//! rest. What is left is still JSON, and [`Line::removed`] says what each part of it lost.

use std::mem;

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes kept of one string, counted as they are after unescaping.
    pub string: usize,
    /// Bytes kept of one line after its strings were cut.
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
    /// Whether it was too long even after cutting, so that `bytes` is only its beginning.
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

    /// How many bytes the strings of a part of this line lost; 0 for text from elsewhere.
    #[must_use]
    pub fn removed(&self, part: &str) -> u64 {
        if self.cuts.is_empty() {
            return 0;
        }
        let base = self.bytes.as_ptr().addr();
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
        let lexer = self.lexer.take();
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

/// Copies JSON and leaves out what is too much of a string.
#[derive(Debug)]
struct Lexer {
    limits: Limits,
    place: Place,
    /// Bytes kept of the string at hand, unescaped.
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
            kept: 0,
            removed: 0,
            cutting: false,
            half: false,
            cuts: Vec::new(),
            overflowed: false,
        }
    }

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if self.overflowed {
                return;
            }
            self.byte(byte, out);
            if out.len() > self.limits.line {
                out.truncate(self.limits.string);
                self.overflowed = true;
            }
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.place {
            Place::Outside => {
                if byte == b'"' {
                    self.place = Place::Inside;
                    self.kept = 0;
                    self.removed = 0;
                    self.cutting = false;
                    self.half = false;
                }
                out.push(byte);
            }
            Place::Inside if byte == b'"' => {
                if self.removed > 0 {
                    self.cuts.push(Cut {
                        end: out.len(),
                        removed: self.removed,
                    });
                }
                self.place = Place::Outside;
                out.push(byte);
            }
            Place::Inside => {
                // A string may only be cut where a character begins, and never between the
                // halves of a pair: either would make the rest no JSON.
                let begins = byte & 0b1100_0000 != 0b1000_0000;
                if begins && !self.half && self.kept >= self.limits.string {
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
            let parts: Parts<'_> = serde_json::from_slice(line.bytes).unwrap();
            assert_eq!(line.removed(parts.b.get()), 0);
            assert_eq!(line.removed(parts.c.get()), 34);
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

    proptest! {
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
