//! `cib-files`: one question about coder's files, and its answer. In an image it is a second name of
//! `cib-session`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cib_files::app::main(std::env::args_os().skip(1))
}
