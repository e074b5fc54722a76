//! The programs as init starts them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output};
use std::time::Duration;

use cib_testkit::process::Process;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use tempfile::NamedTempFile;

use crate::world::own_address;

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
        fcntl_setfd(&writer, FdFlags::empty()).unwrap();
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
        process.signal(Signal::TERM).unwrap();
        assert!(process.wait(SOON).success(), "{}", process.output());
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
        let missing = run(program, &["--config", "/nonexistent"]);
        assert_eq!(missing.status.code(), Some(78));
        assert!(
            stderr(&missing).contains("/nonexistent"),
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
