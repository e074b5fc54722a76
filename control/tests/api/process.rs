//! The program as init runs it: options, faults, readiness, and an end in order.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::common::keeper::text;
use crate::common::process::{Process, command, free_address};
use crate::common::world::{MASTER, World};
use nix::sys::signal::Signal;
use serde_json::json;

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cib-control"))
        .env_clear()
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_and_version_are_printed() {
    let help = run(&["--help"], &[]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("CIB_TRUSTED_PROXIES"));
    let version = run(&["--version"], &[]);
    let expected = format!("cib-control {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
}

#[test]
fn a_wrong_option_ends_with_64() {
    let output = run(&["--lisen", "x"], &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("--listen"), "{}", said(&output));
}

#[test]
fn a_wrong_configuration_ends_with_78_and_names_everything_wrong() {
    let variables = [
        ("CIB_AUTH_FILE", "/nonexistent/auth.json"),
        ("CIB_MODE", "full"),
        ("CIB_PORT", "eighty"),
    ];
    let output = run(&[], &variables);
    assert_eq!(output.status.code(), Some(78));
    for name in ["/nonexistent/auth.json: ", "CIB_MODE: ", "CIB_PORT: "] {
        assert!(said(&output).contains(name), "{}", said(&output));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_ends_with_70_and_says_so() {
    let world = World::without_init();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let output = command(&world, address)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(70));
    assert!(
        said(&output).contains(&address.to_string()),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn sigterm_gives_streams_a_last_event_and_ends_with_0_within_2_seconds() {
    let world = World::without_init();
    let mut keeper = world.keeper();
    keeper.append(&[text("a")]);
    let mut process = Process::start(&world, free_address());
    let path = format!("/sse/sessions/{}", keeper.id);
    let mut stream = process.client().events(&path).await;
    let mut socket = process
        .client()
        .socket(&format!("/ws/sessions/{}", keeper.id))
        .await
        .unwrap();
    // A client that never reads must not keep the server.
    let _stuck = process.client().events(&path).await;
    stream.seqs_to(1).await;
    socket.seqs_to(1).await;
    let asked = Instant::now();
    process.signal(Signal::SIGTERM);
    let end = stream.rest().await;
    assert_eq!(
        end[0].json(),
        json!({"reason": "shutting_down", "last_seq": 1})
    );
    assert_eq!(
        socket.next().await,
        Err(Some((1001, "shutting_down".to_owned())))
    );
    let status = process.wait(Duration::from_secs(30)).expect("it ends");
    assert_eq!(status.code(), Some(0));
    // Two, and what a machine that is busy with other things adds.
    assert!(asked.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn the_log_holds_no_token() {
    let world = World::new();
    let address = free_address();
    let mut logging = command(&world, address);
    let log = world.path().join("log");
    logging
        .args(["--log-level", "trace"])
        .stderr(fs::File::create(&log).unwrap());
    let mut process = Process::from_command(logging, address);
    let client = process.client();
    let body = json!({"label": "tv", "scopes": ["*"]});
    let token = client.post("/api/tokens", &body).await.created();
    let device = token["plaintext"].as_str().unwrap();
    client
        .clone()
        .with_token(device)
        .get("/api/info")
        .await
        .ok();
    client
        .clone()
        .with_token("wr0ng-t0ken")
        .get("/api/info")
        .await;
    client.get(&format!("/api/info?token={MASTER}")).await;
    let session = json!({"workdir": world.workspace(), "api_key": "sk-s3cret"});
    client.post("/api/sessions", &session).await.created();
    process.signal(Signal::SIGTERM);
    process.wait(Duration::from_secs(60)).unwrap();
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("a wrong token was sent"), "{log}");
    for secret in [MASTER, device, "wr0ng-t0ken", "sk-s3cret"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn without_authentication_every_line_of_the_log_warns() {
    let world = World::new();
    world.write_auth(&cib_protocol::init::ControlAuth {
        disabled: true,
        ..Default::default()
    });
    let log = world.path().join("log");
    let address = free_address();
    let mut logging = command(&world, address);
    logging
        .args(["--log-level", "info"])
        .stderr(fs::File::create(&log).unwrap());
    let mut process = Process::from_command(logging, address);
    let session = json!({"workdir": world.workspace()});
    let client = crate::common::client::Client::new(address);
    client.post("/api/sessions", &session).await.created();
    process.signal(Signal::SIGTERM);
    process.wait(Duration::from_secs(60)).unwrap();
    let log = fs::read_to_string(log).unwrap();
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        assert!(line.contains("AUTHENTICATION IS DISABLED"), "{line}");
    }
}

#[tokio::test]
async fn json_logs_are_json() {
    let world = World::without_init();
    let log = world.path().join("log");
    let address = free_address();
    let mut logging = command(&world, address);
    logging
        .args(["--log", "json", "--log-level", "info"])
        .stderr(fs::File::create(&log).unwrap());
    let mut process = Process::from_command(logging, address);
    process.signal(Signal::SIGINT);
    process.wait(Duration::from_secs(60)).unwrap();
    let log = fs::read_to_string(log).unwrap();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string());
    }
    assert!(log.contains("listening"));
}
