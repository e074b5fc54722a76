use std::io::Write as _;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use tempfile::NamedTempFile;
use tokio::net::UdpSocket;

use super::*;

const SOON: Duration = Duration::from_secs(5);

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn nowhere() -> PathBuf {
    tempfile::tempdir().unwrap().path().join("gone")
}

/// A server on UDP that knows `proxy.lan` and one name that makes it fail.
async fn server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            let query = message.queries[0].clone();
            let data = match query.query_type {
                RecordType::A => {
                    RData::A("192.0.2.9".parse::<std::net::Ipv4Addr>().unwrap().into())
                }
                _ => RData::AAAA("2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap().into()),
            };
            match query.name.to_ascii().as_str() {
                "proxy.lan." => {
                    message.add_answer(Record::from_rdata(query.name.clone(), 60, data));
                }
                "broken." => message.metadata.response_code = ResponseCode::ServFail,
                _ => message.metadata.response_code = ResponseCode::NXDomain,
            }
            socket
                .send_to(&message.to_vec().unwrap(), client)
                .await
                .unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_name_in_the_hosts_file_needs_no_server() {
    let hosts = file("192.0.2.7 proxy\n192.0.2.7 proxy\n2001:db8::7 proxy\n192.0.2.8 proxy\n");
    let files = Files {
        hosts: hosts.path().into(),
        resolv_conf: nowhere(),
    };
    let found = resolve(&Host::Name("proxy".into()), &files, SOON)
        .await
        .unwrap();
    assert_eq!(
        found,
        ["192.0.2.7", "192.0.2.8", "2001:db8::7"].map(|a| a.parse::<IpAddr>().unwrap())
    );
}

#[tokio::test]
async fn a_name_is_found_through_the_search_list_with_both_families() {
    let conf = ResolvConf {
        servers: vec![server().await],
        search: vec!["nowhere".into(), "lan".into()],
        ..ResolvConf::default()
    };
    let found = ask_all("proxy", &conf, SOON).await.unwrap();
    assert_eq!(
        in_order(found),
        ["192.0.2.9", "2001:db8::9"].map(|a| a.parse::<IpAddr>().unwrap())
    );
}

#[tokio::test]
async fn a_missing_name_a_failing_server_and_a_silent_one_are_told_apart() {
    let conf = ResolvConf {
        servers: vec![server().await],
        ..ResolvConf::default()
    };
    assert_eq!(ask_all("missing", &conf, SOON).await, Err(Miss::NoSuchName));
    assert_eq!(ask_all("broken", &conf, SOON).await, Err(Miss::Failed));

    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let conf = ResolvConf {
        servers: vec![silent.local_addr().unwrap()],
        ..conf
    };
    let soon = Duration::from_millis(50);
    assert_eq!(ask_all("proxy.lan", &conf, soon).await, Err(Miss::Silent));
}

#[tokio::test]
async fn a_name_is_refreshed_through_one_server() {
    let found = resolve_through(server().await, "proxy.lan", SOON)
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn a_fault_names_the_variable_the_host_and_the_file() {
    let conf = file("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    let files = Files {
        hosts: nowhere(),
        resolv_conf: conf.path().into(),
    };
    // Port 53 of this machine's loopback answers nobody, or answers that there is no such name.
    let host = Host::Name("no-such-host.invalid".into());
    let fault = resolve(&host, &files, SOON).await.unwrap_err().to_string();
    assert!(fault.contains("CIB_PROXY_URL"), "{fault}");
    assert!(fault.contains("no-such-host.invalid"), "{fault}");
}
