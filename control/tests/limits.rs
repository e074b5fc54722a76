//! What one client cannot do to the others.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod common;

use std::io;
use std::time::Duration;

use common::keeper::text;
use common::world::{MASTER, Server, World};
use common::{soon, until};
use http::Method;
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
async fn connections_beyond_the_limit_are_told_so_and_the_others_go_on() {
    let mut world = World::new();
    world.limits.connections = 3;
    let mut keeper = world.keeper();
    let server = world.serve();
    let path = format!("/sse/sessions/{}", keeper.id);
    let mut stream = server.client().events(&path).await;
    let mut socket = server
        .client()
        .socket(&format!("/ws/sessions/{}", keeper.id))
        .await
        .unwrap();
    let idle = connect(&server).await;
    until("all three are counted", async || {
        let mut fourth = connect(&server).await;
        rest(&mut fourth).await.contains("too_many_connections")
    })
    .await;
    keeper.append(&[text("a")]);
    assert_eq!(stream.seqs_to(1).await, [1]);
    assert_eq!(socket.seqs_to(1).await, [1]);
    drop(socket);
    until("a place is free again", async || {
        let stream = server
            .stranger()
            .send(Method::GET, "/api/health", "".into())
            .await;
        stream.is_ok_and(|response| response.status().is_success())
    })
    .await;
    drop(idle);
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
