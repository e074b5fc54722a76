//! Egress policy as data, and the nftables ruleset as a pure function of it.
//!
//! `docs/spec/egress.md` is the promise: for each state of the box, which packets may flow.
//! This crate is how the promise is kept:
//!
//! 1. an [`EgressPolicy`] says what may leave, in the words of the promise;
//! 2. a [`Ruleset`] is made from it without looking at anything else;
//! 3. it replaces what stood before in one transaction of the kernel;
//! 4. it is read back and compared: [`Ruleset::verify`] answers with the first [`Drift`];
//! 5. [`watch`] tells when anybody changes a rule, when a device appears, and who tried what.
//!
//! Nothing here starts a process. In the box one process alone may wait for children, so every
//! step is an [`Invocation`] for somebody else to run and a [`Finished`] to hand back.
//! [`Enforcement`] puts the steps in order. [`runner::Blocking`] runs them for tests and tools.
//!
//! Only two tables are ever touched, [`Table::Inet`] and [`Table::Netdev`]; every other table,
//! and Docker's in particular, stays as it is.

#![forbid(unsafe_code)]

mod counters;
mod enforcement;
mod invocation;
mod lan;
mod policy;
mod ruleset;
pub mod runner;
mod shape;
mod verify;
pub mod watch;
mod wiring;

pub use counters::{Count, Counters, Kind};
pub use enforcement::{EnforceError, Enforced, Enforcement, Warning};
pub use invocation::{Finished, Invocation, Listing, NftFailure};
pub use lan::{Lan, LanCaution, LanError};
pub use policy::EgressPolicy;
pub use ruleset::{Reports, Ruleset, Table};
pub use shape::ListingError;
pub use verify::{Drift, VerifyError};
pub use wiring::{
    DNS_DOCKER_PORT, DNS_PORT, DOCKER_DNS, INIT_UID, PROOF_PORT, PROOF_TARGET, PROXY_UID,
    REDIRECT_PORT, Upstreams, UpstreamsError, Wiring,
};
