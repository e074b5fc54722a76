//! The control plane of the box.
//!
//! Control answers HTTP and holds no session: it asks init to start keepers, sends commands to
//! their sockets, and serves frames out of the journals that they write. Killing it costs
//! clients a reconnect and sessions nothing.
//!
//! From the outside inwards: [`http`] serves connections and is alone in knowing how;
//! [`routes`] is the table of what may be asked, with its handlers; [`auth`] says who asks, and
//! [`console`] lets root say it too; [`stream`] follows a session for a client; [`journal`] reads what keepers write;
//! [`disks`] says how full it is; [`feed`] tells what changes in the whole box; [`chat`] tells frames
//! as a conversation; [`web`] is what a browser is given; [`providers`] are others than Anthropic that
//! pay; [`sessions`] knows the disk, init and the keepers; [`tasks`] has sessions work on what was asked,
//! and [`publish`] publishes what they make; [`notices`] tells somebody outside; [`mcp`] offers tools to
//! agents, and [`talk`] has a session answer as a model does; [`mqtt`] keeps the box at a broker;
//! [`fault`] is what can be wrong.

#![deny(unsafe_code)]

pub mod app;
pub mod auth;
pub mod chat;
pub mod config;
pub mod console;
pub mod disks;
pub mod envelope;
pub mod fault;
pub mod feed;
pub mod files;
pub mod forges;
pub mod fuzz;
pub mod hooks;
pub mod http;
pub mod journal;
pub mod mcp;
pub mod metrics;
pub mod mqtt;
pub mod notices;
pub mod offers;
pub mod once;
pub mod options;
pub mod ports;
pub mod prefs;
pub mod providers;
pub mod publish;
pub mod routes;
pub mod run;
pub mod search;
pub mod sessions;
pub mod stream;
mod sys;
pub mod talk;
pub mod tasks;
pub mod usage;
pub mod web;
pub mod work;

/// Version of the box.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
