//! Init beside its peers, in one run on one machine, so that what the machine does to one it
//! does to the others. Losses stay in the tables.
//!
//! ```text
//! cargo bench -p cib-init --bench init            # everything, some minutes
//! cargo bench -p cib-init --bench init -- start   # one measurement
//! ```
//!
//! Needs root and, from Debian, tini, dumb-init, catatonit, s6, supervisor and perl; `box`
//! also needs redsocks, nftables, iproute2 and microsocks, and `cib-control` and
//! `cib-resolver` beside init. Build all of it with `RUSTFLAGS=-Ctarget-feature=+crt-static`
//! and `--target`, as the image is built: dynamic linking alone costs more than everything
//! measured here. `scripts/bench init` does.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for a terminal, whose only answer to a failed measurement is to stop"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/host_init/boxed.rs"]
mod boxed;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/host_init/support.rs"]
mod support;

mod early;
mod idle;
mod namespace;
mod orphans;
mod peers;
mod real;
mod restart;
mod start;
mod table;
mod term;
mod whole;

/// A measurement's name and what it does.
type Measurement = (&'static str, fn());

const ALL: &[Measurement] = &[
    ("start", start::measure),
    ("term", term::measure),
    ("early", early::measure),
    ("orphans", orphans::measure),
    ("restart", restart::measure),
    ("idle", idle::measure),
    ("box", whole::measure),
];

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    peers::require();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("load before: {}", load.trim());
    for (name, measure) in ALL {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            measure();
        }
    }
}
