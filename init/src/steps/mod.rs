//! What init prepares before anything else runs: users, keys, git, agents and setup commands.
//!
//! Each step is a function of [`Paths`] and of what was asked for, so that it runs in a test
//! as it does in the box. It says what it changed in one line each ([`Outcome`]) and changes
//! nothing that is already right.

pub mod accounts;
pub mod agent;
pub mod await_copy;
pub mod child_env;
pub(crate) mod files;
pub mod git;
pub mod host;
pub mod keys;
mod outcome;
mod paths;
pub mod secrets;
pub mod setup;
pub mod takeover;
pub mod users;

pub use files::FileError;
pub(crate) use files::{Owner, write_file};
pub use outcome::{Change, Outcome};
pub use paths::Paths;
