//! PID 1 of the box, as a library so that its parts can be tested one by one.
//!
//! Two programs in one file. As a *bare init* ([`bare`]) it runs one command as tini would.
//! As the *box* ([`boot`]) it carries out the [`plan`], then keeps services running
//! ([`supervisor`]), starts keepers ([`session`]) and answers on its socket ([`socket`]).
//!
//! The box is one thread; another one now and then makes or reads rules, and is waited for.
//! Everything that waits for a child goes through the one [`reaper`]; `tokio::process` and
//! `std::process` are never used here, because both wait for their children themselves and
//! would race with it.

#![deny(unsafe_code)]

pub mod bare;
pub mod boot;
pub mod capabilities;
pub mod claude;
pub mod cli;
pub mod commands;
pub mod config;
pub mod descendants;
pub mod egress;
pub mod environment;
pub mod exit;
pub mod files;
pub mod fuzz;
pub mod helper;
pub mod job;
pub mod logs;
pub mod pace;
pub mod pause;
pub mod plan;
pub mod process;
pub mod reaper;
pub mod session;
pub mod signals;
pub mod socket;
pub mod spawn;
pub mod steps;
pub mod supervisor;
pub mod sys;
