//! The redirector: the program that takes redirected TCP to the upstream.
//!
//! Init calls this crate. It starts no process and no thread, never blocks on the network, and
//! writes no log.
#![forbid(unsafe_code)]

mod listener;
mod next_hop;
mod quote;
mod redirector;
mod redsocks;
pub mod selftest;

pub use listener::listener;
pub use next_hop::{NextHop, next_hop};
pub use redirector::{ConfigurationFault, Readiness, Redirector, Settings};
pub use redsocks::Redsocks;
