//! The official SDKs and the real Claude Code, unmodified. `scripts/clients` installs them and runs
//! this.

use std::path::Path;
use std::process::{Command, Stdio};

use super::with_claude;
use crate::common::real::Real;
use crate::common::world::{MASTER, Server, World};

/// Seconds that are longer than the SDKs take, also with a Claude Code that has to start twice.
const PATIENCE: &str = "180";

/// Has a program of `clients/conformance` try a box, and ends where it finds a fault.
async fn conforms(program: &str, server: &Server) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/conformance");
    let child = Command::new("timeout")
        .arg(PATIENCE)
        .arg("node")
        .arg(folder.join(program))
        .arg(format!("http://{}", server.address))
        .env("CIB_TOKEN", MASTER)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    assert!(
        said.trim_end().ends_with("all is as it should be"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "scripts/clients installs the SDKs and runs this"]
async fn the_official_sdks_find_what_they_know() {
    let world = World::new();
    let server = world.serve();
    with_claude(&world, conforms("sdks.mjs", &server)).await;
}

#[tokio::test]
#[ignore = "scripts/clients installs the SDKs and Claude Code and runs this"]
async fn the_official_sdks_talk_to_the_real_claude_code_and_are_shown_its_tools() {
    let world = World::new();
    world.init().real = Some(Real::new(world.path().join("home")));
    let server = world.serve();
    conforms("real.mjs", &server).await;
    let made = std::fs::read_to_string(world.workspace().join("made.txt"));
    assert_eq!(made.unwrap(), "by a tool\n");
    let init = world.init();
    // One that was made for all of it, and one for a conversation of its own.
    assert_eq!(init.specs.len(), 2);
    assert!(init.real.as_ref().unwrap().asked() >= 8);
}

/// What Claude Code says, asked in a home of its own.
async fn claude(home: &Path, words: &[&str]) -> String {
    let claude = std::env::var_os("CIB_TEST_CLAUDE").expect("scripts/clients runs this");
    let child = Command::new("timeout")
        .arg(PATIENCE)
        .arg(claude)
        .args(words)
        .current_dir(home)
        .env("HOME", home)
        .env("CLAUDE_CONFIG_DIR", home)
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{words:?}: {said}");
    said
}

#[tokio::test]
#[ignore = "scripts/clients fetches Claude Code and runs this"]
async fn the_real_claude_code_connects_with_the_right_token_alone() {
    let world = World::new();
    let server = world.serve();
    let home = world.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let url = format!("http://{}/mcp", server.address);
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    for (name, token) in [("box", MASTER), ("other", "wrong")] {
        let header = bearer(token);
        let add = ["mcp", "add", "--scope", "user", "--transport", "http"];
        let add = [&add[..], &[name, &url, "--header", &header]].concat();
        claude(&home, &add).await;
    }
    let list = claude(&home, &["mcp", "list"]).await;
    let line = |name: &str| {
        let line = list.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{list}")).to_owned()
    };
    assert!(line("box:").ends_with("Connected"), "{list}");
    assert!(!line("other:").ends_with("Connected"), "{list}");
}
