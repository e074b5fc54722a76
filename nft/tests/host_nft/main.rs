//! The rules in a real kernel, in namespaces of their own.

#[path = "../common/mod.rs"]
mod common;
mod forgery;
mod rulesets;
mod traffic;
mod watch;
