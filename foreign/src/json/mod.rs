//! JSON that somebody else wrote: read as far as it can be.
//!
//! Programs write JSON that strict parsers refuse: Node cuts strings inside a surrogate pair,
//! nests as deeply as it is told to, and each version spells a field otherwise. Whoever refuses
//! a whole message for one value of it does not hear what the message says, and the writer may
//! have had that value from its worst enemy. Here a value that cannot be used costs itself.
//!
//! [`text`] makes bytes into text without lone surrogates, [`Object`] reads the fields of one
//! object, each for itself, and [`parse`] makes a value of all that a text holds.

mod object;
mod scan;

use std::borrow::Cow;
use std::fmt::Write as _;

use memchr::memchr;
use serde_json::{Map, Number, Value};

pub use object::Object;
use scan::Scan;

/// Levels of a value. What is nested deeper is told as a string that holds its JSON: nothing is
/// lost, and every reader's own limit is kept.
pub const DEEPEST: usize = 100;

/// The escape of U+FFFD, as long as that of a surrogate.
const REPLACEMENT: &str = r"\ufffd";

/// Text that is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no JSON from byte {at} on")]
pub struct NotJson {
    /// Where it stops being JSON.
    pub at: usize,
}

/// Bytes as text that every parser of JSON takes for the same: what is no UTF-8, and escapes of
/// half a surrogate pair, become U+FFFD. Clean bytes are not copied.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => repaired(text),
        Cow::Owned(text) => match repaired(&text) {
            Cow::Owned(better) => Cow::Owned(better),
            Cow::Borrowed(_) => Cow::Owned(text),
        },
    }
}

/// Text in which each escape of half a surrogate pair is one of U+FFFD. No other byte moves.
#[must_use]
pub fn repaired(text: &str) -> Cow<'_, str> {
    let Some(mut at) = lone_surrogate(text, 0) else {
        return Cow::Borrowed(text);
    };
    let mut better = String::with_capacity(text.len());
    let mut copied = 0;
    loop {
        better.push_str(&text[copied..at]);
        better.push_str(REPLACEMENT);
        copied = at + REPLACEMENT.len();
        match lone_surrogate(text, copied) {
            Some(next) => at = next,
            None => break,
        }
    }
    better.push_str(&text[copied..]);
    Cow::Owned(better)
}

/// Where the first escape of half a pair stands.
fn lone_surrogate(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(found) = memchr(b'\\', &bytes[at..]) {
        let escape = at + found;
        at = match unit(bytes, escape) {
            Some(0xd800..0xdc00) => match unit(bytes, escape + 6) {
                Some(0xdc00..0xe000) => escape + 12,
                _ => return Some(escape),
            },
            Some(0xdc00..0xe000) => return Some(escape),
            Some(_) => escape + 6,
            None => (escape + 2).min(bytes.len()),
        };
    }
    None
}

/// The UTF-16 unit that is escaped at a place.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    if !escape.starts_with(b"\\u") {
        return None;
    }
    escape[2..].iter().try_fold(0u16, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | u16::try_from(digit).ok()?)
    })
}

/// Reads a whole value. Of two fields of one name the later one counts; a number that no number
/// can hold is told as it is written, in a string; so is what nests below [`DEEPEST`].
///
/// # Errors
/// If the text is no JSON.
pub fn parse(text: &str) -> Result<Value, NotJson> {
    let mut scan = Scan::new(text);
    let value = whole(&mut scan, 0);
    match value.filter(|_| scan.is_at_end()) {
        Some(value) => Ok(value),
        None => Err(NotJson { at: scan.at() }),
    }
}

/// The same, and what is no JSON is told as text.
#[must_use]
pub fn parse_or_text(text: &str) -> Value {
    parse(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn whole(scan: &mut Scan<'_>, depth: usize) -> Option<Value> {
    match scan.next()? {
        b'"' => Some(Value::String(scan.string()?.into_owned())),
        b'[' | b'{' if depth == DEEPEST => Some(Value::String(scan.value()?.to_owned())),
        b'[' => {
            let mut items = Vec::new();
            scan.take(b'[')?;
            if scan.take(b']').is_some() {
                return Some(Value::Array(items));
            }
            loop {
                items.push(whole(scan, depth + 1)?);
                if scan.take(b',').is_none() {
                    scan.take(b']')?;
                    return Some(Value::Array(items));
                }
            }
        }
        b'{' => {
            let mut fields = Map::new();
            scan.take(b'{')?;
            if scan.take(b'}').is_some() {
                return Some(Value::Object(fields));
            }
            loop {
                scan.next().filter(|&byte| byte == b'"')?;
                let name = scan.string()?.into_owned();
                scan.take(b':')?;
                fields.insert(name, whole(scan, depth + 1)?);
                if scan.take(b',').is_none() {
                    scan.take(b'}')?;
                    return Some(Value::Object(fields));
                }
            }
        }
        _ => match scan.value()? {
            "null" => Some(Value::Null),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            number => Some(self::number(number)),
        },
    }
}

/// A number that follows the grammar.
fn number(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<u64>() {
        return number.into();
    }
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// The string that a text holds.
#[must_use]
pub fn string(text: &str) -> Option<Cow<'_, str>> {
    let mut scan = Scan::new(text);
    scan.next().filter(|&byte| byte == b'"')?;
    scan.string().filter(|_| scan.is_at_end())
}

/// The items of the list that a text holds, each as its text.
#[must_use]
pub fn items(text: &str) -> Option<Vec<&str>> {
    let mut scan = Scan::new(text);
    let mut items = Vec::new();
    scan.take(b'[')?;
    if scan.take(b']').is_none() {
        loop {
            items.push(scan.value()?);
            if scan.take(b',').is_none() {
                scan.take(b']')?;
                break;
            }
        }
    }
    scan.is_at_end().then_some(items)
}

/// JSON on one line, whatever its reader takes for the end of one: without space, and with every
/// control character and line separator of its strings escaped. Numbers stay as they are.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let (mut inside, mut escaped) = (false, false);
    for letter in text.chars() {
        match letter {
            ' ' | '\t' | '\r' | '\n' if !inside => continue,
            '"' if !escaped => inside = !inside,
            _ => {}
        }
        escaped = inside && letter == '\\' && !escaped;
        if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') {
            // Writing to a string cannot fail.
            let _ = write!(line, "\\u{:04x}", u32::from(letter));
        } else {
            line.push(letter);
        }
    }
    line
}

#[cfg(test)]
mod tests;
