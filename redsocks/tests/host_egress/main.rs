//! The real redsocks, dante and microsocks in network namespaces. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]

mod capacity;
mod credentials;
mod health;
mod lab;
mod redirect;
mod world;
