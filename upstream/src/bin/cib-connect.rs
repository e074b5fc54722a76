//! `cib-connect`: see [`cib_upstream::connect`]. In an image it is a second name of `cib-resolver`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use cib_upstream::{connect, service};

fn main() -> ExitCode {
    service::run(&connect::PROGRAM, std::env::args_os(), connect::run)
}
