//! Containers and networks for box tests, through the `docker` command.
//!
//! `DOCKER_HOST` says which engine; `scripts/engine exec` sets it. Everything made here has a
//! name of its own, so that tests run side by side, and is removed when dropped. What goes
//! wrong here ends the test on the spot, with what the engine said.

mod container;
mod network;
mod sniffer;

pub use container::{Container, Ran, Spec, until};
pub use network::{Network, WIDE};
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

    /// A container of the kit's image, called after its `role`, not yet started.
    #[must_use]
    pub fn kit(&self, role: &str) -> Spec {
        Spec::new(self, &self.kit_image, role)
    }

    /// Runs `docker` and returns whatever came of it.
    ///
    /// # Panics
    /// There is no `docker` command.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let run = Command::new("docker")
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        run.unwrap_or_else(|error| panic!("docker cannot be started: {error}"))
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

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
