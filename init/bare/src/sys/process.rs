//! What the kernel gave to the process.

use core::ffi::c_char;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::{entry, kernel};
use crate::signal::SignalSet;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());
static ENVIRONMENT: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());
static STARTED_S: AtomicUsize = AtomicUsize::new(0);
static STARTED_NS: AtomicUsize = AtomicUsize::new(0);

/// Keeps in mind where everything is, and when it was.
///
/// # Safety
/// `stack` must be what the kernel made for the process.
pub(super) unsafe fn note(stack: *const usize) {
    // SAFETY: the first word is the number of arguments.
    let count = unsafe { stack.read() };
    // SAFETY: the arguments follow.
    let arguments = unsafe { stack.add(1) }.cast::<*const c_char>();
    // SAFETY: the environment follows the null pointer behind the arguments.
    let environment = unsafe { arguments.add(count + 1) };
    COUNT.store(count, Ordering::Relaxed);
    ARGUMENTS.store(arguments.cast_mut(), Ordering::Relaxed);
    ENVIRONMENT.store(environment.cast_mut(), Ordering::Relaxed);
    let now = kernel::now();
    STARTED_S.store(now.seconds() as usize, Ordering::Relaxed);
    STARTED_NS.store(now.nanos() as usize, Ordering::Relaxed);
}

/// The process as it began. Everything is empty where the program did not begin at its own
/// entry point, as in a test.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    count: usize,
    arguments: *const *const c_char,
    environment: *const *const c_char,
}

impl Process {
    /// What the kernel gave.
    #[must_use]
    pub fn given() -> Self {
        Self {
            count: COUNT.load(Ordering::Relaxed),
            arguments: ARGUMENTS.load(Ordering::Relaxed),
            environment: ENVIRONMENT.load(Ordering::Relaxed),
        }
    }

    /// When the program's first instructions ran, in nanoseconds on the monotonic clock.
    #[must_use]
    pub fn started_ns() -> u64 {
        let seconds = STARTED_S.load(Ordering::Relaxed) as u64;
        seconds * 1_000_000_000 + STARTED_NS.load(Ordering::Relaxed) as u64
    }

    /// The signals that were blocked.
    #[must_use]
    pub fn mask() -> SignalSet {
        entry::inherited_mask()
    }

    /// How many arguments there are, the program's own name included.
    #[must_use]
    pub fn count(self) -> usize {
        self.count
    }

    /// One argument; the program's own name is number 0.
    #[must_use]
    pub fn argument(self, index: usize) -> Option<&'static [u8]> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the kernel's array has `count` entries, and index is below that.
        let entry = unsafe { self.arguments.add(index) };
        // SAFETY: the array is readable as long as the process lives.
        let text = unsafe { entry.read() };
        // SAFETY: the kernel ends each argument with NUL and never unmaps it.
        Some(unsafe { bytes(text) })
    }

    /// The arguments from `index` on.
    pub fn arguments(self, index: usize) -> impl Iterator<Item = &'static [u8]> {
        (index..self.count).filter_map(move |i| self.argument(i))
    }

    /// The array that `execve` takes, from this argument on.
    pub(super) fn tail(self, index: usize) -> *const *const c_char {
        // Where the array ends there is a null pointer.
        let index = if index < self.count {
            index
        } else {
            self.count
        };
        // SAFETY: index is at most `count`.
        unsafe { self.arguments.add(index) }
    }

    /// The `NAME=value` entries of the environment, ended by a null pointer; null where it is
    /// not known.
    #[must_use]
    pub fn environment(self) -> *const *const c_char {
        self.environment
    }

    /// The place of the entry of a name, `=` included, and the value.
    pub(super) fn variable(self, name: &[u8]) -> Option<(*mut *const c_char, &'static [u8])> {
        let mut entry = self.environment.cast_mut();
        if entry.is_null() {
            return None;
        }
        loop {
            // SAFETY: the array ends with a null pointer, at which the loop stops.
            let text = unsafe { entry.read() };
            if text.is_null() {
                return None;
            }
            // SAFETY: the kernel ended each entry with NUL.
            let text = unsafe { bytes(text) };
            if let Some((head, value)) = text.split_at_checked(name.len())
                && crate::text::equal(head, name)
            {
                return Some((entry, value));
            }
            // SAFETY: not yet at the final null pointer.
            entry = unsafe { entry.add(1) };
        }
    }
}

/// # Safety
/// `text` must be ended by NUL and stay as it is.
pub(super) unsafe fn bytes(text: *const c_char) -> &'static [u8] {
    let mut length = 0;
    loop {
        // SAFETY: not behind the final NUL.
        let at = unsafe { text.add(length) };
        // SAFETY: as above.
        if unsafe { at.read() } == 0 {
            // SAFETY: so many bytes are before the NUL.
            return unsafe { core::slice::from_raw_parts(text.cast(), length) };
        }
        length += 1;
    }
}
