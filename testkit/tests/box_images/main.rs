//! The images as a person runs them. One program, because each would link everything anew.

mod api;
mod bad_input;
mod bad_requests;
mod confined;
mod contract;
mod egress;
mod hardened;
mod kit;
mod main_job;
mod rules;
mod secrets;
mod task;
