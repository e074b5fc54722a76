//! `cib-resolver` as init starts it.

use std::net::TcpStream;
use std::process::Command;

use cib_testkit::process::Process;
use cib_testkit::wait::wait_until;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::client::{addresses, query, udp};
use crate::started::{
    SOON, config, explains_itself, refuses_what_is_wrong, says_when_it_listens_and_ends_well,
};
use crate::world::{World, own_address};

const RESOLVER: &str = env!("CARGO_BIN_EXE_cib-resolver");

#[test]
fn a_program_says_when_it_listens_and_ends_well_on_sigterm() {
    let address = own_address();
    let text = format!(
        r#"{{"upstream":"socks5://u:p@192.0.2.1:1080","addresses":["192.0.2.1"],"listen_docker":["{address}:5301"],"listen_any":["{address}:5302"]}}"#
    );
    says_when_it_listens_and_ends_well(RESOLVER, &text, (address, 5302).into());
}

#[test]
fn a_wrong_command_line_ends_with_64_and_a_wrong_configuration_with_78() {
    refuses_what_is_wrong(RESOLVER);
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
fn help_and_version_go_to_standard_output() {
    explains_itself(RESOLVER, "cib-resolver ");
}

#[test]
fn called_cib_connect_it_is_that_program() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("cib-connect");
    std::os::unix::fs::symlink(RESOLVER, &name).unwrap();
    explains_itself(name.to_str().unwrap(), "cib-connect ");
}
