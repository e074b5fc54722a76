//! The program: its command line, its answer, and its exit codes.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::options::{self, Command};
use crate::{serve, wire};

/// The name that it is called by.
pub const NAME: &str = "cib-files";

/// Wrong usage, as `sysexits.h` numbers it.
const USAGE: u8 = 64;

/// Answers one question; `args` are those after the program's name.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "help is asked for, and a fault of usage has no other place"
)]
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let roots = match options::parse(args) {
        Ok(Command::Help) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            println!("{NAME} {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Command::Serve(roots)) => roots,
        Err(error) => {
            eprintln!("{error}; see --help");
            return ExitCode::from(USAGE);
        }
    };
    serve::confine();
    match wire::adopt().and_then(|stream| serve::answer(stream, &roots)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever has heard enough goes, and that is nothing to tell anybody.
        Err(error) if error.is_farewell() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", cib_base::errors::chain(&error));
            ExitCode::FAILURE
        }
    }
}
