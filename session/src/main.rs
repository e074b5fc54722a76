//! `cib-session`: see `cib-session --help`. Called `cib-files`, it is that program.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use cib_base::called::is_called;
use cib_files::app as files;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Both read what an agent made, without a thread of their own; in an image they are one file.
    if is_called(&arguments, files::NAME) {
        files::main(arguments.into_iter().skip(1))
    } else {
        ExitCode::from(cib_session::app::main(arguments))
    }
}
