//! A number for each process id, without an allocator.

use core::ptr;

use super::kernel;

/// The kernel's limit for process ids: `PID_MAX_LIMIT` of 64-bit machines.
const IDS: usize = 4 * 1024 * 1024;

/// Memory that the kernel gives page by page as ids come up, at most 32 MB of it.
#[derive(Debug)]
pub(crate) struct Table(*mut u64);

impl Table {
    /// A table of zeroes. Where there is no memory for it, it never remembers anything.
    pub(crate) fn new() -> Self {
        Self(kernel::map(IDS * size_of::<u64>(), libc::MAP_PRIVATE).cast())
    }

    /// Puts a value in the place of an id and returns what was there.
    pub(crate) fn replace(&mut self, pid: i32, value: u64) -> u64 {
        let index = pid.unsigned_abs() as usize;
        if self.0.is_null() || index >= IDS {
            return 0;
        }
        // SAFETY: the index is inside the mapping, which nobody else has.
        let place = unsafe { self.0.add(index) };
        // SAFETY: as above; fresh memory is zero.
        unsafe { ptr::replace(place, value) }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if !self.0.is_null() {
            kernel::unmap(self.0.cast(), IDS * size_of::<u64>());
        }
    }
}
