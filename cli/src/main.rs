//! `cib`: boxes for the repository at hand, from a person's own machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    cib_cli::main()
}
