//! `cib-files`: one question about coder's files, and its answer.

use std::process::ExitCode;

use cib_files::options::{self, Command};
use cib_files::{serve, wire};

/// Wrong usage, as `sysexits.h` numbers it.
const USAGE: u8 = 64;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "help is asked for, and a fault of usage has no other place"
)]
fn main() -> ExitCode {
    let roots = match options::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            println!("cib-files {}", env!("CARGO_PKG_VERSION"));
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
