//! Egress: every packet leaves through the upstream, or not at all.
//!
//! `docs/spec/egress.md` is the promise; `cib_nft` holds the rules, `cib_redsocks`,
//! `cib_resolver` and `cib_upstream` the way out. This module puts them in order at boot
//! ([`Egress::close`], [`Egress::open`], [`Egress::configure`], [`Egress::prove`]) and watches
//! afterwards ([`Egress::watch`]).
//!
//! One task owns the rules (`actor`), and a pure function says what follows from what happens
//! to them (`machine`). Everything else here looks at the world and tells them, or asks.

mod actor;
mod checks;
mod echo;
mod error;
mod handle;
mod host;
mod inner;
pub mod install;
pub mod joined;
pub mod liveness;
mod machine;
mod message;
pub mod network;
mod path;
mod pins;
mod policy;
mod programs;
pub mod refusals;
mod route;
pub mod rules;
pub mod services;
mod sockets;
mod status;
mod watch;

pub use error::EgressError;
pub use handle::Egress;
pub use machine::RedirectorCommand;
pub use programs::Program;
pub use services::{PROXY_UID, PROXY_USER};
