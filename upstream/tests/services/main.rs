//! `cib-connect` and the relay on loopback, against an upstream that does as it is told. Needs
//! nothing but the machine's own loopback.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]

mod bridge;
mod program;
mod relay;
mod started;
#[expect(dead_code, reason = "the tests of cib-resolver use the rest")]
mod world;
