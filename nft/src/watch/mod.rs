//! What the kernel tells while the box runs, without a child process and without a thread.
//!
//! - [`Changes`]: somebody changed a rule, of ours or of anybody;
//! - [`Links`]: a device came or went (`docker network connect`);
//! - [`Refusals`]: a packet was refused, and whose it was.
//!
//! Each needs a Tokio runtime with I/O and time, of any kind. Each belongs to the network
//! namespace in which it was opened; the first and the last need `NET_ADMIN` there.
//!
//! `netlink-packet-core` reads the frame of netfilter's messages and their attributes. What the
//! few attributes mean that are needed stands here: see
//! `docs/design/decisions/0013-kept-libraries.md`. Devices come by `rtnetlink`.

mod changes;
mod links;
mod netlink;
mod refusals;

pub use changes::{Change, Changes, generation};
pub use links::Links;
pub use refusals::{Refusal, Refusals};
