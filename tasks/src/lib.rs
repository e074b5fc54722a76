//! Tasks: a prompt in, a branch out.
//!
//! A task is what was asked ([`cib_protocol::task::TaskRecord`]) and a journal. [`fold`] says from the
//! journal how far the task is, and [`step`] what comes next and what is written down of how it
//! went: both are functions without any I/O, so that whoever drives a task may die anywhere and the
//! next one goes on. [`queue`] says whose turn it is, [`quiet`] whether a session does anything, [`schedule`] when it comes again, [`check`] what may be asked, [`repository`]
//! which repository is meant, [`patience`] how long Claude's API is waited for, [`times`] how long the rest may take, and [`prompt`] what
//! Claude is told.

#![forbid(unsafe_code)]

pub mod check;
pub mod fold;
pub mod patience;
pub mod prompt;
pub mod queue;
pub mod quiet;
pub mod repository;
pub mod schedule;
pub mod step;
pub mod times;
