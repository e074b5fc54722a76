#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cib_envelope::fuzz::message(bytes));
