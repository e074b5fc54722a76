//! The variables of the container.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cib_init::fuzz::environment(bytes));
