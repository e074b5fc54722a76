//! What one client cannot do to the others.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io;
use std::time::Duration;

use crate::common::keeper::text;
use crate::common::world::{MASTER, Server, World};
use crate::common::{soon, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// Everything that the server says until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let reading = async {
        match stream.read_to_end(&mut said).await {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => {}
        }
    };
    soon(reading).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn headers_that_do_not_come_close_the_connection() {
    let mut world = World::new();
    world.limits.headers = Duration::from_millis(100);
    let server = world.serve();
    let mut silent = connect(&server).await;
    assert_eq!(rest(&mut silent).await, "");
    let mut slow = connect(&server).await;
    slow.write_all(b"GET /api/health HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    assert!(!rest(&mut slow).await.contains("200 OK"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let mut world = World::new();
    world.limits.body_piece = Duration::from_millis(100);
    let server = world.serve();
    let mut stream = connect(&server).await;
    let head = format!(
        "POST /api/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER}\r\n\
         Content-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let said = rest(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(said.contains("request_timeout"), "{said}");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let mut world = World::new();
    world.limits.body = Duration::from_millis(200);
    let server = world.serve();
    let mut stream = connect(&server).await;
    let head = format!(
        "POST /api/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let trickle = tokio::spawn(async move {
        while write.write_all(b"1\r\n \r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut said = [0; 12];
    soon(read.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 408");
    trickle.abort();
}

#[tokio::test]
async fn a_body_without_a_length_is_limited_too() {
    let world = World::new();
    let server = world.serve();
    let mut stream = connect(&server).await;
    let head = format!(
        "POST /api/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER}\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..20 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let said = rest(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let world = World::new();
    let server = world.serve();
    for headers in [
        "X-Filler: y\r\n".repeat(100),
        format!("X-Filler: {}\r\n", "y".repeat(100_000)),
    ] {
        let mut stream = connect(&server).await;
        let request = format!("GET /api/health HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        // The server may have answered and closed before everything was written.
        let _ = stream.write_all(request.as_bytes()).await;
        let said = rest(&mut stream).await;
        assert!(!said.contains("200 OK"), "{said}");
    }
    server.stranger().get("/api/health").await.ok();
}

#[tokio::test]
async fn idle_strangers_make_room_and_neither_streams_nor_the_owner_notice() {
    let mut world = World::new();
    world.limits.connections = 32;
    let mut keeper = world.keeper();
    let server = world.serve();
    let path = format!("/sse/sessions/{}", keeper.id);
    let mut stream = server.client().events(&path).await;
    let mut socket = server
        .client()
        .socket(&format!("/ws/sessions/{}", keeper.id))
        .await
        .unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(connect(&server).await);
    }
    server.client().get("/api/sessions").await.ok();
    assert_eq!(rest(&mut idle[0]).await, "", "the oldest had to go");
    keeper.append(&[text("a")]);
    assert_eq!(stream.seqs_to(1).await, [1]);
    assert_eq!(socket.seqs_to(1).await, [1]);
    let metrics = server.client().get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let refused = metrics
        .lines()
        .find_map(|line| line.strip_prefix("cib_http_connections_refused_total "));
    assert!(
        refused.unwrap().parse::<u32>().unwrap() >= 68,
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_device_with_its_share_of_streams_is_told_so_and_the_owner_goes_on() {
    let mut world = World::new();
    world.limits.connections = 32;
    let keeper = world.keeper();
    let server = world.serve();
    let body = serde_json::json!({"label": "tv", "scopes": ["*"]});
    let created = server.client().post("/api/tokens", &body).await.created();
    let device = server
        .stranger()
        .with_token(created["plaintext"].as_str().unwrap());
    let path = format!("/sse/sessions/{}", keeper.id);
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(device.events(&path).await);
    }
    let refused = device.get("/api/sessions").await;
    refused.fault(503, "too_many_connections");
    assert_eq!(refused.headers["connection"], "close");
    assert_eq!(refused.headers["retry-after"], "1");
    server.client().get("/api/sessions").await.ok();
    streams.pop();
    until("a place is free again", async || {
        device.get("/api/sessions").await.status.is_success()
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_ended_and_finds_everything_when_it_comes_back() {
    let mut world = World::new();
    world.limits.write = Duration::from_millis(300);
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut stuck = Vec::new();
    let gets = [
        format!("GET /sse/sessions/{}", keeper.id),
        format!(
            "GET /api/sessions/{}/transcript?limit=10000&from=",
            keeper.id
        ),
    ];
    // More than the kernel holds for anybody.
    let frames: Vec<_> = (0..40).map(|_| text("x".repeat(1 << 20))).collect();
    keeper.append(&frames);
    for get in &gets {
        let mut stream = connect(&server).await;
        let zero = if get.ends_with('=') { "0" } else { "" };
        let request =
            format!("{get}{zero} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MASTER}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stuck.push(stream);
    }
    let mut socket = server
        .client()
        .socket(&format!("/ws/sessions/{}", keeper.id))
        .await
        .unwrap();
    let metrics = async || {
        let answer = server.client().get("/metrics").await;
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    until("all three are ended", async || {
        let text = metrics().await;
        // The connection of the question itself is the one that is left.
        text.contains("cib_http_connections 1\n")
            && text.contains("cib_streams{transport=\"websocket\"} 0")
            && text.contains("cib_streams{transport=\"sse\"} 0")
    })
    .await;
    let mut last = 0;
    while let Ok(frame) = socket.next().await {
        last = frame["seq"].as_u64().unwrap();
    }
    assert!(last < 40, "it was ended before it had everything");
    let path = format!("/sse/sessions/{}?from={last}", keeper.id);
    let again = server.client().events(&path).await.seqs_to(40).await;
    assert_eq!(again, (last + 1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let world = World::new();
    let server = world.serve();
    for path in [
        "/",
        "/index.html",
        "/api",
        "/api/sessions/",
        "/api/nonsense",
        "//api/health",
    ] {
        server.client().get(path).await.fault(404, "no_such_route");
    }
    let answer = server.client().delete("/api/sessions").await;
    answer.fault(405, "method_not_allowed");
    let allowed = answer.headers["allow"].to_str().unwrap();
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_by_name() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let path = format!("/api/sessions/{}/transcript?form=3", keeper.id);
    let detail = server.client().get(&path).await.fault(400, "bad_value");
    assert!(
        detail.contains("`form`") && detail.contains("from"),
        "{detail}"
    );
}

#[tokio::test]
async fn no_answer_is_kept_by_a_cache() {
    let world = World::new();
    let server = world.serve();
    for path in ["/api/health", "/api/info", "/nothing"] {
        let answer = server.client().get(path).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
}
