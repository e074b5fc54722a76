//! Everything that needs `unsafe`: signals, starting children, and the memory that the kernel
//! handed over at start. All of it has safe signatures.

#![expect(unsafe_code, reason = "the one place for raw system calls")]

pub mod child;
pub mod environ;
pub mod fork;
pub mod identity;
pub mod memory;
pub mod mounts;
pub mod pidfd;
pub mod ready;
pub mod signal;
pub mod start;
pub mod wait;
