//! The upstream: the proxy that `CIB_PROXY_URL` names, and everything that speaks to it.
//!
//! Init, which is PID 1 and has one thread, calls [`Upstream`], [`client`] and [`probe`]: they
//! start no process and no thread, never block on the network, and write no log. [`connect`] is
//! the program `cib-connect`, [`relay`] is a part of `cib-resolver`, and [`service`] is what
//! both programs share.
//!
//! Nothing here calls `getaddrinfo`: the programs are linked statically against glibc, where it
//! does not work.
#![deny(unsafe_code)]

pub mod client;
pub mod connect;
pub mod probe;
pub mod relay;
pub mod secret;
pub mod service;
mod sys;
mod url;

pub use url::{
    Credentials, Endpoint, Host, Scheme, Upstream, UpstreamFault, VARIABLE, as_url, is_host_name,
};
