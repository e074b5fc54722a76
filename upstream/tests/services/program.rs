//! `cib-connect` as init starts it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::process::Command;

use cib_testkit::process::Process;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;

use crate::started::{
    SOON, config, explains_itself, refuses_what_is_wrong, run, says_when_it_listens_and_ends_well,
    stderr,
};
use crate::world::own_address;

const CONNECT: &str = env!("CARGO_BIN_EXE_cib-connect");

#[test]
fn a_program_says_when_it_listens_and_ends_well_on_sigterm() {
    let address = own_address();
    let text = format!(
        r#"{{"upstream":"socks5://u:p@192.0.2.1:1080","addresses":["192.0.2.1"],"listen":"{address}:12346"}}"#
    );
    says_when_it_listens_and_ends_well(CONNECT, &text, (address, 12346).into());
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
    refuses_what_is_wrong(CONNECT);
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
    explains_itself(CONNECT, "cib-connect ");
}
