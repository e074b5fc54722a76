//! The connect bridge.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cib_upstream::Upstream;
use cib_upstream::connect::{self, ConnectConfig};
use cib_upstream::service::{Ready, Sockets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Route, World, own_address};

/// Starts a bridge and waits until it listens.
async fn bridge(upstream: Upstream) -> SocketAddr {
    let pinned = upstream.host().address().unwrap();
    let mut config = ConnectConfig::new(upstream, vec![pinned]);
    config.listen = (own_address(), 12346).into();
    let listen = config.listen;
    tokio::spawn(connect::run(config, Ready::nobody(), Sockets::default()));
    let end = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(listen).await.is_err() {
        assert!(Instant::now() < end);
        tokio::task::yield_now().await;
    }
    listen
}

/// Sends a request and gives back everything until the bridge closes.
async fn talk(bridge: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(bridge).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    heard
}

/// A server that takes one request, gives it to the test, and answers.
async fn server(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            heard.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(heard).unwrap()
    });
    (address, task)
}

#[tokio::test]
async fn connect_makes_a_tunnel_to_a_name_that_the_upstream_resolves() {
    let world = World::start().await;
    let (far, heard) = server("from afar").await;
    world.route("a.example:443", Route::To(far));
    let bridge = bridge(world.upstream.clone()).await;
    let request = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\nhello\r\n\r\n";
    let answer = talk(bridge, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nfrom afar"), "{answer}");
    assert_eq!(heard.await.unwrap(), "hello\r\n\r\n");
    assert_eq!(world.targets(), ["a.example:443"]);
}

const PAGE: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\npage";
const GET: &str = "GET http://a.example/path?q HTTP/1.1\r\nHost: a.example\r\n\
                   Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\n\
                   Accept: */*\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_plain_request_reaches_the_origin_in_its_own_form() {
    let world = World::start().await;
    let (far, heard) = server(PAGE).await;
    world.route("a.example:80", Route::To(far));
    let answer = talk(bridge(world.upstream.clone()).await, GET).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("page"),
        "{answer}"
    );
    assert!(!answer.to_lowercase().contains("x-hop"), "{answer}");
    let heard = heard.await.unwrap().to_lowercase();
    assert!(heard.starts_with("get /path?q http/1.1\r\n"), "{heard}");
    assert!(
        heard.contains("host: a.example\r\n") && heard.contains("accept: */*"),
        "{heard}"
    );
    assert!(!heard.contains("proxy-"), "{heard}");
}

#[tokio::test]
async fn a_plain_request_to_an_http_upstream_stays_whole_and_carries_our_credentials() {
    let (upstream, heard) = server(PAGE).await;
    let upstream = Upstream::parse(&format!("http://me:pw@{upstream}")).unwrap();
    let answer = talk(bridge(upstream).await, GET).await;
    assert!(answer.ends_with("page"), "{answer}");
    let heard = heard.await.unwrap().to_lowercase();
    assert!(
        heard.starts_with("get http://a.example/path?q http/1.1\r\n"),
        "{heard}"
    );
    assert!(
        heard.contains("proxy-authorization: basic bwu6chc=\r\n"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_demand_for_credentials_is_ours_to_answer_and_not_the_clients() {
    let (upstream, _heard) =
        server("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n").await;
    let upstream = Upstream::parse(&format!("http://me:hunter2@{upstream}")).unwrap();
    let answer = talk(bridge(upstream).await, GET).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(
        answer.contains("CIB_PROXY_URL") && !answer.contains("hunter2"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_cannot_be_carried_is_refused_with_its_reason() {
    let world = World::start().await;
    let bridge = bridge(world.upstream.clone()).await;
    let connect = |target: &str| {
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n")
    };
    for (request, status) in [
        (connect("127.0.0.1:22"), "403"),
        (connect("[fd00::1]:22"), "403"),
        (connect("localhost:22"), "403"),
        (
            "GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(),
            "403",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(),
            "400",
        ),
        (
            "GET https://a.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(),
            "400",
        ),
        (connect("nowhere.example:443"), "502"),
    ] {
        let answer = talk(bridge, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(answer.contains("cib-connect: "), "{answer}");
    }
    assert_eq!(world.targets(), ["nowhere.example:443"]);
}

#[tokio::test]
async fn a_dead_upstream_is_named_at_once() {
    let world = World::start().await;
    let upstream = world.upstream.clone();
    let bridge = bridge(upstream.clone()).await;
    world.stop().await;
    let begin = Instant::now();
    let answer = talk(bridge, GET).await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(
        answer.contains(&upstream.endpoint().to_string()),
        "{answer}"
    );
}
