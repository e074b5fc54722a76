//! `cib-init relay`: standard input and output, joined with a port of the loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

fn relay(port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cib-init"));
    command
        .args(["relay", &port.to_string()])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_port_is_joined_both_ways_and_ends_with_the_side_that_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(b"what\0 a \xff").unwrap();
        // It closes first, though the other side could go on.
        asked
    });
    let mut child = relay(port).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"a\0\xffb").unwrap();
    let mut answer = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut answer)
        .unwrap();
    assert_eq!(&server.join().unwrap(), b"a\0\xffb");
    assert_eq!(answer, b"what\0 a \xff");
    assert!(child.wait().unwrap().success());
    drop(input);
}

#[test]
fn a_port_at_which_nobody_listens_is_told() {
    // Nobody does on this one, and no connection is given it.
    let port = 1;
    let output = relay(port).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("relay {port}")), "{said}");
}
