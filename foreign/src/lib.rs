//! The one door to what somebody else may have made.
//!
//! The agent owns folders that the box has to look into. It can put a link, a pipe, a device or
//! fifteen terabytes of hole where a file is expected, and change it while it is read. Whoever
//! opens such a path the ordinary way follows the link with its own rights, or waits for ever.
//! What is opened here is a regular file, is not waited for, and is read up to a limit that the
//! caller names. What nobody else can have made has a door of its own ([`own`]), so that whoever
//! reads a call of it knows that this was thought of.

mod file;
pub mod json;
pub mod own;
pub mod stat;

pub use file::{ForeignError, is_file, open, open_beneath, open_to_write, read, read_to_string};
