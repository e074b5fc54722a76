//! Tasks: a prompt in, a branch or a pull request out.
//!
//! `cib_tasks` says what comes next of a task and what is written down of it; this does it. A task
//! is a folder under `tasks/` with what was asked (`task.json`) and a journal ([`journal`]); [`store`]
//! knows them all and whose turn it is, [`drive`] takes one from step to step, [`work`] follows its
//! session, [`origin`] finds its repository at a forge, [`seek`] has a session find it by
//! the tools of [`choose`], [`pull`] keeps its pull request, [`tree`] asks
//! for what is done in its work tree, [`settle`] ends it, [`schedule`] makes tasks at their times,
//! [`clean`] removes what ended long ago,
//! [`login`] keeps the queue from failing with a login that does not hold, and [`log`] tells all that as
//! text.

pub mod choose;
pub mod clean;
pub mod drive;
pub mod entry;
pub mod journal;
pub mod log;
pub mod login;
pub mod origin;
pub mod pull;
pub mod said;
pub mod schedule;
pub mod seek;
pub mod settle;
pub mod store;
pub mod tree;
pub mod work;
