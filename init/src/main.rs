//! PID 1 of the box, and an init for a single command: see the library.

#![no_main]

use std::ffi::{c_char, c_int};

/// Not Rust's own entry: that one makes SIGPIPE ignored, opens what is closed of the standard
/// descriptors and reads `/proc/self/maps`, none of which a transparent init may do.
#[expect(unsafe_code, reason = "the symbol that the C library calls")]
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *mut *mut c_char, environment: *mut *mut c_char) -> c_int {
    cib_init::sys::start::begin(environment);
    c_int::from(cib_init::cli::main())
}
