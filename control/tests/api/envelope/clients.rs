//! Our clients in other languages against a real server, and a device on bare metal whose serial
//! line leads there. `scripts/clients` builds what is run here, and runs this.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cib_protocol::frame::Data;
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::State;

use super::device::{Token, mint};
use crate::common::keeper::{Keeper, text};
use crate::common::until;
use crate::common::world::{Server, World};

/// Seconds that are longer than an emulated machine takes.
const PATIENCE: &str = "60";

/// Where `scripts/clients` builds.
fn built(name: &str) -> PathBuf {
    let dir = std::env::var_os("CIB_CLIENTS").expect("scripts/clients runs this");
    PathBuf::from(dir).join(name)
}

fn source(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../clients")).join(path)
}

/// What a client is given.
struct Given {
    address: std::net::SocketAddr,
    token: Token,
    session: String,
}

/// Runs a client through all that devices do, and returns what it said. Meanwhile the session gets
/// an input and an answer, says two more things, one of them long, and ends.
async fn conversation(start: impl FnOnce(&Given) -> Command) -> Vec<String> {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("before")]);
    let server = world.serve();
    let token = mint(
        &server,
        &["sessions:read", "sessions:write", "sessions:input"],
    )
    .await;
    let given = Given {
        address: server.address,
        token,
        session: keeper.id.to_string(),
    };
    let command = start(&given);
    let mut bounded = Command::new("timeout");
    bounded
        .arg(PATIENCE)
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        bounded.current_dir(dir);
    }
    let child = bounded
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = answered(&server, &mut keeper, child).await;
    let inputs = |request: &&KeeperRequest| matches!(request, KeeperRequest::Input { .. });
    assert_eq!(keeper.told().iter().filter(inputs).count(), 1, "done once");
    said
}

async fn answered(server: &Server, keeper: &mut Keeper, child: Child) -> Vec<String> {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output());
    let has_answered = |request: &KeeperRequest| matches!(request, KeeperRequest::Answer { .. });
    until("the client answers and follows", async || {
        assert!(!output.is_finished(), "the client ended before");
        keeper.told().iter().any(has_answered)
            && server
                .app
                .metrics
                .render(&[], 0)
                .contains("transport=\"sse\"} 1")
    })
    .await;
    let frames: [Data; 2] = [text("from the box"), text("v".repeat(3000))];
    keeper.append(&frames);
    keeper.end(State::Stopped);
    let output = output.await.unwrap().unwrap();
    // What a device prints, its emulator writes to the one or to the other.
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{said}");
    said.lines().map(str::to_owned).collect()
}

fn has_done_all(said: &[String], session_frames: &[&str]) {
    let has = |line: &str| {
        let found = said.iter().any(|said| said.starts_with(line));
        assert!(found, "{line:?} is missing in {said:#?}");
    };
    for line in [
        "found ",
        "listed 200",
        "created 201 ",
        "sent 200",
        "answered 200",
        "followed 200",
        "bye 0",
    ] {
        has(line);
    }
    for line in session_frames {
        has(line);
    }
    assert_eq!(said.iter().filter(|line| *line == "sent 200").count(), 2);
}

#[tokio::test]
#[ignore = "scripts/clients builds the client and runs this"]
async fn the_c_client_lists_creates_sends_answers_and_follows() {
    let said = conversation(|given| {
        let mut command = Command::new(built("device"));
        let (ip, port) = (
            given.address.ip().to_string(),
            given.address.port().to_string(),
        );
        command.args([
            &ip,
            &port,
            &given.token.id,
            &given.token.plaintext,
            &given.session,
        ]);
        command
    })
    .await;
    has_done_all(
        &said,
        &[
            "frame 1 before",
            "frame 2 from the box",
            "frame 3 ~vvvvvvvv",
            "end stopped",
        ],
    );
}

#[tokio::test]
#[ignore = "scripts/clients builds the client and runs this"]
async fn the_smallest_follower_prints_each_frame_over_tcp_and_the_end() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("one"), text("v".repeat(3000))]);
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).arg(built("follow-tcp"));
    let (ip, port) = (
        server.records.ip().to_string(),
        server.records.port().to_string(),
    );
    command.args([
        &ip,
        &port,
        &token.id,
        &token.plaintext,
        &keeper.id.to_string(),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output());
    until("it follows", async || {
        let streams = server.app.metrics.render(&[], 0);
        streams.contains("transport=\"sse\"} 1") || output.is_finished()
    })
    .await;
    keeper.append(&[text("three")]);
    keeper.end(State::Stopped);
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let seqs: Vec<_> = said
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|frame| frame["seq"].as_u64().unwrap())
        .collect();
    assert!(
        seqs.starts_with(&[1, 2, 3]) && said.contains("end {"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "scripts/clients builds the client and runs this"]
async fn the_python_client_lists_creates_sends_answers_and_follows() {
    let said = conversation(|given| {
        let mut command = Command::new("python3");
        command
            .arg(source("python/tests/real.py"))
            .arg(format!("http://{}", given.address));
        command.args([&given.token.id, &given.token.plaintext, &given.session]);
        command
    })
    .await;
    has_done_all(
        &said,
        &[
            "frame 1 before",
            "frame 2 from the box",
            "frame 3 vvvvvvvv",
            "refused scope_missing",
        ],
    );
}

#[tokio::test]
#[ignore = "scripts/clients builds the client and runs this"]
async fn the_typescript_client_lists_creates_sends_answers_and_follows() {
    let said = conversation(|given| {
        let mut command = Command::new("node");
        command
            .arg(source("js/tests/real.mjs"))
            .arg(format!("http://{}", given.address));
        command.args([&given.token.id, &given.token.plaintext, &given.session]);
        command
    })
    .await;
    has_done_all(
        &said,
        &[
            "frame 1 before",
            "frame 2 from the box",
            "frame 3 vvvvvvvv",
            "refused scope_missing",
        ],
    );
}

/// A machine with nothing but the client on it, whose serial line is a connection to the server.
async fn bare_metal(emulator: &[&str], program: &str) {
    let place = tempfile::tempdir().unwrap();
    let said = conversation(|given| {
        let seed: [u8; 32] = super::device::random();
        let text = format!(
            "{}\0{}\0{}\0",
            given.token.id, given.token.plaintext, given.session
        );
        let file = [text.as_bytes(), &seed].concat();
        std::fs::write(place.path().join("device.conf"), file).unwrap();
        let mut command = Command::new(emulator[0]);
        command.args(&emulator[1..]).current_dir(place.path());
        command.args(["-display", "none", "-monitor", "none"]);
        command.args(["-semihosting-config", "enable=on,target=native"]);
        command.arg("-serial").arg(format!("tcp:{}", given.address));
        command.arg("-kernel").arg(built(program));
        command
    })
    .await;
    has_done_all(
        &said,
        &[
            "frame 1 before",
            "frame 2 from the box",
            "frame 3 ~vvvvvvvv",
            "end stopped",
        ],
    );
    let stack = said
        .iter()
        .find_map(|line| line.strip_prefix("stack ")?.parse().ok());
    let stack: usize = stack.expect("it says how much stack it took");
    let client = said
        .iter()
        .find_map(|line| line.strip_prefix("client ")?.parse().ok());
    let client: usize = client.expect("it says how large a client is");
    assert!(
        stack + client <= 2048,
        "stack {stack} and client {client} beside the record's buffer"
    );
}

#[tokio::test]
#[ignore = "scripts/clients builds the client and runs this"]
async fn a_cortex_m3_on_bare_metal_does_the_same_in_two_kilobytes_of_ram() {
    bare_metal(&["qemu-system-arm", "-M", "lm3s6965evb"], "cortex-m3.elf").await;
}

#[tokio::test]
#[ignore = "scripts/clients builds the client and runs this"]
async fn a_risc_v_on_bare_metal_does_the_same_in_two_kilobytes_of_ram() {
    bare_metal(
        &["qemu-system-riscv32", "-M", "virt", "-bios", "none"],
        "riscv32.elf",
    )
    .await;
}
