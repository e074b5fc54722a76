//! Captures of the real CLI, and what is made of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;
mod replay;
mod spoiled;
mod stream;
mod terminal;
mod tty;
