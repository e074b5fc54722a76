//! The keeper of one session.
//!
//! A keeper owns Claude's pipes or its pseudo-terminal and the session's journal, and lives
//! and dies with its session. Everything that decides is a state machine without I/O
//! ([`stream`], [`todo`]); [`journal`], [`meta`] and [`lock`] are what it leaves on disk.

#![deny(unsafe_code)]

pub mod calls;
pub mod journal;
pub mod lock;
pub mod meta;
pub mod stream;
pub mod todo;
