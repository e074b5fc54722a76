//! Everything that needs `unsafe`: the entry point, system calls, and the memory that the
//! kernel handed over at start. All of it has safe signatures.

#![expect(
    unsafe_code,
    reason = "the one place for assembly and raw system calls"
)]

mod call;
mod entry;
pub(crate) mod kernel;
pub(crate) mod launch;
pub(crate) mod list;
pub(crate) mod process;
pub(crate) mod table;
