//! How the process began, and how it ends.

use cib_bare::Process;

/// Microseconds since the process's first instruction of ours.
#[must_use]
pub fn uptime_us() -> u64 {
    monotonic_ns().saturating_sub(Process::started_ns()) / 1000
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
