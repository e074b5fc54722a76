//! The servers and tools of the tests, as one static program for hosts and containers.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use cib_testkit::cli;

fn main() -> ExitCode {
    cli::main()
}
