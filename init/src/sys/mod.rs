//! Everything that needs `unsafe`.
#![expect(unsafe_code, reason = "the one place for raw system calls")]

pub mod signal;
