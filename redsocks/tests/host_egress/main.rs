//! The way out on a real network: the real redsocks, dante and microsocks, real look-ups by
//! glibc and musl, in network namespaces. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]

mod capacity;
mod credentials;
mod dns;
mod health;
mod lab;
mod redirect;
mod world;
