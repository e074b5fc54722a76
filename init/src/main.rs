//! PID 1 of the box. The bare init is in `cib_bare`, where the program begins; the C library and
//! with it this file come after it, for what is the box's.

#![no_main]

use std::ffi::{c_char, c_int};

/// Not Rust's own entry: that one makes SIGPIPE ignored, opens what is closed of the standard
/// descriptors and reads `/proc/self/maps`, none of which a transparent init may do.
#[expect(unsafe_code, reason = "the symbol that the C library calls")]
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    c_int::from(cib_init::cli::main())
}
