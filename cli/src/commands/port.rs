//! `cib port`: a port of a box on this machine's loopback, for as long as the command runs.

use serde_json::json;

use super::Context;
use crate::args::Port;
use crate::boxes::{Found, PORT};
use crate::engine::{Engine, forward};
use crate::failure::Failure;

pub(super) fn run(context: &Context<'_>, arguments: &Port) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    found.running()?;
    let inside = arguments.inside.unwrap_or(PORT);
    let here = forwarded(&engine, &found, inside, arguments.here)?;
    let address = format!("127.0.0.1:{here}");
    context.output.result(
        &json!({"name": found.name, "inside": inside, "here": here}),
        || {
            format!(
                "{address} is port {inside} of {}; Ctrl-C ends that",
                found.name
            )
        },
    );
    wait()
}

/// Makes a port of a box one of this machine's.
pub(super) fn forwarded(
    engine: &Engine,
    found: &Found,
    inside: u16,
    here: Option<u16>,
) -> Result<u16, Failure> {
    forward::begin(engine, &found.id, inside, here).map_err(|error| {
        let taken = error.kind() == std::io::ErrorKind::AddrInUse;
        let failure = Failure::failed(error);
        match here.filter(|_| taken) {
            Some(port) => failure.remedy(format!(
                "something listens at port {port} already: choose another with --here"
            )),
            None => failure,
        }
    })
}

/// Goes on until Ctrl-C, which ends the process.
pub(super) fn wait() -> ! {
    loop {
        std::thread::park();
    }
}
