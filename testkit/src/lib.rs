//! What the tests of the box stand on: a scripted stand-in for the Anthropic Messages API,
//! page and name servers that log who asked, real SOCKS5 servers, network namespaces, and
//! containers.
//!
//! Everything here is real except the model: sockets, namespaces, processes and containers
//! are the kernel's, so a test that passes has met the thing it speaks of.

#![deny(unsafe_code)]

pub mod api;
pub mod attack;
pub mod cli;
pub mod client;
pub mod delay;
pub mod dns;
pub mod engine;
pub mod forge;
pub mod fuzz;
pub mod hold;
pub mod httpd;
pub mod lab;
pub mod log;
pub mod login;
pub mod netns;
pub mod outside;
pub mod pid1;
pub mod probe;
pub mod process;
pub mod serve;
pub mod socks;
#[expect(unsafe_code, reason = "the addresses and options of packet sockets")]
mod sys;
pub mod terminal;
pub mod wait;
