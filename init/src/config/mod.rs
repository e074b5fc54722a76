//! `init.toml`, its drop-ins, and the services that they define.

pub mod service;

pub use service::{ListenAddress, Probe, Readiness, ResourceLimits, Restart, RestartPolicy, Service};
