//! `cib-resolver`: see [`cib_resolver`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use cib_upstream::service::{self, Program};

fn main() -> ExitCode {
    let program = Program {
        name: "cib-resolver",
        about: "Answers the box's DNS queries through the upstream of CIB_PROXY_URL.",
    };
    service::run(&program, std::env::args_os(), cib_resolver::run)
}
