//! Reading journals while their keepers write them.
//!
//! A keeper appends whole lines and takes back what it could not write whole, so every line
//! that ends with a newline is final and everything behind the last newline is not there yet.
//! From that follows the whole design:
//!
//! * a reader is a file offset ([`cursor::Cursor`]); being slow costs nobody but itself;
//! * a position is a seq, and since seqs ascend, its offset is found by bisecting the file
//!   ([`cib_journal::seek`]); there is no index to build, to keep in memory or to lose;
//! * one [`tail::Tail`] for each session that somebody reads knows how far the journal is
//!   final, and is woken by inotify ([`hub::Hub`]).

pub mod cursor;
pub mod earlier;
pub mod file;
pub mod hub;
pub mod tail;
mod watches;

pub use cib_journal::FILE;
