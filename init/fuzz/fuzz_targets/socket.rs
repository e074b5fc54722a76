//! What a client sends to the control socket.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cib_init::fuzz::socket(bytes));
