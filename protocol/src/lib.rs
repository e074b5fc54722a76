//! What the processes of the box say to each other and to clients.
//!
//! Five conversations, one module each, and the words they share:
//!
//! * [`accounts`]: the lines on the socket on which root changes accounts;
//! * [`frame`]: a session's journal, which every client reads;
//! * [`init`]: the lines on init's control socket;
//! * [`keeper`]: the lines on a keeper's socket;
//! * [`login`]: the lines on the socket of the keeper of logins;
//! * [`files`]: what control asks of the keeper of coder's files;
//! * [`hooks`]: which events Claude Code has;
//! * [`image`]: images of a message;
//! * [`offers`]: what a Claude has to choose from;
//! * [`session`]: what a session is asked to be ([`session::SessionSpec`]) and what it
//!   is ([`session::SessionMeta`]);
//! * [`task`]: what a task is, and what its journal says;
//! * [`trees`]: what control asks of a task's work tree;
//! * [`purge`]: what the removal of a session came to;
//! * [`api`]: bodies of the HTTP API.
//!
//! Readers ignore fields that they do not know, so that a newer writer can be read by an
//! older reader; requests refuse them, so that a misspelt option is an error and not a
//! silent default.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod api;
pub mod files;
pub mod forge;
pub mod frame;
pub mod hooks;
pub mod image;
pub mod init;
pub mod keeper;
pub mod limits;
pub mod login;
pub mod mqtt;
mod object;
pub mod offers;
pub mod purge;
pub mod scopes;
pub mod secret;
pub mod session;
pub mod task;
pub mod time;
pub mod trees;

/// A conversation of one request and one reply per line never carries a longer line than
/// this, in bytes, the newline included. Longer ones are refused before they are parsed.
pub const MAX_LINE: usize = 64 * 1024;

/// A prompt or an answer may be larger than a socket line of [`init`] allows; a keeper
/// takes lines up to this many bytes.
pub const MAX_INPUT_LINE: usize = 8 * 1024 * 1024;
