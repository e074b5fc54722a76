//! The launcher: the one process of a session that may become the session's user.
//!
//! The keeper decides what runs and keeps the record, as a user that the session's processes
//! can neither signal nor trace. It cannot start anything as somebody else, so a launcher does:
//! it holds nothing but the right to change its ids and to signal, and knows nothing of the
//! session. The two are joined by a pair of sockets and by nothing else.
//!
//! The launcher is the reaper of everything that is started by it, however often that forks,
//! detaches or forgets its environment. When its keeper is gone, however that went, it ends
//! all of it and then itself.

#![deny(unsafe_code)]

mod client;
mod server;
mod sys;
mod wire;

pub use client::{Event, LaunchError, Launcher, Started, connect};
pub use server::{Options, User, serve};
pub use wire::{Hello, MAX_BODY, Program};
