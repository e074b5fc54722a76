//! Init as a real PID 1, in namespaces of its own. Needs root and `unshare`; fails without.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panic and shows what its box said, helpers included"
)]

mod bare_child;
mod bare_end;
mod bare_signals;
mod bare_status;
mod bare_terminal;
mod box_besieged;
mod box_files;
mod box_life;
mod box_logs;
mod box_passwd;
mod box_purge;
mod box_secrets;
mod box_sessions;
mod box_storm;
mod box_task;
mod box_users;
mod box_way;
mod boxed;
mod relay;
mod support;
