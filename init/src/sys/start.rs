//! Keeps how the process began: with which mask and which environment, and when a box did.

use std::ffi::c_char;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Instant;

use nix::sys::signal::SigSet;

/// The mask that the process was given.
static MASK: OnceLock<SigSet> = OnceLock::new();

/// When a box began. The bare init needs no clock.
static BEGAN: OnceLock<Instant> = OnceLock::new();

/// The environment that the kernel made; null in a test.
static ENVIRONMENT: AtomicPtr<*mut c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Blocks every signal and keeps in mind how the process was given. The first thing that a
/// program does: a signal that comes before it can be handled is lost.
pub fn begin(environment: *mut *mut c_char) {
    let mask = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK);
    let _ = MASK.set(mask.unwrap_or_else(|_| SigSet::empty()));
    ENVIRONMENT.store(environment, Ordering::Relaxed);
}

/// The signals that were blocked when the process began.
#[must_use]
pub fn mask() -> SigSet {
    MASK.get().copied().unwrap_or_else(SigSet::empty)
}

/// Begins to count the time that a box is up.
pub fn count() {
    let _ = BEGAN.set(Instant::now());
}

/// Microseconds since [`count`], which is what a box begins with.
#[must_use]
pub fn uptime_us() -> u64 {
    let since = BEGAN.get().map(|began| began.elapsed().as_micros());
    since.map_or(0, |micros| micros.try_into().unwrap_or(u64::MAX))
}

/// The environment block that the kernel made, ended by a null pointer.
pub(super) fn environment() -> *mut *mut c_char {
    ENVIRONMENT.load(Ordering::Relaxed)
}
