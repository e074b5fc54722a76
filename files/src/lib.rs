//! Looks at and changes coder's files, as coder.
//!
//! Init starts one `cib-files` for each connection that control makes, with coder's user and
//! nothing else; it answers one [`FilesRequest`](cib_protocol::files::FilesRequest) and ends. It
//! can read what coder can read, so a link that the agent put somewhere opens nothing that the
//! agent could not open itself. Links are not followed all the same: what a person is shown is
//! what stands at the place that was named.

pub mod app;
pub mod change;
pub mod content;
pub mod entry;
pub mod fault;
pub mod git;
pub mod holders;
pub mod list;
pub mod options;
pub mod place;
pub mod programs;
pub mod run;
pub mod serve;
pub mod trees;
pub mod wire;
