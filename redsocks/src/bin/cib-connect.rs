//! `cib-connect`: see [`cib_redsocks::connect`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use cib_redsocks::connect;
use cib_redsocks::service::{self, Program};

fn main() -> ExitCode {
    let program = Program {
        name: "cib-connect",
        about: "An HTTP proxy on the box's loopback that speaks to the upstream of CIB_PROXY_URL.",
    };
    service::run(&program, std::env::args_os(), connect::run)
}
