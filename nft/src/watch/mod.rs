//! What the kernel tells while the box runs, without a child process and without a thread.
//!
//! - [`Changes`]: somebody changed a rule, of ours or of anybody;
//! - [`Links`]: a device came or went (`docker network connect`);
//! - [`Refusals`]: a packet was refused, and whose it was.
//!
//! Each needs a Tokio runtime with I/O and time, of any kind. Each belongs to the network
//! namespace in which it was opened; the first and the last need `NET_ADMIN` there.
//!
//! The messages are taken apart here: of three kinds of message four fields each are wanted,
//! for which the crates of the netlink family would bring in every type of all of them.

mod changes;
mod links;
mod netlink;
mod refusals;

pub use changes::{Change, Changes};
pub use links::Links;
pub use refusals::{Refusal, Refusals};
