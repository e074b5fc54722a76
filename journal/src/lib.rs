//! The journal of a session, as those who write it and those who read it both know it.
//!
//! `transcript.jsonl` holds one frame a line, `seq` from 1 without a gap, and a line that ends
//! with a newline is final. Everything that is known of a session follows from it:
//!
//! * [`line`] reads the head of a frame, and tells a frame from what only looks like one;
//! * [`seek`] finds the end of a journal and a position in it, without an index;
//! * [`fold`] makes of a journal's frames what the session is.
//!
//! A journal may have been written by somebody who means ill, so every search has a bound: the
//! longest line, and the most lines in a row that are no frames.

pub mod fold;
pub mod line;
pub mod seek;

pub use fold::{Fold, FoldError, Progress};

/// Name of the journal in its session's directory.
pub const FILE: &str = "transcript.jsonl";

/// Bytes that a line may have. A frame of a keeper stays far below: a message has up to 8 MiB,
/// and one tool's output is cut at 1 MiB.
pub const MAX_LINE: u64 = 32 * 1024 * 1024;
