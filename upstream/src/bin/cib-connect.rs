//! `cib-connect`: see [`cib_upstream::connect`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use cib_upstream::connect;
use cib_upstream::service::{self, Program};

fn main() -> ExitCode {
    let program = Program {
        name: "cib-connect",
        about: "An HTTP proxy on the box's loopback that speaks to the upstream of CIB_PROXY_URL.",
    };
    service::run(&program, std::env::args_os(), connect::run)
}
