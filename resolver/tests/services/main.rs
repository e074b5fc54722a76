//! `cib-resolver` on loopback, against an upstream and servers that do as they are told. Needs
//! nothing but the machine's own loopback.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]

mod client;
mod doh;
mod names;
mod outage;
mod program;
mod relay;
mod resolver;
#[path = "../../../upstream/tests/services/started.rs"]
mod started;
#[path = "../../../upstream/tests/services/world.rs"]
mod world;
