//! `cib-resolver`: see [`cib_resolver`]. Called `cib-connect`, it is that program: see
//! [`cib_upstream::connect`].
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use cib_base::called::is_called;
use cib_upstream::connect;
use cib_upstream::service::{self, Program};

/// The second name. Both programs speak to the upstream, and in an image they are one file: most of
/// either is the same code.
const CONNECT: &str = "cib-connect";

fn main() -> ExitCode {
    let resolver = Program {
        name: "cib-resolver",
        about: "Answers the box's DNS queries through the upstream of CIB_PROXY_URL.",
    };
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if is_called(&arguments, CONNECT) {
        service::run(&connect::PROGRAM, arguments, connect::run)
    } else {
        service::run(&resolver, arguments, cib_resolver::run)
    }
}
