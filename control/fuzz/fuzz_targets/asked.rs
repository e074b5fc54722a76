#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cib_control::fuzz::asked(bytes));
