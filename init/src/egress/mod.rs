//! Egress: every packet leaves through the upstream, or not at all.
//!
//! `docs/spec/egress.md` is the promise; `cib_nft` holds the rules, `cib_redsocks` the way
//! out. This module puts them in order at boot, and watches afterwards.

pub mod install;
pub mod liveness;
pub mod refusals;
pub mod services;

/// The user that redsocks, the resolver and the connect bridge run as.
pub const PROXY_USER: &str = "cib-proxy";
/// Its user and group id in every image (`docs/design/interfaces.md`).
pub const PROXY_UID: u32 = 971;
