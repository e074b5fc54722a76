//! Signals by number, all 64 of them.
//!
//! The C library hides numbers 32 and 33 and `nix` knows no real-time signal at all, so sets
//! and masks are the kernel's own 64-bit words here, given to the kernel's own calls.

use std::borrow::Cow;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The highest signal number.
pub const MAX: i32 = 64;
/// The lowest real-time signal that programs may use: the C library keeps 32 and 33.
pub const RTMIN: i32 = 34;

/// A set of signals: bit `n - 1` is signal `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// The set without one.
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

/// Sets the calling thread's mask and returns the one before.
pub fn set_mask(set: SignalSet) -> SignalSet {
    let mut old = 0_u64;
    // SAFETY: both pointers are to words of the size that the last argument gives.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const set.0,
            &raw mut old,
            size_of::<u64>(),
        )
    };
    SignalSet(old)
}

/// A signal that was taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its number.
    pub signal: i32,
    /// Process that sent it; 0 if that is the kernel or lives outside the pid namespace.
    pub sender: i32,
}

/// Takes the next pending signal of `set`, all of which must be blocked; waits for one at
/// most `timeout`, or for ever. `None` when the time is over.
#[must_use]
pub fn wait(set: SignalSet, timeout: Option<Duration>) -> Option<Delivered> {
    let deadline = timeout.map(|t| std::time::Instant::now() + t);
    loop {
        let left = deadline.map(|d| d.saturating_duration_since(std::time::Instant::now()));
        let timespec = left.map(|t| libc::timespec {
            tv_sec: t.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: t.subsec_nanos().cast_signed().into(),
        });
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the set is a word of the size given, the others are null or valid for
        // the call.
        let signal = unsafe {
            libc::syscall(
                libc::SYS_rt_sigtimedwait,
                &raw const set.0,
                info.as_mut_ptr(),
                timespec.as_ref().map_or(ptr::null(), ptr::from_ref),
                size_of::<u64>(),
            )
        };
        if signal > 0 {
            // SAFETY: zeroed memory is a valid siginfo, and the kernel filled it.
            let info = unsafe { info.assume_init() };
            // SAFETY: for signals from `kill` the field is set; for others it is some other
            // integer of the union, or zero.
            let sender = unsafe { info.si_pid() };
            return Some(Delivered {
                signal: i32::try_from(signal).unwrap_or(0),
                sender,
            });
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::EAGAIN) {
            return None;
        }
        // EINTR: a stop and continue of the whole process.
    }
}

/// A descriptor that becomes readable when a signal of `set` is pending. Non-blocking, closed
/// on exec.
///
/// # Errors
/// No descriptor or no memory is left.
pub fn descriptor(set: SignalSet) -> io::Result<OwnedFd> {
    // SAFETY: the set is a word of the size given; -1 asks for a new descriptor.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_signalfd4,
            -1,
            &raw const set.0,
            size_of::<u64>(),
            libc::SFD_NONBLOCK | libc::SFD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One record of a signal descriptor, as the kernel lays it out.
pub const RECORD: usize = size_of::<libc::signalfd_siginfo>();

/// Reads one record of a signal descriptor.
#[must_use]
pub fn decode(record: &[u8; RECORD]) -> Delivered {
    let word = |at: usize| {
        i32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
    };
    Delivered {
        signal: word(std::mem::offset_of!(libc::signalfd_siginfo, ssi_signo)),
        sender: word(std::mem::offset_of!(libc::signalfd_siginfo, ssi_pid)),
    }
}

/// Sends a signal: to a process, to a group if `target` is below -1, or to every process but
/// the caller and PID 1 if it is -1. Signal 0 only asks whether the target is there.
///
/// # Errors
/// There is no such process, or it is not ours to signal.
pub fn send(target: i32, signal: i32) -> io::Result<()> {
    // SAFETY: `kill` takes two integers.
    if unsafe { libc::kill(target, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether a signal's disposition is to be ignored.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks; `old` is valid for writing.
    let done = unsafe { libc::sigaction(signal, ptr::null(), old.as_mut_ptr()) };
    // SAFETY: zeroed memory is a valid sigaction, filled by the call or not.
    done == 0 && unsafe { old.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Gives a signal its default disposition, or lets it be ignored. Async-signal-safe.
pub fn set_ignored(signal: i32, ignored: bool) {
    let action = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    // SAFETY: neither disposition runs code of ours.
    unsafe { libc::signal(signal, action) };
}

/// Gives any signal its default disposition, those included that the C library keeps for
/// itself and refuses. KILL and STOP have no other. Async-signal-safe.
pub fn set_default(signal: i32) {
    // The kernel's own structure differs between machines in order, not in what zero means:
    // default disposition, no flags, empty mask; and it is nowhere longer than this.
    let action = [0_u64; 4];
    // SAFETY: the new action is valid for the call, the old one is not asked for.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            action.as_ptr(),
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
}

/// A signal's name without `SIG`: `TERM`, `RTMIN+3`, or the number of one that has none.
#[must_use]
pub fn name(signal: i32) -> Cow<'static, str> {
    match signal {
        1..=31 => Cow::Borrowed(NAMES[(signal - 1).cast_unsigned() as usize]),
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
    let digits = rest.strip_prefix(sign)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_read_back_from_its_name() {
        for signal in (1..=31).chain(RTMIN..=MAX) {
            assert_eq!(parse(&name(signal)), Some(signal));
            assert_eq!(parse(&format!("sig{}", name(signal))), Some(signal));
        }
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
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("RTMAX"), Some(MAX));
        assert_eq!(parse("RTMAX-30"), Some(RTMIN));
    }

    #[test]
    fn sets_hold_real_time_signals() {
        let set = SignalSet::NONE.with(64).with(15).with(32);
        assert!(set.contains(64) && set.contains(15) && set.contains(32));
        assert!(!set.contains(63) && !set.contains(0) && !set.contains(65));
        assert_eq!(set.without(64).without(15).without(32), SignalSet::NONE);
    }
}
