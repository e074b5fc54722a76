//! Signals by name.

use nix::sys::signal::Signal;

use super::{MAX, RTMIN};

/// A signal's name without `SIG`: `TERM`, `RTMIN+3`, or the number of one that has none.
#[must_use]
pub fn name(signal: i32) -> String {
    if let Ok(classic) = Signal::try_from(signal) {
        return classic.as_str().trim_start_matches("SIG").to_owned();
    }
    match signal {
        RTMIN => "RTMIN".to_owned(),
        above if (RTMIN..=MAX).contains(&above) => format!("RTMIN+{}", above - RTMIN),
        other => other.to_string(),
    }
}

/// The signal that a person means: a number, or a name with or without `SIG`, in any case,
/// `RTMIN+n` and `RTMAX-n` included.
#[must_use]
pub fn parse(text: &str) -> Option<i32> {
    if let Some(number) = number(text) {
        return (1..=MAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = if let Some(offset) = bare.strip_prefix("RTMIN") {
        RTMIN.checked_add(self::offset(offset, '+')?)?
    } else if let Some(offset) = bare.strip_prefix("RTMAX") {
        MAX.checked_sub(self::offset(offset, '-')?)?
    } else {
        return classic(bare);
    };
    (RTMIN..=MAX).contains(&real_time).then_some(real_time)
}

fn classic(bare: &str) -> Option<i32> {
    // Second names, as `signal(7)` lists them.
    let first = match bare {
        "POLL" => "IO",
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        other => other,
    };
    let known =
        Signal::iterator().find(|signal| signal.as_str().strip_prefix("SIG") == Some(first));
    known.map(|signal| signal as i32)
}

fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    number(text.strip_prefix(sign)?)
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<i32> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_read_back_from_its_name() {
        for signal in (1..=31).chain(RTMIN..=MAX) {
            assert_eq!(parse(&name(signal)), Some(signal));
            let long = format!("sig{}", name(signal).to_ascii_lowercase());
            assert_eq!(parse(&long), Some(signal));
        }
        assert_eq!(name(libc::SIGTERM), "TERM");
        assert_eq!(name(libc::SIGSTKFLT), "STKFLT");
        assert_eq!(name(libc::SIGSYS), "SYS");
        assert_eq!(name(libc::SIGIO), "IO");
        assert_eq!(name(37), "RTMIN+3");
        assert_eq!(name(32), "32");
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "0",
            "65",
            "-1",
            "TERMINATE",
            "RTMIN-1",
            "RTMIN+31",
            "RTMAX-31",
            "RTMIN++1",
            "SIG",
            "+15",
            "99999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("RTMAX"), Some(MAX));
        assert_eq!(parse("RTMAX-30"), Some(RTMIN));
        assert_eq!(parse("SIGIOT"), Some(libc::SIGABRT));
    }
}
