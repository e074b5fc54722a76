//! The keeper of one session.
//!
//! A keeper owns Claude's pipes or its pseudo-terminal and the session's journal, and lives
//! and dies with its session. Everything that decides is a state machine without I/O
//! ([`stream`], [`calls`], [`todo`], [`claude::ending`]); [`journal`], [`meta`] and [`lock`]
//! are what it leaves on disk; [`keeper`] is the loop that joins them.

#![deny(unsafe_code)]

pub mod app;
pub mod args;
pub mod base64;
pub mod calls;
pub mod claude;
pub mod finish;
pub mod home;
pub mod hook;
pub mod journal;
mod json;
pub mod keeper;
pub mod ledger;
pub mod lock;
pub mod login;
pub mod meta;
pub mod offers;
mod own;
pub mod purge;
mod questions;
pub mod remove;
pub mod resources;
pub mod runner;
pub mod seed;
mod servers;
pub mod settings;
mod socket;
pub mod stream_json;
pub mod sweep;
pub mod sys;
pub mod todo;
pub mod tty;
pub mod watch;
