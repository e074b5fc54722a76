//! Signals by number, all 64 of them.
//!
//! The C library hides numbers 32 and 33 and `nix` knows no real-time signal at all, so sets
//! and masks are given to the kernel's own calls here.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use cib_bare::signal::SignalSet;
pub use cib_bare::signal::{MAX, RTMIN};

/// Sets the calling thread's mask and returns the one before.
pub fn set_mask(set: SignalSet) -> SignalSet {
    let mut old = 0_u64;
    // SAFETY: both pointers are to words of the size that the last argument gives.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const set,
            &raw mut old,
            size_of::<u64>(),
        )
    };
    SignalSet::from_bits(old)
}

/// A signal that was taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its number.
    pub signal: i32,
    /// Process that sent it; 0 if that is the kernel or lives outside the pid namespace.
    pub sender: i32,
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
            &raw const set,
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
pub fn name(signal: i32) -> String {
    let name = cib_bare::signal::name(signal);
    name.parts().map(String::from_utf8_lossy).concat()
}
