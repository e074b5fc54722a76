//! Boxes whose engine is on another machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::SOON;
use crate::stage::{Running, Stage, said, spawn};

/// A server of ssh's of this test's own, and where it listens.
fn sshd(stage: &Stage) -> (Running, u16) {
    let at = |name: &str| stage.at("state").join(name).display().to_string();
    for key in ["host_key", "user_key"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)])
            .status();
        assert!(made.unwrap().success());
    }
    std::fs::copy(at("user_key.pub"), at("authorized")).unwrap();
    let client = format!(
        "Host *\nIdentityFile {}\nIdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n",
        at("user_key"),
    );
    std::fs::write(at("ssh_config"), client).unwrap();
    // It wants a folder for a user that it becomes.
    if Path::new("/run").is_dir() {
        let _ = std::fs::create_dir("/run/sshd");
    }
    loop {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        // As long as it is held nobody else listens there.
        drop(free);
        let server = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n",
            at("host_key"),
            at("authorized"),
        );
        std::fs::write(at("sshd_config"), server).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", &at("sshd_config")]);
        command.stdin(Stdio::null());
        let mut server = spawn(&mut command);
        // Its own word for it: at the port others come and go.
        let said = server.0.as_mut().unwrap().stderr.take().unwrap();
        let mut said = BufReader::new(said).lines().map_while(Result::ok);
        let mut heard = Vec::new();
        let listens = said.by_ref().any(|line| {
            let listens = line.starts_with("Server listening");
            heard.push(line);
            listens
        });
        if listens {
            // It goes on to speak, and would wait for somebody who reads.
            std::thread::spawn(move || said.count());
            return (server, port);
        }
        let taken = heard.iter().any(|line| line.contains("in use"));
        assert!(taken, "sshd has ended: {heard:?}");
    }
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_box_of_an_engine_behind_ssh_is_started_and_reached_with_nothing_published() {
    let stage = Stage::new();
    let (_server, port) = sshd(&stage);
    let host = format!("ssh://{}@127.0.0.1:{port}", user());
    let mut command = stage.cib(&["start", "--json", "--engine", &host]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The session was begun through the engine; no address here outlives the command.
    assert_eq!(
        (&result["session"], &result["url"]),
        (&"a-session".into(), &Value::Null)
    );
    assert!(!stage.read("state/log").contains("--publish"));
    let steps = stage.read("state/over-ssh");
    for step in ["create", "cp", "start", "exec"] {
        assert!(steps.lines().any(|line| line == step), "{step}: {steps}");
    }
    assert_eq!(stage.read("state/workspace/file"), "changed\n");

    // A port of it, for as long as a command runs.
    let mut command = stage.cib(&["port", "--json", "--engine", &host]);
    let mut forward = spawn(&mut command);
    let said = forward.0.as_mut().unwrap().stdout.take().unwrap();
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let here = u16::try_from(told["here"].as_u64().unwrap()).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", here)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
        .write_all(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
    forward.signal(nix::sys::signal::Signal::SIGINT);
    assert!(!forward.finish().status.success());
    let gone = TcpStream::connect(("127.0.0.1", here));
    assert!(gone.is_err(), "it listens still");

    // A port that is somebody's is told.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().port().to_string();
    let mut command = stage.cib(&["port", "--here", &taken, "--engine", &host]);
    let output = command.output().unwrap();
    drop(held);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        crate::said(&output).contains("--here"),
        "{}",
        crate::said(&output)
    );
}

#[test]
fn a_context_of_dockers_that_leads_elsewhere_is_seen_and_nothing_of_this_machine_is_mounted() {
    let stage = Stage::new();
    std::fs::create_dir(stage.at("home/.docker")).unwrap();
    let chosen = r#"{"currentContext": "far"}"#;
    std::fs::write(stage.at("home/.docker/config.json"), chosen).unwrap();
    std::fs::write(stage.at("state/context"), "ssh://me@far.example\n").unwrap();
    let output = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!stage.read("state/log").contains("--publish"));
    let mut command = stage.cib(&["start", "--mount", ".:/data"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(
        said(&output).contains("another machine"),
        "{}",
        said(&output)
    );
}
