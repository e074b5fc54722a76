//! Devices on a line of their own: records without HTTP.

use std::time::Duration;

use cib_control::auth::limiter::BURST;
use cib_envelope::client;
use cib_envelope::head::{Answer, Carries, Method, Request};
use cib_envelope::item::{Item, Kind, pieces};
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::message::{self, CHALLENGE, HELLO, OPEN, RESPONSE};
use cib_envelope::record::{Opener, Sealer};
use cib_protocol::session::State;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::device::{Token, bytes, mint, random};
use super::resident;
use crate::access::{SECRET, behind_a_proxy};
use crate::common::keeper::text;
use crate::common::soon;
use crate::common::world::{Server, World};

/// A device that is connected.
struct Line {
    stream: TcpStream,
    sealer: Sealer,
    opener: Opener,
    waiting: Vec<(Kind, u16, Vec<u8>)>,
}

/// What a device connects with, and what opens the answer.
async fn opening(
    stream: &mut TcpStream,
    token: &Token,
    off: u64,
) -> (Vec<u8>, Sealer, client::Pending) {
    stream.write_all(&HELLO).await.unwrap();
    let mut challenge = [0; CHALLENGE];
    stream.read_exact(&mut challenge).await.unwrap();
    connect(&challenge, token, off)
}

fn connect(challenge: &[u8], token: &Token, off: u64) -> (Vec<u8>, Sealer, client::Pending) {
    let device = client::Device {
        id: KeyId(bytes(&token.id)),
        secret: Key::new(bytes(&token.plaintext)),
    };
    let time = u64::from_be_bytes(challenge[8..16].try_into().unwrap()) + off;
    let mut session = device
        .session(message::Kind::Connect, challenge, random())
        .unwrap();
    let (mut out, mut sealer, pending) = session.begin(random());
    let first = [&time.to_be_bytes()[..], &512_u16.to_be_bytes()].concat();
    sealer.seal(&[&first], false, &mut out).unwrap();
    (out, sealer, pending)
}

impl Line {
    async fn open(server: &Server, token: &Token) -> Self {
        let mut stream = TcpStream::connect(server.records).await.unwrap();
        let (out, sealer, pending) = opening(&mut stream, token, 0).await;
        stream.write_all(&out).await.unwrap();
        let mut prefix = [0; RESPONSE];
        soon(stream.read_exact(&mut prefix)).await.unwrap();
        let mut line = Self {
            stream,
            sealer,
            opener: pending.opener(&prefix).unwrap(),
            waiting: Vec::new(),
        };
        let head = line.record().await.unwrap();
        let (head, _) = Answer::parse(&head).unwrap();
        assert_eq!((head.status, head.carries), (200, Carries::Connection));
        line
    }

    async fn record(&mut self) -> Option<Vec<u8>> {
        soon(async {
            loop {
                if let Some(record) = self.opener.record().unwrap() {
                    return Some(record.plain);
                }
                let mut piece = [0; 4096];
                let count = self.stream.read(&mut piece).await.unwrap();
                if count == 0 {
                    return None;
                }
                self.opener.push(&piece[..count]);
            }
        })
        .await
    }

    /// The next item, joined, whatever comes between its pieces.
    async fn item(&mut self) -> Option<(Kind, u16, Vec<u8>)> {
        loop {
            let plain = self.record().await?;
            assert!(plain.len() <= 512);
            let item = Item::parse(&plain).unwrap();
            let (kind, reference) = (item.kind().unwrap(), item.reference);
            let known = self
                .waiting
                .iter()
                .position(|(one, of, _)| (*one, *of) == (kind, reference));
            let mut joined = known.map_or(Vec::new(), |at| self.waiting.swap_remove(at).2);
            joined.extend_from_slice(item.payload);
            if !item.goes_on {
                return Some((kind, reference, joined));
            }
            self.waiting.push((kind, reference, joined));
        }
    }

    async fn say(&mut self, kind: Kind, reference: u16, payload: &[u8], is_last: bool) {
        let mut out = Vec::new();
        for (header, piece) in pieces(kind, reference, payload, 512) {
            self.sealer
                .seal(&[&header, piece], is_last, &mut out)
                .unwrap();
        }
        self.stream.write_all(&out).await.unwrap();
    }

    async fn call(&mut self, reference: u16, method: Method, target: &str, body: &str) {
        let head = Request {
            time_ms: 0,
            max_record: 512,
            method,
            target: target.to_owned(),
        };
        let call = [&head.write(), body.as_bytes()].concat();
        self.say(Kind::Call, reference, &call, false).await;
    }

    async fn reply(&mut self) -> (u16, u16, Value) {
        let (kind, reference, payload) = self.item().await.unwrap();
        assert_eq!(kind, Kind::Reply);
        let status = u16::from_be_bytes([payload[0], payload[1]]);
        (
            reference,
            status,
            serde_json::from_slice(&payload[2..]).unwrap(),
        )
    }
}

/// What a server says to bytes until it closes.
async fn answered(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.records).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // A server that closes on what it has not read resets.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    answer
}

#[tokio::test]
async fn a_line_carries_calls_and_streams_at_once_and_ends_as_it_is_told() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("first")]);
    let server = world.serve();
    let token = mint(&server, &["sessions:read", "sessions:input"]).await;
    let mut line = Line::open(&server, &token).await;
    line.call(
        1,
        Method::Get,
        &format!("/api/sessions/{}/events?from=0", keeper.id),
        "",
    )
    .await;
    let (kind, reference, frame) = line.item().await.unwrap();
    let frame: Value = serde_json::from_slice(&frame).unwrap();
    assert_eq!(
        (kind, reference, &frame["seq"]),
        (Kind::Frame, 1, &json!(1))
    );

    let long = json!({"data": "q".repeat(9000)}).to_string();
    line.call(
        2,
        Method::Post,
        &format!("/api/sessions/{}/input", keeper.id),
        &long,
    )
    .await;
    let (reference, status, body) = line.reply().await;
    assert_eq!((reference, status, body), (2, 200, json!({"bytes": 9000})));
    // Its ref is free again.
    line.call(2, Method::Get, "/api/tokens", "").await;
    let (reference, status, body) = line.reply().await;
    assert_eq!(
        (reference, status, &body["error"]),
        (2, 403, &json!("scope_missing"))
    );

    keeper.append(&[text("w".repeat(3000))]);
    let (kind, reference, frame) = line.item().await.unwrap();
    let frame: Value = serde_json::from_slice(&frame).unwrap();
    assert_eq!(
        (kind, reference, &frame["seq"]),
        (Kind::Frame, 1, &json!(2))
    );
    keeper.end(State::Stopped);
    loop {
        let (kind, reference, payload) = line.item().await.unwrap();
        if kind == Kind::StreamEnd {
            let end: Value = serde_json::from_slice(&payload).unwrap();
            assert_eq!((reference, &end["reason"]), (1, &json!("stopped")));
            break;
        }
    }
    line.say(Kind::Heartbeat, 0, b"", false).await;
    let (kind, _, time) = line.item().await.unwrap();
    assert_eq!((kind, time.len()), (Kind::Heartbeat, 8));
    line.say(Kind::End, 0, b"", true).await;
    let (kind, _, payload) = line.item().await.unwrap();
    assert_eq!((kind, &*payload), (Kind::End, &br#"{"reason":"bye"}"#[..]));
    assert!(line.opener.is_over());
    assert!(line.record().await.is_none());
}

#[tokio::test]
async fn a_silent_line_hears_that_the_box_lives_and_one_whose_token_is_revoked_is_told() {
    let world = World::new();
    let mut config = world.config();
    config.heartbeat = Duration::from_millis(50);
    let server = world.serve_with(&config);
    let token = mint(&server, &["sessions:read"]).await;
    let mut line = Line::open(&server, &token).await;
    assert_eq!(line.item().await.unwrap().0, Kind::Heartbeat);
    server
        .client()
        .delete(&format!("/api/tokens/{}", token.id))
        .await;
    let end = loop {
        let (kind, _, payload) = line.item().await.unwrap();
        if kind != Kind::Heartbeat {
            assert_eq!(kind, Kind::End);
            break payload;
        }
    };
    assert_eq!(&*end, br#"{"reason":"token_revoked"}"#);
}

#[tokio::test]
async fn nobody_connects_by_noise_by_another_key_by_a_replay_or_with_a_wrong_clock() {
    let world = World::new();
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    for noise in [
        &b"GET /api/sessions HTTP/1.1\r\n\r\n"[..],
        &[0; 200],
        &[HELLO, HELLO].concat().repeat(8)[..],
    ] {
        let answer = answered(&server, noise).await;
        let is_told = answer.ends_with(br#"{"error":"malformed"}"#);
        assert!(is_told, "{:?}", String::from_utf8_lossy(&answer));
    }
    for wrong in [
        token.with_id("ffffffffffffffff"),
        Token {
            plaintext: "11".repeat(32),
            ..token.clone()
        },
    ] {
        let mut stream = TcpStream::connect(server.records).await.unwrap();
        let (out, ..) = opening(&mut stream, &wrong, 0).await;
        stream.write_all(&out).await.unwrap();
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, br#"{"error":"refused"}"#);
    }
    // The same opening on two lines: the second is a replay.
    let mut stream = TcpStream::connect(server.records).await.unwrap();
    let (out, _sealer, _) = opening(&mut stream, &token, 0).await;
    stream.write_all(&out).await.unwrap();
    soon(stream.read_exact(&mut [0; RESPONSE])).await.unwrap();
    let again = answered(&server, &[&HELLO[..], &out].concat()).await;
    assert!(again.ends_with(br#"{"error":"replayed"}"#));
    assert_eq!(out.len(), OPEN + 28);

    let mut stream = TcpStream::connect(server.records).await.unwrap();
    let (out, _, pending) = opening(&mut stream, &token, 120_000).await;
    stream.write_all(&out).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let told = super::device::open(&pending, &answer).unwrap();
    assert_eq!((told.status, told.word()), (401, "clock".to_owned()));
}

#[tokio::test]
async fn a_device_that_breaks_the_rules_loses_its_line_and_nothing_else() {
    let world = World::new();
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    for n in 0..4 {
        let mut line = Line::open(&server, &token).await;
        match n {
            // No head, a ref twice, an item that no device sends, a damaged record.
            0 => line.say(Kind::Call, 1, b"x", false).await,
            1 => {
                for _ in 0..2 {
                    line.call(1, Method::Get, "/api/events", "").await;
                }
            }
            2 => line.say(Kind::Reply, 1, b"", false).await,
            _ => line.stream.write_all(&[0; 40]).await.unwrap(),
        }
        while line.record().await.is_some() {}
        assert!(!line.opener.is_over(), "{n}: it is no end");
    }
    let mut line = Line::open(&server, &token).await;
    line.call(1, Method::Get, "/api/sessions", "").await;
    assert_eq!(line.reply().await.1, 200);
}

#[tokio::test]
async fn a_line_that_is_not_read_holds_up_nobody_and_fills_no_memory() {
    let world = World::new();
    let mut keeper = world.keeper();
    let long = "z".repeat(60_000);
    for _ in 0..400 {
        keeper.append(&[text(&long)]);
    }
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let before = resident(std::process::id());
    let mut idle = Line::open(&server, &token).await;
    for reference in 0..16 {
        let target = format!("/api/sessions/{}/events?from=0", keeper.id);
        idle.call(reference, Method::Get, &target, "").await;
    }
    let mut other = Line::open(&server, &token).await;
    for _ in 0..20 {
        other.call(1, Method::Get, "/api/sessions", "").await;
        assert_eq!(other.reply().await.1, 200);
    }
    // All that there is to read is 384 MB.
    assert!(resident(std::process::id()) < before + 128 * 1024 * 1024);
    // Sixteen streams on one line, each in order.
    let mut seqs = [0_u64; 16];
    while seqs.iter().any(|seq| *seq < 3) {
        let (kind, reference, frame) = idle.item().await.unwrap();
        assert_eq!(kind, Kind::Frame);
        let frame: Value = serde_json::from_slice(&frame).unwrap();
        let seq = &mut seqs[usize::from(reference)];
        *seq += 1;
        assert_eq!(frame["seq"].as_u64(), Some(*seq));
    }
}

/// A WebSocket of a device, whose binary messages are the line's messages and records: what it
/// connects with is sent.
async fn carried(
    server: &Server,
    token: &Token,
    headers: &[(&'static str, &str)],
) -> (WebSocketStream<TcpStream>, Sealer, client::Pending) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let url = format!("ws://{}/aes/v3/ws", server.address);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in [("sec-websocket-protocol", "cib-aes-3")]
        .iter()
        .chain(headers)
    {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (mut socket, answer) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "cib-aes-3");
    let hello = Message::Binary(HELLO.to_vec().into());
    socket.send(hello).await.unwrap();
    let challenge = said(&mut socket).await;
    let (out, sealer, pending) = connect(&challenge, token, 0);
    socket.send(Message::Binary(out.into())).await.unwrap();
    (socket, sealer, pending)
}

/// The next message of bytes.
async fn said(socket: &mut WebSocketStream<TcpStream>) -> Vec<u8> {
    loop {
        match soon(socket.next()).await.unwrap().unwrap() {
            Message::Binary(bytes) => return bytes.to_vec(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn wrong_keys_in_a_websocket_are_counted_for_whom_the_proxy_names() {
    let world = World::new();
    let server = world.serve_with(&behind_a_proxy(&world));
    let token = mint(&server, &["sessions:read"]).await;
    let nobody = token.with_id("ffffffffffffffff");
    let guess = async |from: &str| {
        let headers = [("x-cib-proxy-secret", SECRET), ("x-forwarded-for", from)];
        let (mut socket, ..) = carried(&server, &nobody, &headers).await;
        let told = said(&mut socket).await;
        let told: Value = serde_json::from_slice(&told).unwrap();
        told["error"].as_str().unwrap().to_owned()
    };
    let mut words = Vec::new();
    for _ in 0..BURST + 2 {
        words.push(guess("203.0.113.9").await);
    }
    assert_eq!(words[0], "refused");
    assert!(words.contains(&"too_many_attempts".to_owned()), "{words:?}");
    assert_eq!(guess("203.0.113.10").await, "refused");
}

#[tokio::test]
async fn a_websocket_carries_the_same_line_one_message_or_record_a_message() {
    let world = World::new();
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let (mut socket, mut sealer, pending) = carried(&server, &token, &[]).await;
    let opened = said(&mut socket).await;
    let mut opener = pending.opener(opened.first_chunk().unwrap()).unwrap();
    opener.push(&opened[RESPONSE..]);
    let head = opener.record().unwrap().unwrap();
    assert_eq!(
        Answer::parse(&head.plain).unwrap().0.carries,
        Carries::Connection
    );
    let head = Request {
        time_ms: 0,
        max_record: 512,
        method: Method::Get,
        target: "/api/sessions".to_owned(),
    };
    let mut out = Vec::new();
    let header = [Kind::Call as u8, 0, 0, 7];
    sealer
        .seal(&[&header, &head.write()], false, &mut out)
        .unwrap();
    socket.send(Message::Binary(out.into())).await.unwrap();
    opener.push(&said(&mut socket).await);
    let reply = opener.record().unwrap().unwrap();
    let item = Item::parse(&reply.plain).unwrap();
    assert_eq!((item.kind(), item.reference), (Some(Kind::Reply), 7));
    // Text is no record, and ends it.
    socket.send(Message::Text("hello".into())).await.unwrap();
    while let Some(Ok(message)) = soon(socket.next()).await {
        assert!(!matches!(message, Message::Text(_)), "{message:?}");
    }
}
