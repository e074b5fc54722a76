//! `cib-resolver` in a network namespace: real look-ups by glibc and musl, and the relay in front
//! of the real redsocks. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]

mod dns;
#[expect(dead_code, reason = "the tests of redsocks use the rest")]
#[path = "../../../redsocks/tests/host_egress/lab.rs"]
mod lab;
mod program;
mod relay;
#[path = "../../../redsocks/tests/host_egress/world.rs"]
mod world;
