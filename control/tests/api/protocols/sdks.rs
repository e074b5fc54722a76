//! The official SDKs, unmodified. `scripts/clients` installs them and runs this.

use std::path::Path;
use std::process::{Command, Stdio};

use super::with_claude;
use crate::common::world::{MASTER, World};

/// Seconds that are longer than the SDKs take.
const PATIENCE: &str = "60";

#[tokio::test]
#[ignore = "scripts/clients installs the SDKs and runs this"]
async fn the_official_sdks_find_what_they_know() {
    let world = World::new();
    let server = world.serve();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/conformance/sdks.mjs");
    let child = Command::new("timeout")
        .arg(PATIENCE)
        .arg("node")
        .arg(program)
        .arg(format!("http://{}", server.address))
        .env("CIB_TOKEN", MASTER)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output());
    let output = with_claude(&world, output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    assert!(
        said.trim_end().ends_with("all is as it should be"),
        "{said}"
    );
}
