//! What the processes of the box say to each other and to clients.
//!
//! Four conversations, one module each, and the words they share:
//!
//! * [`frame`]: a session's journal, which every client reads;
//! * [`init`]: the lines on init's control socket;
//! * [`keeper`]: the lines on a keeper's socket;
//! * [`login`]: the lines on the socket of the keeper of logins;
//! * [`session`]: what a session is asked to be ([`session::SessionSpec`]) and what it
//!   is ([`session::SessionMeta`]);
//! * [`purge`]: what the removal of a session came to;
//! * [`api`]: bodies of the HTTP API.
//!
//! Readers ignore fields that they do not know, so that a newer writer can be read by an
//! older reader; requests refuse them, so that a misspelt option is an error and not a
//! silent default.

#![forbid(unsafe_code)]

pub mod api;
pub mod frame;
pub mod init;
pub mod keeper;
pub mod limits;
pub mod login;
mod object;
pub mod purge;
pub mod secret;
pub mod session;
pub mod time;

/// A conversation of one request and one reply per line never carries a longer line than
/// this, in bytes, the newline included. Longer ones are refused before they are parsed.
pub const MAX_LINE: usize = 64 * 1024;

/// A prompt or an answer may be larger than a socket line of [`init`] allows; a keeper
/// takes lines up to this many bytes.
pub const MAX_INPUT_LINE: usize = 8 * 1024 * 1024;
