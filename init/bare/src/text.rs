//! Bytes as text, without a call of the C library's.

use crate::time::Time;

/// Whether both are the same bytes. The operator would call `memcmp`.
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a == b)
}

/// As [`equal`], upper and lower case alike.
pub(crate) fn equal_in_any_case(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// What follows `prefix` in any case.
pub(crate) fn after<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    equal_in_any_case(head, prefix).then_some(rest)
}

/// A number in decimal digits and nothing else.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for byte in text {
        value = value.checked_mul(10)?.checked_add(digit(*byte)?)?;
    }
    Some(value)
}

fn digit(byte: u8) -> Option<u64> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

/// Seconds with at most nine places, such as `2.5`.
pub(crate) fn seconds(text: &[u8]) -> Option<Time> {
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let (whole, places) = (parts.next()?, parts.next());
    let mut nanos: u32 = 0;
    if let Some(places) = places {
        if places.is_empty() || places.len() > 9 {
            return None;
        }
        let mut place = 100_000_000;
        for byte in places {
            nanos += digit(*byte)? as u32 * place;
            place /= 10;
        }
    }
    let whole = match (whole, places) {
        ([], Some(_)) => 0,
        _ => number(whole)?,
    };
    Some(Time::new(whole, nanos))
}

/// A number in decimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits {
    bytes: [u8; 10],
    length: u8,
}

impl Digits {
    pub(crate) fn of(number: u32) -> Self {
        let mut bytes = [b'0'; 10];
        let mut left = number;
        let mut length = 0;
        for slot in bytes.iter_mut().rev() {
            *slot = b'0' + (left % 10) as u8;
            left /= 10;
            length += 1;
            if left == 0 {
                break;
            }
        }
        Self { bytes, length }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        let start = self.bytes.len().saturating_sub(usize::from(self.length));
        self.bytes.get(start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for text in [&b""[..], b"+1", b"-1", b"1 ", b"a", b"18446744073709551616"] {
            assert_eq!(number(text), None);
        }
    }

    #[test]
    fn digits_are_read_back_as_their_number() {
        for value in [0, 1, 9, 10, 99, 100, 4_194_304, u32::MAX] {
            let digits = Digits::of(value);
            assert_eq!(digits.as_bytes(), value.to_string().as_bytes());
            assert_eq!(number(digits.as_bytes()), Some(u64::from(value)));
        }
    }

    #[test]
    fn seconds_have_places() {
        let of = |text: &str| seconds(text.as_bytes());
        assert_eq!(of("0"), Some(Time::ZERO));
        assert_eq!(of("2.5"), Some(Time::new(2, 500_000_000)));
        assert_eq!(of(".05"), Some(Time::new(0, 50_000_000)));
        assert_eq!(of("1.000000001"), Some(Time::new(1, 1)));
        for text in ["", ".", "1.", "1.0000000001", "-1", "1e3", "1.2.3", "x"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_prefix_is_found_in_any_case() {
        assert_eq!(after(b"sigTERM", b"SIG"), Some(&b"TERM"[..]));
        assert_eq!(after(b"SI", b"SIG"), None);
        assert!(equal(b"a", b"a") && !equal(b"a", b"A") && !equal(b"a", b"ab"));
    }
}
