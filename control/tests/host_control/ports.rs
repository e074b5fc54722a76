//! What listens in the box, as a browser gets it: a real server of HTTP and a real echo over a
//! WebSocket, both coder's by the kernel's word, which takes root to make.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::common::client::{Answer, Client};
use crate::common::page::Page;
use crate::common::world::World;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::unistd::{Uid, setfsuid};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{self, Message};

const CODER: u32 = 1000;

/// A socket that listens, of a user's: who makes a socket is whom this thread passes for.
fn listener(uid: u32) -> TcpListener {
    let was = setfsuid(Uid::from_raw(uid));
    let bound = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    setfsuid(was);
    let bound = bound.unwrap();
    bound.set_nonblocking(true).unwrap();
    TcpListener::from_std(bound).unwrap()
}

/// Tells what it was asked, and everything that could hurt the box's pages.
async fn hostile(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.body_mut().collect().await.unwrap().to_bytes();
    let heard: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    let said = json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": heard,
        "body": String::from_utf8_lossy(&body),
    });
    let mut response = Response::new(Full::from(said.to_string()));
    for (name, value) in [
        ("content-type", "text/html"),
        ("set-cookie", "cib-00000000=tossed; path=/"),
        ("clear-site-data", "\"*\""),
        ("service-worker-allowed", "/"),
        ("content-security-policy", "default-src *"),
        ("access-control-allow-credentials", "true"),
        ("www-authenticate", "Basic realm=\"your password, please\""),
        ("x-accel-redirect", "/etc/shadow"),
    ] {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    if request.uri().path() == "/away" {
        *response.status_mut() = http::StatusCode::FOUND;
        response
            .headers_mut()
            .insert("location", "/login".parse().unwrap());
    }
    Ok(response)
}

/// A server of HTTP on a port of a user's.
fn http(uid: u32) -> SocketAddr {
    let listener = listener(uid);
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(hostile));
            tokio::spawn(serving);
        }
    });
    address
}

/// Says back what it hears.
fn echo() -> SocketAddr {
    let listener = listener(CODER);
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() || socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Opens a port, and returns its path and its label.
async fn open(client: &Client, port: u16) -> (String, String) {
    let opened = client
        .post(&format!("/api/ports/{port}/open"), &json!({}))
        .await;
    let opened = opened.created();
    let text = |name: &str| opened[name].as_str().unwrap().to_owned();
    (text("path"), text("label"))
}

fn heard(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn policy(headers: &HeaderMap) -> &str {
    headers["content-security-policy"].to_str().unwrap()
}

/// Everything that says who a browser is.
fn dressed(client: Client, page: &Page) -> Client {
    page.dress(client)
        .with_header("authorization", "Bearer a-token-of-somebodys")
        .with_header("x-cib-proxy-secret", "secret")
        .with_header("x-forwarded-user", "ann")
        .with_header("x-forwarded-access-token", "secret")
        .with_header("referer", "http://box/s/1")
        .with_header("accept", "text/html")
}

#[tokio::test]
async fn what_listens_is_seen_and_learns_nothing_of_who_looks() {
    let world = World::new();
    let server = world.serve();
    let page = Page::by_token(&server, crate::common::world::MASTER).await;
    let port = http(CODER).port();
    let (path, label) = open(&page.client(&server), port).await;
    assert!(path.starts_with(&format!("/ports/{port}/")));
    let by_name = |client: Client| client.with_header("host", &format!("{label}.localhost:1"));
    for (client, path, sandbox) in [
        (
            server.stranger(),
            path.clone(),
            "sandbox allow-scripts allow-forms allow-modals; ",
        ),
        (
            by_name(server.stranger()),
            "/".to_owned(),
            "sandbox allow-scripts allow-forms allow-modals allow-same-origin; ",
        ),
    ] {
        let target = format!("{path}a%2Fb?token=1&x=%00");
        let answer = dressed(client, &page)
            .request(Method::POST, &target, "a body")
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let heard = heard(&answer);
        assert_eq!(heard["method"], "POST");
        assert_eq!(heard["target"], "/a%2Fb?token=1&x=%00");
        assert_eq!(heard["body"], "a body");
        let said = heard["headers"].to_string();
        for secret in ["cib-", "Bearer", "secret", "ann", "/s/1", &page.proof] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
        assert!(said.contains(&format!("host: localhost:{port}")), "{said}");
        assert!(policy(&answer.headers).starts_with(sandbox), "{answer:?}");
        for gone in [
            "set-cookie",
            "clear-site-data",
            "service-worker-allowed",
            "access-control-allow-credentials",
            "www-authenticate",
            "x-accel-redirect",
        ] {
            assert!(!answer.headers.contains_key(gone), "{gone}");
        }
    }
    let away = server.stranger().get(&format!("{path}away")).await;
    assert_eq!(away.headers["location"], format!("{path}login").as_str());
    let bare = server.stranger().get(path.trim_end_matches('/')).await;
    assert_eq!(bare.headers["location"], path.as_str());
}

#[tokio::test]
async fn a_socket_is_joined_both_ways_and_ends_with_the_sign_in() {
    let world = World::new();
    let server = world.serve();
    let page = Page::by_token(&server, crate::common::world::MASTER).await;
    let port = echo().port();
    let (path, _) = open(&page.client(&server), port).await;
    let browser = server.stranger().with_header("origin", "null");
    let mut socket = browser.socket(&path).await.unwrap().0;
    let long = "x".repeat(300_000);
    for text in ["hello", &long] {
        socket.send(Message::text(text)).await.unwrap();
        let back = crate::common::soon(socket.next()).await.unwrap().unwrap();
        assert_eq!(back, Message::text(text));
    }
    let foreign = server
        .stranger()
        .with_header("origin", "https://evil.example");
    let refused = foreign.socket(&path).await.err().unwrap();
    assert!(
        matches!(&refused, tungstenite::Error::Http(answer) if answer.status() == 403),
        "{refused}"
    );
    let out = page
        .client(&server)
        .post("/api/auth/logout", &json!({}))
        .await;
    assert!(out.status.is_success(), "{out:?}");
    let end = crate::common::soon(async {
        while let Some(Ok(message)) = socket.next().await {
            assert!(!message.is_text());
        }
    });
    end.await;
    server
        .stranger()
        .get(&path)
        .await
        .fault(404, "no_such_port");
}

#[tokio::test]
async fn only_what_is_the_agents_is_opened_and_only_to_whom_it_was_opened() {
    let world = World::new();
    let server = world.serve();
    let master = server.client();
    let opening = async |port: u16| {
        let path = format!("/api/ports/{port}/open");
        let nothing = json!({});
        master.post(&path, &nothing).await
    };
    // Root's, control's own and the keepers'; one that nobody has; none at all.
    for uid in [0, 970, 971, 972] {
        let port = http(uid).port();
        opening(port).await.fault(404, "no_such_port");
    }
    opening(server.address.port())
        .await
        .fault(404, "no_such_port");
    let free = crate::common::process::free_address().port();
    opening(free).await.fault(404, "no_such_port");
    master
        .post("/api/ports/0/open", &json!({}))
        .await
        .fault(400, "bad_value");
    let port = http(CODER).port();
    let (path, label) = open(&master, port).await;
    let other = format!("/ports/{}/{}", free, path.rsplit('/').nth(1).unwrap());
    let guessed = format!("/ports/{port}/{}/", "0".repeat(32));
    for wrong in [other.as_str(), &guessed, &format!("/ports/{port}/")] {
        server
            .stranger()
            .get(wrong)
            .await
            .fault(404, "no_such_port");
    }
    let name = |label: &str| {
        server
            .stranger()
            .with_header("host", &format!("{label}.box"))
    };
    // A name of a port's own is no name of the box: nothing of its API is there.
    let body = name(&label).get("/api/health").await;
    assert_eq!(heard(&body)["target"], "/api/health");
    let closed = name(&format!("p-{}", "0".repeat(32)));
    closed.get("/api/health").await.fault(404, "no_such_port");
    closed
        .with_token(crate::common::world::MASTER)
        .get("/api/sessions")
        .await
        .fault(404, "no_such_port");
    let worker = server.stranger().with_header("service-worker", "script");
    worker.get(&path).await.fault(400, "bad_value");
    let reader = json!({"label": "x", "scopes": ["ports:read"]});
    let made = master.post("/api/tokens", &reader).await.created();
    let reader = server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap());
    let path = format!("/api/ports/{port}/open");
    reader
        .post(&path, &json!({}))
        .await
        .fault(403, "scope_missing");
}

#[tokio::test]
async fn what_does_not_answer_is_a_fault_of_its_own_and_holds_nobody_up() {
    let world = World::new();
    let server = world.serve();
    let silent = listener(CODER);
    let port = silent.local_addr().unwrap().port();
    let (path, _) = open(&server.client(), port).await;
    tokio::spawn(async move {
        let (mut first, _) = silent.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut first, b"garbage\r\n\r\n")
            .await
            .unwrap();
        // Whoever comes after that is held, and hears nothing.
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    server.stranger().get(&path).await.fault(502, "port_failed");
    let mut waiting = JoinSet::new();
    let ask = |waiting: &mut JoinSet<_>| {
        let (client, path) = (server.stranger(), path.clone());
        waiting.spawn(async move { client.send(Method::GET, &path, Bytes::new()).await });
    };
    (0..64).for_each(|_| ask(&mut waiting));
    crate::common::until("one more is refused", async || {
        ask(&mut waiting);
        let first = tokio::time::timeout(Duration::from_millis(200), waiting.join_next()).await;
        matches!(first, Ok(Some(Ok(Ok(answer)))) if answer.status() == 503)
    })
    .await;
    server.client().get("/api/info").await.ok();
}
