//! Boxes for the repository at hand, from a person's own machine.
//!
//! A command makes a box with a copy of a repository, reaches it by the box's API and by the
//! engine's own program, and brings back what was made in it as objects of git. What a box says
//! is foreign: it is parsed strictly, shown without control characters, and never run.

pub mod api;
pub mod args;
pub mod boxes;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod engine;
pub mod failure;
pub mod git;
pub mod interrupt;
pub mod offload;
pub mod ordered;
pub mod output;
pub mod paint;
pub mod process;
pub mod release;
pub mod surroundings;
pub mod task;
pub mod terminal;
pub mod text;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use failure::Exit;
use output::Output;
use surroundings::Surroundings;

/// The name under which git calls this program to reach a box.
pub const REMOTE_HELPER: &str = "git-remote-cib";

/// The name of the tool before this one, whose habits a link of that name brings.
pub const BEFORE: &str = "claude-run";

/// Does what the process's arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let around = Surroundings {
        as_before: is_called(&arguments, BEFORE),
        ..Surroundings::of_this_process()
    };
    if is_called(&arguments, REMOTE_HELPER) {
        return ExitCode::from(git::helper::main(&around, &arguments));
    }
    let line = match args::parse(&arguments) {
        Ok(line) => line,
        Err(error) => {
            let code = if error.use_stderr() {
                Exit::Usage.code()
            } else {
                0
            };
            // There is nobody else to tell.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let output = Output::new(&around, line.global.json, line.global.quiet);
    match commands::run(&around, &output, line) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}

fn is_called(arguments: &[OsString], name: &str) -> bool {
    let called = arguments
        .first()
        .and_then(|first| Path::new(first).file_name());
    called == Some(OsStr::new(name))
}
