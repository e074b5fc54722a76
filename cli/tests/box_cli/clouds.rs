//! Credentials of clouds, as Claude in a real box gets them.

use crate::stage::Stage;

#[test]
fn claude_gets_a_key_of_aws_and_a_shell_does_not() {
    let stage = Stage::new();
    let mut command = stage.command(env!("CARGO_BIN_EXE_cib"));
    command
        .args([
            "start",
            "--json",
            "--credential",
            "bedrock",
            "--driver",
            "tty",
        ])
        .env("AWS_ACCESS_KEY_ID", "AKIAOFTHETEST")
        .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
        .env("AWS_REGION", "eu-central-1");
    let ran = Stage::finish(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let started: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let name = started["name"].as_str().unwrap();
    // What Claude's process has, its own user sees, as soon as there is that process.
    let has = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' \
               | grep -q ^AWS_SECRET_ACCESS_KEY=secret-of-the-test";
    let wait = format!("until {has}; do sleep 0.1; done");
    let words = ["timeout", "60", "sh", "-c", &wait];
    let _nothing = stage.docker(&[&["exec", "--user", "1000", name], &words[..]].concat());
    let shell = stage.inside(name, "env; cat /run/secrets/aws_credentials 2>&1 || true");
    assert!(
        shell.contains("CLAUDE_CODE_USE_BEDROCK=1") && shell.contains("CIB_BOX=1"),
        "{shell}"
    );
    assert!(shell.contains("AWS_REGION=eu-central-1"), "{shell}");
    assert!(!shell.contains("secret-of-the-test"), "{shell}");
    let told = stage.docker(&["inspect", name]);
    assert!(!told.contains("secret-of-the-test"));
}

#[test]
fn a_port_of_a_box_is_reached_through_the_engine() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};

    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    let mut command = stage.command(env!("CARGO_BIN_EXE_cib"));
    command.args(["port", &name, "--json"]);
    let mut forward = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(forward.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let here = u16::try_from(told["here"].as_u64().unwrap()).unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", here)).unwrap();
    let patience = std::time::Duration::from_secs(60);
    stream.set_read_timeout(Some(patience)).unwrap();
    let request = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    forward.kill().unwrap();
    forward.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
