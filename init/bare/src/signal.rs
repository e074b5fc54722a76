//! Signals by number and by name, all 64 of them.
//!
//! The C library hides numbers 32 and 33, and most libraries know no real-time signal at all,
//! so sets are the kernel's own 64-bit words here.

use crate::text::{Digits, after, equal, equal_in_any_case, number};

/// The names of signals 1 to 31, each six bytes wide: a table of strings would hold addresses.
const NAMES: &[u8] = b"\
    HUP   INT   QUIT  ILL   TRAP  ABRT  BUS   FPE   KILL  USR1  SEGV  USR2  PIPE  ALRM  TERM  \
    STKFLTCHLD  CONT  STOP  TSTP  TTIN  TTOU  URG   XCPU  XFSZ  VTALRMPROF  WINCH IO    PWR   \
    SYS   ";
const WIDTH: usize = 6;

/// The highest signal number.
pub const MAX: i32 = 64;
/// The lowest real-time signal that programs may use: the C library keeps 32 and 33.
pub const RTMIN: i32 = 34;

/// A set of signals: bit `n - 1` is signal `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const NONE: Self = Self(0);
    /// Every signal. The kernel ignores KILL and STOP in a mask, and a fault that the process
    /// causes itself ends it even while its signal is blocked.
    pub const ALL: Self = Self(u64::MAX);

    /// From the kernel's word.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The kernel's word.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set with one more signal.
    #[must_use]
    pub const fn with(self, signal: i32) -> Self {
        Self(self.0 | bit(signal))
    }

    /// The set without a signal.
    #[must_use]
    pub const fn without(self, signal: i32) -> Self {
        Self(self.0 & !bit(signal))
    }

    /// Whether the signal is in the set.
    #[must_use]
    pub const fn contains(self, signal: i32) -> bool {
        self.0 & bit(signal) != 0
    }
}

const fn bit(signal: i32) -> u64 {
    if signal < 1 || signal > MAX {
        return 0;
    }
    1 << (signal - 1)
}

/// Whether a signal asks an init to end its box: what engines send, and what managers send that
/// take the box for a machine. `RTMIN+3` and those after it are halt, power off, reboot and kexec,
/// `RTMIN+13` and those after it the same at once (`systemd(1)`).
#[must_use]
pub fn asks_to_end(signal: i32) -> bool {
    ends(signal)
}

pub(crate) fn ends(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGPWR
    ) || (RTMIN + 3..=RTMIN + 6).contains(&signal)
        || (RTMIN + 13..=RTMIN + 16).contains(&signal)
}

/// A signal's name without `SIG`: `TERM`, or `RTMIN` and how far above it, or the number of one
/// that has no name.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    word: &'static [u8],
    digits: Option<Digits>,
}

impl Name {
    /// Both parts of the name, the second being empty for most.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 2] {
        let digits = self.digits.as_ref().map(Digits::as_bytes);
        [self.word, digits.unwrap_or_default()]
    }
}

/// The name of a signal.
#[must_use]
pub fn name(signal: i32) -> Name {
    named(signal)
}

pub(crate) fn named(signal: i32) -> Name {
    let word = |word| Name { word, digits: None };
    match signal {
        1..=31 => word(classic(signal)),
        RTMIN => word(b"RTMIN"),
        35..=MAX => Name {
            word: b"RTMIN+",
            digits: Some(Digits::of((signal - RTMIN).unsigned_abs())),
        },
        _ => Name {
            word: b"",
            digits: Some(Digits::of(signal.unsigned_abs())),
        },
    }
}

/// The name of one of the signals 1 to 31.
fn classic(signal: i32) -> &'static [u8] {
    let start = (signal.unsigned_abs() as usize).saturating_sub(1) * WIDTH;
    let mut name = NAMES.get(start..start + WIDTH).unwrap_or_default();
    while let [shorter @ .., b' '] = name {
        name = shorter;
    }
    name
}

/// The signal that a person means: a number, or a name with or without `SIG`, in any case,
/// `RTMIN+n` and `RTMAX-n` included.
#[must_use]
pub fn parse(text: &[u8]) -> Option<i32> {
    read(text)
}

pub(crate) fn read(text: &[u8]) -> Option<i32> {
    if let Some(number) = number(text) {
        let number = i32::try_from(number).ok()?;
        return (1..=MAX).contains(&number).then_some(number);
    }
    let bare = after(text, b"SIG").unwrap_or(text);
    let mut signal = 1;
    while signal <= 31 {
        if equal_in_any_case(classic(signal), bare) {
            return Some(signal);
        }
        signal += 1;
    }
    let real_time = if let Some(rest) = after(bare, b"RTMIN") {
        RTMIN.checked_add(offset(rest, b"+")?)?
    } else if let Some(rest) = after(bare, b"RTMAX") {
        MAX.checked_sub(offset(rest, b"-")?)?
    } else {
        return other_name(bare);
    };
    (RTMIN..=MAX).contains(&real_time).then_some(real_time)
}

/// Second names, as `signal(7)` lists them.
fn other_name(bare: &[u8]) -> Option<i32> {
    if equal_in_any_case(bare, b"POLL") {
        Some(libc::SIGPOLL)
    } else if equal_in_any_case(bare, b"IOT") {
        Some(libc::SIGABRT)
    } else if equal_in_any_case(bare, b"CLD") {
        Some(libc::SIGCHLD)
    } else {
        None
    }
}

fn offset(rest: &[u8], sign: &[u8]) -> Option<i32> {
    if rest.is_empty() {
        return Some(0);
    }
    let (head, digits) = rest.split_at_checked(1)?;
    if !equal(head, sign) {
        return None;
    }
    i32::try_from(number(digits)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(signal: i32) -> Vec<u8> {
        name(signal).parts().concat()
    }

    #[test]
    fn every_signal_is_read_back_from_its_name() {
        for signal in (1..=31).chain(RTMIN..=MAX) {
            assert_eq!(parse(&spelt(signal)), Some(signal));
            let mut long = b"sig".to_vec();
            long.extend(spelt(signal).to_ascii_lowercase());
            assert_eq!(parse(&long), Some(signal));
        }
        assert_eq!(spelt(libc::SIGTERM), b"TERM");
        assert_eq!(spelt(libc::SIGSTKFLT), b"STKFLT");
        assert_eq!(spelt(libc::SIGSYS), b"SYS");
        assert_eq!(spelt(libc::SIGIO), b"IO");
        assert_eq!(spelt(37), b"RTMIN+3");
        assert_eq!(spelt(32), b"32");
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
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"RTMAX"), Some(MAX));
        assert_eq!(parse(b"RTMAX-30"), Some(RTMIN));
        assert_eq!(parse(b"SIGIOT"), Some(libc::SIGABRT));
    }

    #[test]
    fn sets_hold_real_time_signals() {
        let set = SignalSet::NONE.with(64).with(15).with(32);
        assert!(set.contains(64) && set.contains(15) && set.contains(32));
        assert!(!set.contains(63) && !set.contains(0) && !set.contains(65));
        assert_eq!(set.without(64).without(15).without(32), SignalSet::NONE);
    }
}
