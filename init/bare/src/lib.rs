//! The bare init: runs one command, passes signals on, reaps, and leaves nobody behind.
//!
//! It runs at the program's entry point, before the C library has begun: that takes most of a
//! millisecond where asking the processor for its features leaves a virtual machine, and it is
//! of no use to a program that makes a dozen system calls. So the whole life of a bare init is
//! here, on the stack, with system calls of its own; only what is not for it goes on to the C
//! library and the box.
//!
//! Nothing is relocated yet when this runs, and the C library's `memcpy` and its like do not
//! work until it is. The crate therefore needs nobody: no symbol but its own, no constant that
//! holds an address, no panic. That is why slices are compared by a function here, and words
//! stand in one string instead of a table. `images/build/needs-nobody` refuses an object of it
//! that needs anything, on every platform at each build of the programs. What the optimizer makes
//! of it when it sees the whole program is only seen when that runs: the tests of the bare init
//! run on the image's program as well as on a debug build, which is linked dynamically and runs
//! the same code after the dynamic linker.

#![cfg_attr(not(test), no_std)]
#![no_builtins]
#![deny(unsafe_code)]

mod descendants;
mod exit;
mod init;
mod options;
mod program;
pub mod signal;
mod sys;
mod text;
mod time;

use core::time::Duration;

pub use descendants::{KILL_AGAIN, UNKILLABLE, WAKE_AFTER};
pub use exit::{INTERNAL, NOT_EXECUTABLE, NOT_FOUND, OK, USAGE};
pub use sys::process::Process;

// What the box uses too is a function of its own here, and not the one that the bare init
// calls: those that others may call are called by an address that is not there yet.

/// What the box does when it is called by this word, and not the bare init.
#[must_use]
pub fn is_subcommand(word: &[u8]) -> bool {
    program::is_subcommand(word)
}

/// Asks every descendant that is left to end, waits until they have, and kills after `grace`.
/// As PID 1 those are all processes of the namespace. Every signal must be blocked.
pub fn clear(grace: Duration) {
    init::clear(time::Time::of(grace));
}

/// The descendants of this process that have to go: as PID 1, everybody in the namespace.
#[derive(Debug)]
pub struct Remaining(descendants::Remaining);

impl Remaining {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self(descendants::Remaining::of_this_process())
    }

    /// Sends SIGTERM to each that has not had it; whether there was one. They are to be woken
    /// [`WAKE_AFTER`] that.
    pub fn ask(&mut self) -> bool {
        self.0.ask()
    }

    /// Wakes who is stopped, so that it can act on what it was asked.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Sends SIGKILL to all.
    pub fn kill(&self) {
        self.0.kill();
    }
}
