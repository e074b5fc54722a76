//! The control plane of the box.
//!
//! Control answers HTTP and holds no session: it asks init to start keepers, sends commands to
//! their sockets, and serves frames out of the journals that they write. Killing it costs
//! clients a reconnect and sessions nothing.
//!
//! From the outside inwards: [`http`] serves connections and is alone in knowing how;
//! [`routes`] is the table of what may be asked, with its handlers; [`auth`] says who asks;
//! [`stream`] follows a session for a client; [`journal`] reads what keepers write;
//! [`chat`] tells them as a conversation; [`web`] is what a browser is given; [`sessions`] knows the disk, init and the keepers; [`fault`] is what can be wrong.

#![deny(unsafe_code)]

pub mod app;
pub mod auth;
pub mod chat;
pub mod config;
pub mod fault;
pub mod http;
pub mod journal;
pub mod metrics;
pub mod options;
pub mod routes;
pub mod run;
pub mod sessions;
pub mod stream;
mod sys;
pub mod web;
pub mod work;
