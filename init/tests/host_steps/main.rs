//! The steps of the boot on real file systems, with real ssh, git and GnuPG. Run as root; the
//! mounts that they make are in namespaces of their own.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod agent;
mod git;
mod keys;
mod support;
mod takeover;
mod users;
