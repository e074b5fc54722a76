use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// Answers one connection with the same bytes, and tells what was asked.
fn server(answer: &'static [u8]) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        // The other side may have read enough.
        let _ = stream.write_all(answer);
        String::from_utf8(head).unwrap()
    });
    (addr, asked)
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn an_answer_is_read_whatever_its_status_and_no_redirect_is_followed() {
    let (addr, asked) =
        server(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 2\r\n\r\nhi");
    let client = Client::new(Options::default());
    let answer = client
        .send(get(&format!("http://{addr}/a?b=c")))
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (302, &b"hi"[..])
    );
    let asked = asked.join().unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /a?b=c http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {addr}\r\n")), "{asked}");
}

#[tokio::test]
async fn what_is_too_large_too_late_or_forbidden_is_an_error_of_its_own() {
    let large = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789";
    let (addr, _) = server(large);
    let client = Client::new(Options {
        most: 8,
        ..Options::default()
    });
    let error = client
        .send(get(&format!("http://{addr}/")))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpsError::Large(8)), "{error:?}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let client = Client::new(Options {
        patience: Duration::from_millis(50),
        ..Options::default()
    });
    let error = client.send(get(&url)).await.unwrap_err();
    assert!(matches!(error, HttpsError::Late(_)) && error.is_passing());

    let client = Client::new(Options {
        permits: |address| !address.is_loopback(),
        ..Options::default()
    });
    for url in [&*url, "http://a.localhost:1/"] {
        let error = client.send(get(url)).await.unwrap_err();
        assert!(matches!(error, HttpsError::Forbidden { .. }), "{error:?}");
        assert!(!error.is_passing());
    }
    for url in ["/a", "ftp://127.0.0.1/"] {
        let error = client.send(get(url)).await.unwrap_err();
        assert!(matches!(error, HttpsError::Address), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn with_a_bridge_every_connection_goes_through_it_and_its_refusal_is_told() {
    let (bridge, asked) = server(b"HTTP/1.1 403 Forbidden\r\n\r\n");
    let client = Client::new(Options {
        bridge: Some(bridge),
        ..Options::default()
    });
    let error = client
        .send(get("https://forge.example/x"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("403 Forbidden"), "{error}");
    let asked = asked.join().unwrap();
    assert!(
        asked.starts_with("CONNECT forge.example:443 HTTP/1.1\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_bridge_is_not_asked_for_this_machine_nor_for_an_address_that_is_not_permitted() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let (addr, asked) = server(b"HTTP/1.1 204 No Content\r\n\r\n");
    let client = Client::new(Options {
        bridge: Some(nobody),
        permits: |address| address.is_loopback(),
        ..Options::default()
    });
    let answer = client.send(get(&format!("http://{addr}/"))).await.unwrap();
    assert_eq!(answer.status(), 204);
    asked.join().unwrap();
    let error = client.send(get("http://10.1.2.3/")).await.unwrap_err();
    assert!(matches!(error, HttpsError::Forbidden { .. }), "{error:?}");
}

#[tokio::test]
async fn only_a_server_that_the_bundle_trusts_is_spoken_to() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut asked = [0; 1024];
            if stream.read(&mut asked).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.flush();
            }
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let ours = dir.path().join("ours.pem");
    std::fs::write(&ours, made.cert.pem()).unwrap();
    let theirs = dir.path().join("theirs.pem");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&theirs, other.cert.pem()).unwrap();
    let nothing = dir.path().join("nothing.pem");
    std::fs::write(&nothing, "").unwrap();
    let by = |bundle: PathBuf| {
        Client::new(Options {
            bundle,
            ..Options::default()
        })
    };
    let url = format!("https://localhost:{port}/");
    let error = by(theirs).send(get(&url)).await.unwrap_err();
    assert!(matches!(error, HttpsError::Tls { .. }), "{error:?}");
    let answer = by(ours).send(get(&url)).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let error = by(nothing).send(get(&url)).await.unwrap_err();
    assert!(matches!(error, HttpsError::Trust { .. }), "{error:?}");
}

#[test]
fn an_address_is_known_in_every_spelling_that_leads_there() {
    let of = |host: &str| crate::connect::own_address(host).map(|address| address.to_string());
    for host in [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.16689662",
        "169.254.43518",
    ] {
        assert_eq!(of(host).as_deref(), Some("169.254.169.254"), "{host}");
    }
    for (host, address) in [("0", "0.0.0.0"), ("127.1", "127.0.0.1"), ("0x", "0.0.0.0")] {
        assert_eq!(of(host).as_deref(), Some(address), "{host}");
    }
    for name in [
        "example.com",
        "",
        ".",
        "1.2.3.4.5",
        "256.1",
        "1.2.3.256",
        "4294967296",
        "+1",
        "1.-1",
        "0x1g",
        "08",
        "a.1",
        "de.fa.ce",
        "1..2",
    ] {
        assert_eq!(of(name), None, "{name}");
    }
}
