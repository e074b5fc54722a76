//! PID 1 of the box. What it does is in the library; here is only how it begins.

#![no_main]

mod entry;

use std::ffi::{c_char, c_int};

/// The C library calls this before Rust's and the rest of its own start-up code, with the
/// arguments of `main`: see [`cib_init::sys::start::first`].
#[used]
#[expect(
    unsafe_code,
    reason = "the section's name decides when the function is called"
)]
#[unsafe(link_section = ".preinit_array")]
static FIRST: extern "C" fn(c_int, *const *const c_char, *const *const c_char) =
    cib_init::sys::start::first;

/// Not Rust's own entry: that one makes SIGPIPE ignored, opens what is closed of the standard
/// descriptors and reads `/proc/self/maps`, none of which a transparent init may do.
#[expect(unsafe_code, reason = "the symbol that the C library calls")]
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    c_int::from(cib_init::cli::main())
}
