//! Keeps how the process began: when, with which mask, and with which environment.

use std::ffi::c_char;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Instant;

use nix::sys::signal::SigSet;

struct Start {
    at: Instant,
    mask: SigSet,
}

static START: OnceLock<Start> = OnceLock::new();

/// The environment that the kernel made; null in a test.
static ENVIRONMENT: AtomicPtr<*mut c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Blocks every signal and keeps in mind how the process was given. The first thing that a
/// program does: a signal that comes before it can be handled is lost.
pub fn begin(environment: *mut *mut c_char) {
    let mask = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK);
    let _ = START.set(Start {
        at: Instant::now(),
        mask: mask.unwrap_or_else(|_| SigSet::empty()),
    });
    ENVIRONMENT.store(environment, Ordering::Relaxed);
}

/// The signals that were blocked when the process began.
#[must_use]
pub fn mask() -> SigSet {
    START.get().map_or_else(SigSet::empty, |start| start.mask)
}

/// Microseconds since the program's first own instruction.
#[must_use]
pub fn uptime_us() -> u64 {
    let since = START.get().map(|start| start.at.elapsed().as_micros());
    since.map_or(0, |micros| micros.try_into().unwrap_or(u64::MAX))
}

/// The environment block that the kernel made, ended by a null pointer.
pub(super) fn environment() -> *mut *mut c_char {
    ENVIRONMENT.load(Ordering::Relaxed)
}
