//! What has to happen before anything else, and what the kernel gave to the process.

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

use super::signal::SignalSet;

static ARGC: AtomicI32 = AtomicI32::new(0);
static ARGV: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());
static ENVP: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());
/// The program's entry point gives this word to `rt_sigprocmask` twice: as the set to block,
/// and as the place for what was blocked before.
pub static INHERITED_MASK: AtomicU64 = AtomicU64::new(u64::MAX);
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Notes what the process was given.
///
/// The program puts this into `.preinit_array`, so that it runs before Rust's and most of the
/// C library's start-up code. The C library calls it with the arguments of `main`.
pub extern "C" fn first(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
    ARGC.store(argc, Ordering::Relaxed);
    ARGV.store(argv.cast_mut(), Ordering::Relaxed);
    ENVP.store(envp.cast_mut(), Ordering::Relaxed);
    STARTED.store(monotonic_ns(), Ordering::Relaxed);
}

/// The signals that were blocked when the process started.
#[must_use]
pub fn inherited_mask() -> SignalSet {
    SignalSet::from_bits(INHERITED_MASK.load(Ordering::Relaxed))
}

/// Microseconds since the process's first instruction of ours.
#[must_use]
pub fn uptime_us() -> u64 {
    monotonic_ns().saturating_sub(STARTED.load(Ordering::Relaxed)) / 1000
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The arguments of the process, where the kernel put them.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    count: usize,
    first: *const *const c_char,
}

impl Arguments {
    /// Those that [`first`] was given; none if it never ran, as in a test.
    #[must_use]
    pub fn of_process() -> Self {
        let first = ARGV.load(Ordering::Relaxed).cast_const();
        let count = usize::try_from(ARGC.load(Ordering::Relaxed)).unwrap_or(0);
        Self {
            count: if first.is_null() { 0 } else { count },
            first,
        }
    }

    /// How many there are, the program's own name included.
    #[must_use]
    pub fn count(self) -> usize {
        self.count
    }

    /// One argument; the program's own name is number 0.
    #[must_use]
    pub fn at(self, index: usize) -> Option<&'static CStr> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the kernel's array has `count` entries, and index is below that.
        let entry = unsafe { self.first.add(index) };
        // SAFETY: the array is readable as long as the process lives.
        let text = unsafe { entry.read() };
        // SAFETY: the kernel ends each argument with NUL and never unmaps it.
        Some(unsafe { CStr::from_ptr(text) })
    }

    /// The arguments from `index` on as bytes.
    pub fn from(self, index: usize) -> impl Iterator<Item = &'static [u8]> + Clone {
        (index..self.count).filter_map(move |i| self.at(i).map(CStr::to_bytes))
    }

    /// The array that `execve` takes, from this argument on.
    pub(super) fn tail(self, index: usize) -> *const *const c_char {
        debug_assert!(index <= self.count);
        // SAFETY: index is at most `count`, where the kernel put the final null pointer.
        unsafe { self.first.add(index) }
    }
}

/// The environment of the process, where the kernel put it; null before [`first`].
pub(super) fn environment() -> *const *const c_char {
    ENVP.load(Ordering::Relaxed).cast_const()
}

/// Closes descriptors `low..=high`; those that are not open do not matter.
pub fn close_range(low: RawFd, high: RawFd) {
    let (Ok(low), Ok(high)) = (u32::try_from(low), u32::try_from(high)) else {
        return;
    };
    // SAFETY: the callers own the range: nothing in the process refers to those numbers.
    let done = unsafe { libc::syscall(libc::SYS_close_range, low, high, 0) };
    if done != 0 {
        // An old kernel or a filter without close_range.
        let top = high.min(4096);
        for fd in low..=top {
            // SAFETY: as above.
            unsafe { libc::close(fd.cast_signed()) };
        }
    }
}

/// Ends the process without running anything of the C library's or Rust's exit code.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(i32::from(code)) }
}
