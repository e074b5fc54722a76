//! The programs as init starts them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output};
use std::time::Duration;

use cib_testkit::process::Process;
use cib_testkit::wait::wait_until;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use tempfile::NamedTempFile;

use crate::client::{addresses, query, udp};
use crate::world::{World, own_address};

const SOON: Duration = Duration::from_secs(10);
const RESOLVER: &str = env!("CARGO_BIN_EXE_cib-resolver");
const CONNECT: &str = env!("CARGO_BIN_EXE_cib-connect");

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn config(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_program_says_when_it_listens_and_ends_well_on_sigterm() {
    let address = own_address();
    let upstream = r#""upstream":"socks5://u:p@192.0.2.1:1080","addresses":["192.0.2.1"]"#;
    let resolver = format!(
        r#"{{{upstream},"listen_docker":["{address}:5301"],"listen_any":["{address}:5302"]}}"#
    );
    let connect = format!(r#"{{{upstream},"listen":"{address}:12346"}}"#);
    for (program, text, port) in [(RESOLVER, resolver, 5302), (CONNECT, connect, 12346)] {
        let config = config(&text);
        let (mut reader, writer) = std::io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(config.path());
        command
            .arg("--ready-fd")
            .arg(writer.as_raw_fd().to_string());
        let mut process = Process::spawn(command).unwrap();
        drop(writer);
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"\n", "{}", process.output());
        TcpStream::connect((address, port)).unwrap();
        process.signal(Signal::SIGTERM).unwrap();
        assert!(process.wait(SOON).success(), "{}", process.output());
    }
}

#[test]
fn a_port_that_the_parent_holds_is_nobodys_while_its_program_is_dead() {
    let address = own_address();
    let held = std::net::TcpListener::bind((address, 12346)).unwrap();
    fcntl(&held, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let config = config(&format!(
        r#"{{"upstream":"socks5://192.0.2.1:1080","addresses":["192.0.2.1"],"listen":"{address}:12346"}}"#
    ));
    for _ in 0..2 {
        let mut command = Command::new(CONNECT);
        command.arg("--config").arg(config.path());
        command.arg("--socket").arg(held.as_raw_fd().to_string());
        let mut process = Process::spawn(command).unwrap();
        // Answered by the program, not by the kernel alone.
        let mut client = TcpStream::connect((address, 12346)).unwrap();
        client
            .write_all(b"CONNECT 10.0.0.1:1 HTTP/1.1\r\nHost: 10.0.0.1:1\r\n\r\n")
            .unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 403");
        process.signal(Signal::SIGKILL).unwrap();
        process.wait(SOON);
        let taken = std::net::TcpListener::bind((address, 12346)).unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    }
}

#[test]
fn a_wrong_command_line_ends_with_64_and_a_wrong_configuration_with_78() {
    for program in [RESOLVER, CONNECT] {
        assert_eq!(run(program, &[]).status.code(), Some(64));
        assert_eq!(
            run(program, &["--config", "x", "--ready-fd", "99"])
                .status
                .code(),
            Some(64)
        );
        let missing = run(program, &["--config", "/dev/null/config"]);
        assert_eq!(missing.status.code(), Some(78));
        assert!(
            stderr(&missing).contains("/dev/null/config"),
            "{}",
            stderr(&missing)
        );
        let wrong = config(r#"{"upstream":"socks5://u:hunter2","addresses":[]}"#);
        let wrong = run(program, &["--config", wrong.path().to_str().unwrap()]);
        assert_eq!(wrong.status.code(), Some(78));
        let said = stderr(&wrong);
        assert!(
            said.contains("CIB_PROXY_URL") && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_logged_once_with_the_reason() {
    let world = World::start().await;
    let mut wanted = crate::client::config(&world, "192.0.2.53");
    wanted.ca_bundle = "/dev/null/bundle".into();
    let server = wanted.listen_any[0];
    let config = config(&serde_json::to_string(&wanted).unwrap());
    let mut command = Command::new(RESOLVER);
    command.arg("--config").arg(config.path());
    let process = Process::spawn(command).unwrap();
    wait_until(SOON, "the resolver", || TcpStream::connect(server).is_ok());
    for number in 0..3 {
        let query = query(&format!("secret{number}.example."), RecordType::A);
        assert_eq!(
            addresses(&udp(server, &query).await),
            Err(ResponseCode::ServFail)
        );
    }
    let logged = process.output();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    assert!(logged.contains("server 1 over TCP: the proxy"), "{logged}");
    assert!(
        logged.contains("/dev/null/bundle: Not a directory"),
        "{logged}"
    );
    assert!(!logged.contains("secret"), "{logged}");
}

#[test]
fn a_taken_port_ends_with_70_and_its_name() {
    let address = own_address();
    let _taken = std::net::TcpListener::bind((address, 12346)).unwrap();
    let text = format!(
        r#"{{"upstream":"http://192.0.2.1:3128","addresses":[],"listen":"{address}:12346"}}"#
    );
    let config = config(&text);
    let output = run(CONNECT, &["--config", config.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(70));
    let said = stderr(&output);
    assert!(
        said.contains(&format!("{address}:12346")) && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn help_and_version_go_to_standard_output() {
    for program in [RESOLVER, CONNECT] {
        let help = run(program, &["--help"]);
        assert!(help.status.success());
        assert!(String::from_utf8_lossy(&help.stdout).contains("--ready-fd"));
        let version = run(program, &["--version"]);
        assert!(String::from_utf8_lossy(&version.stdout).starts_with("cib-"));
    }
}
