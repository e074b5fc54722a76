//! What every program of the box needs and no library has.
//!
//! Each module is small and knows nothing of the program that uses it. What a library has is
//! used from there.

#![deny(unsafe_code)]

pub mod called;
pub mod errors;
pub mod files;
pub mod hex;
pub mod lfs;
pub mod log;
pub mod password;
pub mod print;
pub mod signals;
pub mod sys;
