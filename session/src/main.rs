//! `cib-session`: see `cib-session --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cib_session::app::main(std::env::args_os()))
}
