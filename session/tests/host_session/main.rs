//! The keeper as it runs: real processes, sockets, file systems and terminals, with scripted
//! CLIs for what goes wrong and the real one for what goes right. Needs root, and the path of
//! the real CLI in `CIB_TEST_CLAUDE`.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod claude;
mod crash;
mod end;
mod groups;
mod hooks;
mod journal;
mod keeper;
mod limits;
mod login;
mod noise;
mod plain;
mod real;
mod shell;
mod toolbox;
mod tty;
mod user;
