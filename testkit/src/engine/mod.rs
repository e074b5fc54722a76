//! Containers and networks for box tests, through the `docker` command.
//!
//! `DOCKER_HOST` says which engine; `scripts/engine exec` sets it. Everything made here has a
//! name of its own, so that tests run side by side, and is removed when dropped. What goes
//! wrong here ends the test on the spot, with what the engine said.

mod container;
mod network;
mod sniffer;

pub use container::{Container, Ran, Spec, until};
pub use network::Network;
pub use sniffer::{Packet, Sniffer};

use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The label on everything the tests make; `docker ps --filter label=cib-test` finds what an
/// interrupted run left behind.
const LABEL: &str = "cib-test";

/// The image of the box under test; `CIB_TEST_IMAGE` overrides it.
pub const BOX_IMAGE: &str = "claude-in-box:latest-headless";

/// The image of what the tests talk to; `CIB_TESTKIT_IMAGE` overrides it.
pub const KIT_IMAGE: &str = "cib-testkit:latest";

/// How often a command that the engine could not begin is begun again.
const RETRIES: u32 = 2;

/// The engine, once it has answered.
#[derive(Debug, Clone)]
pub struct Engine {
    box_image: String,
    kit_image: String,
}

impl Engine {
    /// The engine that `docker` speaks to, with both images present.
    ///
    /// # Panics
    /// No engine answers, or an image is missing; the message says what to do.
    #[must_use]
    pub fn get() -> &'static Self {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(Self::connect)
    }

    fn connect() -> Self {
        let from = |name: &str, image: &str| std::env::var(name).unwrap_or_else(|_| image.into());
        let engine = Self {
            box_image: from("CIB_TEST_IMAGE", BOX_IMAGE),
            kit_image: from("CIB_TESTKIT_IMAGE", KIT_IMAGE),
        };
        let version = engine.run(&["version", "--format", "{{.Server.Version}}"]);
        assert!(
            version.status.success(),
            "no engine answers; run the tests by scripts/engine exec: {}",
            stderr(&version)
        );
        for image in [&engine.box_image, &engine.kit_image] {
            let found = engine.run(&["image", "inspect", "--format", "{{.Id}}", image]);
            assert!(
                found.status.success(),
                "the engine has no image {image}; build it by docker buildx bake default testkit"
            );
        }
        engine
    }

    /// The box, not yet started.
    #[must_use]
    pub fn a_box(&self) -> Spec {
        Spec::new(self, &self.box_image, "box")
    }

    /// The name of the box's image.
    #[must_use]
    pub fn box_image(&self) -> &str {
        &self.box_image
    }

    /// A container of the kit's image, called after its `role`, not yet started.
    #[must_use]
    pub fn kit(&self, role: &str) -> Spec {
        Spec::new(self, &self.kit_image, role)
    }

    /// Runs `docker` and returns whatever came of it. What the engine's runtime lost before it
    /// began is begun again, and said on standard error.
    ///
    /// # Panics
    /// There is no `docker` command.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut retries = 0;
        loop {
            let run = Command::new("docker")
                .args(arguments)
                .stdin(Stdio::null())
                .output();
            let output = run.unwrap_or_else(|error| panic!("docker cannot be started: {error}"));
            // Of a process that it does not begin the engine tells where that would have written.
            let said = [&output.stdout[..], &output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            if output.status.success() || retries == RETRIES || !was_never_begun(&said) {
                return output;
            }
            retries += 1;
            let line = format!("docker {}: again after: {said}\n", arguments.join(" "));
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        }
    }

    /// Runs `docker`, which has to succeed, and returns its standard output without the last
    /// line's end.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    #[must_use]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "docker {}: {}",
            arguments.join(" "),
            stderr(&output)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }
}

/// A name that no other container or network of any running test has.
fn unique(role: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("cibt-{}-{count}-{role}", std::process::id())
}

/// Whether the engine's runtime lost its own helper while it prepared a process, which happens
/// on a machine under load. The process itself was never begun, so nothing is hidden by
/// beginning it again; whatever else goes wrong is the test's to see.
fn was_never_begun(said: &str) -> bool {
    said.contains("OCI runtime") && said.contains("waiting for init preliminary setup")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_begun_is_begun_again() {
        for lost in [
            "OCI runtime exec failed: exec failed: unable to start container process: \
             waiting for init preliminary setup: read init-p: connection reset by peer: unknown",
            "Error response from daemon: failed to create task for container: failed to create \
             shim task: OCI runtime create failed: runc create failed: unable to start \
             container process: waiting for init preliminary setup: read init-p: connection \
             reset by peer: unknown",
        ] {
            assert!(was_never_begun(lost), "{lost}");
        }
        for real in [
            "OCI runtime exec failed: exec failed: unable to start container process: \
             exec: \"nowhere\": executable file not found in $PATH: unknown",
            "connection reset by peer",
            "Error response from daemon: container is not running",
        ] {
            assert!(!was_never_begun(real), "{real}");
        }
    }
}
