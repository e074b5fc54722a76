//! The API with what needs root: chaos with real processes, ports, and reverse proxies.

mod broker;
mod chaos;
#[expect(dead_code, reason = "these tests take what they need of it")]
#[path = "../api/common/mod.rs"]
mod common;
mod mqtt;
mod mqtt_sealed;
mod ports;
mod proxies;
