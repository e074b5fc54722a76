//! Lines with the time of their writing in them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What stands before the time.
const STAMP: &str = "written at ";

/// Text of about the length that Claude streams.
const FILLER: &str = "and some words around it";

/// Nanoseconds by the wall clock, which all processes of a machine share.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// A text that tells when it was made.
pub(super) fn text() -> String {
    format!("{STAMP}{} {FILLER}", now())
}

/// How long ago the text in these bytes was made; `None` if there is none.
pub(super) fn age(bytes: &[u8]) -> Option<Duration> {
    let at = memchr::memmem::find(bytes, STAMP.as_bytes())?;
    let digits = bytes[at + STAMP.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    Some(Duration::from_nanos(now().saturating_sub(digits)))
}
