//! Signals by number and name.

use std::borrow::Cow;

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The highest signal number.
pub const MAX: i32 = 64;
/// The lowest real-time signal that programs may use: the C library keeps 32 and 33.
pub const RTMIN: i32 = 34;

/// A signal's name without `SIG`: `TERM`, `RTMIN+3`, or the number of one that has none.
#[must_use]
pub fn name(signal: i32) -> Cow<'static, str> {
    match signal {
        1..=31 => Cow::Borrowed(NAMES[(signal - 1) as usize]),
        RTMIN => Cow::Borrowed("RTMIN"),
        35..=MAX => Cow::Owned(format!("RTMIN+{}", signal - RTMIN)),
        _ => Cow::Owned(signal.to_string()),
    }
}

/// The signal that a person means: a number, or a name with or without `SIG`, in any case,
/// `RTMIN+n` and `RTMAX-n` included.
#[must_use]
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=MAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|name| *name == bare) {
        return i32::try_from(index + 1).ok();
    }
    let number = if let Some(rest) = bare.strip_prefix("RTMIN") {
        RTMIN.checked_add(offset(rest, '+')?)?
    } else if let Some(rest) = bare.strip_prefix("RTMAX") {
        MAX.checked_sub(offset(rest, '-')?)?
    } else {
        return match bare {
            "POLL" => Some(29),
            "IOT" => Some(6),
            "CLD" => Some(17),
            _ => None,
        };
    };
    (RTMIN..=MAX).contains(&number).then_some(number)
}

fn offset(rest: &str, sign: char) -> Option<i32> {
    if rest.is_empty() {
        return Some(0);
    }
    rest.strip_prefix(sign)?.parse().ok().filter(|n| *n >= 0)
}
