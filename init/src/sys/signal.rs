//! What `nix` does not do with signals: it knows no real-time signal as one, and no disposition
//! of those that the C library keeps for itself.

use std::io;
use std::ptr;
use std::time::Duration;

use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::time::TimeSpec;

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

/// Takes the next pending signal, all of which must be blocked; waits for one at most
/// `timeout`, or for ever. `None` when the time is over, or when the process was stopped and
/// continued meanwhile.
#[must_use]
pub fn take(timeout: Option<Duration>) -> Option<i32> {
    let all = SigSet::all();
    let time = timeout.map(TimeSpec::from_duration);
    let time = time
        .as_ref()
        .map_or(ptr::null(), |time| ptr::from_ref(time.as_ref()));
    // SAFETY: the set is one, the time is null or valid for the call, and nobody asks for more
    // than the number.
    let signal = unsafe { libc::sigtimedwait(all.as_ref(), ptr::null_mut(), time) };
    (signal > 0).then_some(signal)
}

/// Has the kernel keep the exit codes of children, and returns whether it would have thrown
/// them away because SIGCHLD was ignored.
#[must_use]
pub fn keep_children() -> bool {
    // SAFETY: the default disposition runs no code of ours.
    let old = unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    matches!(old, Ok(SigHandler::SigIgn))
}

/// Undoes [`keep_children`] where it had something to do.
pub fn ignore_children() {
    // SAFETY: being ignored runs no code of ours.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigIgn) };
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
