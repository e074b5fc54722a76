//! Sessions: those on the disk, and the processes behind those that live.

pub mod command;
pub mod create;
pub mod ending;
pub mod index;
pub mod init;
pub mod keeper;
pub mod lines;
pub mod login;
pub mod purge;
pub mod retention;
pub mod revive;
pub mod seats;
pub mod store;
pub mod workdir;
