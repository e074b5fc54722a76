//! Finding the ends of values in a text, without a stack.

use std::borrow::Cow;

use memchr::memchr2;

/// A place in a text.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Whether nothing but space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.next().is_none()
    }

    /// The byte that comes next behind space; it stays.
    pub(super) fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes a byte, if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// Takes a string, from its quote on.
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        let has_escapes = self.pass_string()?;
        let inside = self.text.get(start..self.at - 1)?;
        if has_escapes {
            unescaped(inside).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inside))
        }
    }

    /// Takes a value of any kind, and returns its text. What is inside a list or an object is
    /// not looked at.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        let first = self.next()?;
        let start = self.at;
        match first {
            b'"' => {
                self.pass_string()?;
            }
            b'[' | b'{' => self.pass_container()?,
            _ => {
                let rest = &self.bytes()[start..];
                let end = rest.iter().position(|byte| !is_scalar(*byte));
                let end = start + end.unwrap_or(rest.len());
                let scalar = self.text.get(start..end)?;
                if !matches!(scalar, "null" | "true" | "false") && !is_number(scalar.as_bytes()) {
                    return None;
                }
                self.at = end;
            }
        }
        self.text.get(start..self.at)
    }

    /// Goes behind the string that begins here; returns whether it has escapes.
    fn pass_string(&mut self) -> Option<bool> {
        let bytes = self.bytes();
        let mut has_escapes = false;
        let mut at = self.at + 1;
        loop {
            at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return Some(has_escapes);
            }
            has_escapes = true;
            at += 2;
        }
    }

    /// Goes behind the list or object that begins here.
    fn pass_container(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match *self.bytes().get(self.at)? {
                b'"' => {
                    self.pass_string()?;
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Whether bytes are a number as JSON writes it.
fn is_number(bytes: &[u8]) -> bool {
    fn digits(bytes: &[u8]) -> Option<&[u8]> {
        let count = bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        (count > 0).then(|| &bytes[count..])
    }
    let whole = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let rest = match whole {
        [b'0', rest @ ..] => Some(rest),
        _ => digits(whole),
    };
    let rest = match rest {
        Some([b'.', rest @ ..]) => digits(rest),
        rest => rest,
    };
    let rest = match rest {
        Some([b'e' | b'E', rest @ ..]) => match rest {
            [b'+' | b'-', rest @ ..] | rest => digits(rest),
        },
        rest => rest,
    };
    rest.is_some_and(<[u8]>::is_empty)
}

/// The characters of a string whose text has escapes.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        plain.push_str(before);
        let kind = behind.bytes().next()?;
        let (letter, len) = match kind {
            b'"' | b'\\' | b'/' => (char::from(kind), 1),
            b'b' => ('\u{8}', 1),
            b'f' => ('\u{c}', 1),
            b'n' => ('\n', 1),
            b'r' => ('\r', 1),
            b't' => ('\t', 1),
            b'u' => {
                let at = before.len();
                let first = super::unit(rest.as_bytes(), at)?;
                let second = super::unit(rest.as_bytes(), at + 6);
                let pair = [first, second.unwrap_or(0)];
                match char::decode_utf16(pair).next()? {
                    Ok(letter) => (letter, if letter.len_utf16() == 2 { 11 } else { 5 }),
                    Err(_) => (char::REPLACEMENT_CHARACTER, 5),
                }
            }
            _ => return None,
        };
        plain.push(letter);
        rest = behind.get(len..)?;
    }
    plain.push_str(rest);
    Some(plain)
}
