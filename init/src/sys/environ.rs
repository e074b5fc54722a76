//! Overwrites values in the process's own environment block.

use std::ffi::CStr;

use super::start;

/// Overwrites the values of these variables in the memory that `/proc/self/environ` shows.
/// `std::env` sees them empty from then on.
///
/// Called once, by the only thread, after the values were copied out.
pub fn scrub(names: &[&str]) {
    let mut entry = start::environment();
    if entry.is_null() {
        return;
    }
    loop {
        // SAFETY: the array ends with a null pointer, at which the loop stops.
        let text = unsafe { entry.read() };
        if text.is_null() {
            return;
        }
        // SAFETY: the kernel ended each entry with NUL.
        let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
        let secret = names.iter().find_map(|name| {
            let rest = bytes.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some((name.len() + 1, rest.len()))
        });
        if let Some((start, length)) = secret {
            // SAFETY: `start` is inside the entry, whose memory is the process's own and
            // writable.
            let value = unsafe { text.add(start) };
            // SAFETY: `length` bytes follow before the final NUL, and no slice of them is
            // alive: `bytes` is not used after this.
            unsafe { value.write_bytes(0, length) };
        }
        // SAFETY: not yet at the final null pointer.
        entry = unsafe { entry.add(1) };
    }
}
