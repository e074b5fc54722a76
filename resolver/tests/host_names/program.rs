//! The program in the box.

use cib_resolver::ResolverConfig;
use cib_testkit::process::Process;
use cib_testkit::wait::wait_until;

use crate::lab::{Lab, SOON, listens};

/// Starts the resolver in the box, and waits until it listens.
pub(crate) fn resolver(lab: &Lab, config: &ResolverConfig) -> Process {
    let text = serde_json::to_vec(config).unwrap();
    let path = lab.file("resolver.json", &text);
    let mut command = lab.inside.command(env!("CARGO_BIN_EXE_cib-resolver"));
    command.arg("--config").arg(path);
    let mut process = Process::spawn(command).unwrap();
    wait_until(SOON, "the resolver", || {
        assert!(process.exited().is_none(), "{}", process.output());
        listens(&lab.inside, 5301) && listens(&lab.inside, 5302)
    });
    process
}
