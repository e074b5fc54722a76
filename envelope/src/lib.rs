//! The envelope: how a device without TLS speaks to the box over a line that others can read and
//! change.
//!
//! `docs/AES-TRANSPORT.md` is the specification. Everything here is a function of bytes, of times
//! and of random numbers that the caller brings: nothing reads a socket, a clock or a file.
//!
//! [`message`] is what messages begin with, [`keys`] what is derived from a device's secret,
//! [`record`] how the content is sealed, [`head`] and [`item`] what is in it. [`server`] decides
//! which messages are new, [`client`] is the other end. [`legacy`] is what was published before.

#![deny(unsafe_code)]

pub mod client;
#[doc(hidden)]
pub mod fuzz;
pub mod head;
pub mod item;
pub mod keys;
pub mod legacy;
pub mod message;
pub mod record;
pub mod server;
mod window;

/// How a body or a message of the envelope is named on HTTP.
pub const MEDIA: &str = "application/cib-aes-3";
