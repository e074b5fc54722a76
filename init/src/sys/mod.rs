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

/// `nix` has the widths of `libc`, which are 32 bits on 32-bit ARM unless it is asked for more: a
/// file of 3 GB or a number of a file beyond 4 billion would then be an error.
const _: () = assert!(
    size_of::<libc::off_t>() == 8 && size_of::<libc::time_t>() == 8,
    "build with --cfg=libc_unstable_gnu_time_bits=\"64\", as .cargo/config.toml does"
);
