//! The way out of the box: the upstream that `CIB_PROXY_URL` names, the redirector that
//! carries TCP to it, and the resolver that carries DNS to it.
//!
//! The library half is called by init, which is PID 1 and has one thread: nothing in
//! [`upstream`], [`resolve`], [`client`], [`probe`], [`selftest`] and [`redirector`] starts a
//! process or a thread, blocks on the network, or writes a log. The other half,
//! [`resolver`], [`connect`] and [`service`], is what the programs `cib-resolver` and
//! `cib-connect` are made of.
//!
//! No name is ever looked up with `getaddrinfo`: the programs are linked statically against
//! glibc, where it does not work.
#![deny(unsafe_code)]

pub mod client;
pub mod connect;
pub mod probe;
pub mod redirector;
pub mod relay;
pub mod resolve;
pub mod resolver;
pub mod secret;
pub mod selftest;
pub mod service;
mod sys;
pub mod upstream;
