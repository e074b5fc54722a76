//! The envelopes that were published before: their bytes, as their own clients make them, and what of
//! their holes is closed.

use std::time::Duration;

use cib_envelope::keys::Key;
use cib_envelope::legacy::{Direction, Type, V1, V2};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::device::{self, Token, bytes, minted, random};
use crate::common::client::{Answer, Client};
use crate::common::keeper::{Keeper, text};
use crate::common::until;
use crate::common::world::{Server, World};

fn world() -> World {
    let mut world = World::new();
    world.options.aes_legacy = true;
    world
}

async fn mint(server: &Server, scopes: &[&str]) -> Token {
    let body = json!({"label": "old", "scopes": scopes, "kind": "device-legacy"});
    let created = server.client().post("/api/tokens", &body).await.created();
    assert_eq!(created["token"]["kind"], "device-legacy");
    minted(&created)
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request as it goes over the line.
#[derive(Clone)]
struct Sent {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    async fn by(&self, client: &Client) -> Answer {
        let mut client = client.clone();
        for (name, value) in &self.headers {
            client = client.with_header(name, value);
        }
        client
            .request(self.method.clone(), &self.path, self.body.clone())
            .await
    }

    /// The status and the word of a refusal in the clear.
    async fn refused(&self, client: &Client) -> (u16, String) {
        let answer = self.by(client).await;
        let word = answer.json()["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (answer.status.as_u16(), word)
    }
}

/// A client of either version, written from their description.
struct Old {
    client: Client,
    token: Token,
    key: Key,
}

impl Old {
    fn of(server: &Server, token: &Token) -> Self {
        Self {
            client: server.stranger(),
            token: token.clone(),
            key: Key::new(bytes(&token.plaintext)),
        }
    }

    fn one(&self, method: Method, path: &str, body: &Value) -> Sent {
        let (nonce, timestamp) = (random::<12>(), now().to_string());
        let plain = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let sealed = V1 {
            key_id: &self.token.id,
            timestamp: &timestamp,
            method: method.as_str(),
            path,
            nonce,
        }
        .seal(&self.key, &plain);
        Sent {
            headers: vec![
                ("sec-cib-envelope", "1".to_owned()),
                ("sec-cib-keyid", self.token.id.clone()),
                ("sec-cib-nonce", hex(&nonce)),
                ("sec-cib-timestamp", timestamp),
            ],
            path: path.to_owned(),
            body: sealed.unwrap(),
            method,
        }
    }

    fn two(&self, method: Method, path: &str, records: &[(Type, &str)]) -> Sent {
        let stream = random::<16>();
        let mut sealer =
            V2::new(&self.key, Direction::Request, &self.token.id, path, stream).unwrap();
        let mut body = Vec::new();
        for (kind, payload) in records {
            sealer.seal(*kind, payload.as_bytes(), &mut body).unwrap();
        }
        body.extend_from_slice(&[0, 0]);
        Sent {
            headers: vec![
                ("sec-cib-envelope", "2".to_owned()),
                ("sec-cib-keyid", self.token.id.clone()),
                ("sec-cib-stream", hex(&stream)),
                ("sec-cib-timestamp", now().to_string()),
                ("content-type", "application/cib-stream-1".to_owned()),
            ],
            path: path.to_owned(),
            body,
            method,
        }
    }

    async fn ask_one(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let answer = self.one(method, path, body).by(&self.client).await;
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!(header("sec-cib-envelope"), "1");
        let plain = V1 {
            key_id: &self.token.id,
            timestamp: header("sec-cib-timestamp"),
            method: "RESPONSE",
            path,
            nonce: bytes(header("sec-cib-nonce")),
        }
        .open(&self.key, &answer.body)
        .unwrap();
        (answer.status, serde_json::from_slice(&plain).unwrap())
    }

    /// The records of an answer: their types and payloads.
    fn records(&self, path: &str, answer: &Answer) -> Vec<(u8, Vec<u8>)> {
        let stream = bytes(answer.headers["sec-cib-stream"].to_str().unwrap());
        let mut opener =
            V2::new(&self.key, Direction::Response, &self.token.id, path, stream).unwrap();
        let (mut rest, mut records) = (&answer.body[..], Vec::new());
        while let Some(record) = opener.open(rest).unwrap() {
            records.push((record.number, record.payload.clone()));
            rest = record.rest;
        }
        records
    }

    async fn ask_two(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let text = body.to_string();
        let (begin, end) = text.split_at(text.len() / 2);
        let records = [(Type::Json, begin), (Type::Json, end)];
        let answer = self.two(method, path, &records).by(&self.client).await;
        let plain: Vec<u8> = self
            .records(path, &answer)
            .into_iter()
            .flat_map(|(_, payload)| payload)
            .collect();
        (answer.status, serde_json::from_slice(&plain).unwrap())
    }
}

fn path_of(keeper: &Keeper, rest: &str) -> String {
    format!("/aes/sessions/{}{rest}", keeper.id)
}

#[tokio::test]
async fn clients_of_both_earlier_versions_list_send_and_follow() {
    let world = world();
    let mut keeper = world.keeper();
    keeper.append(&[text("one"), text("y".repeat(9000))]);
    let server = world.serve();
    let token = mint(&server, &["sessions:read", "sessions:input"]).await;
    let old = Old::of(&server, &token);
    let time = server.stranger().get("/aes/time").await.ok();
    assert!(time["server_now"].as_u64().unwrap().abs_diff(now()) < 60_000);
    let (status, list) = old
        .ask_one(Method::GET, "/aes/sessions", &Value::Null)
        .await;
    assert_eq!(
        (status, &list["sessions"][0]["id"]),
        (StatusCode::OK, &json!(keeper.id))
    );
    assert_eq!(
        old.ask_two(Method::GET, "/aes/sessions", &json!({}))
            .await
            .1,
        list
    );
    let hello = json!({"data": "hello\n", "encoding": "utf8"});
    let input = path_of(&keeper, "/input");
    assert_eq!(
        old.ask_one(Method::POST, &input, &hello).await.1,
        json!({"bytes": 5})
    );
    assert_eq!(
        old.ask_two(Method::POST, &input, &hello).await.1,
        json!({"bytes": 5})
    );
    assert_eq!(keeper.told().len(), 2);

    let poll = path_of(&keeper, "/events/poll");
    let page = old
        .ask_one(Method::POST, &poll, &json!({"from": 0, "max": 1}))
        .await
        .1;
    assert_eq!(
        (&page["frames"][0]["seq"], &page["last_seq"]),
        (&json!(1), &json!(2))
    );
    let stream = path_of(&keeper, "/events/stream");
    let asked = json!({"from": 0, "max_records": 2}).to_string();
    let answer = old
        .two(Method::POST, &stream, &[(Type::Json, &asked)])
        .by(&old.client)
        .await;
    let frames = old.records(&stream, &answer);
    let frame = |at: usize| serde_json::from_slice::<Value>(&frames[at].1).unwrap();
    assert_eq!(
        (frames.len(), frames[0].0, frame(0)["seq"].as_u64()),
        (2, 2, Some(1))
    );
    assert_eq!(frame(1)["data"]["truncated"], true);
    // And what a route refuses is refused under seal, by its own status.
    let (status, fault) = old
        .ask_two(Method::DELETE, &path_of(&keeper, ""), &json!({}))
        .await;
    assert_eq!(
        (status, &fault["error"]),
        (StatusCode::FORBIDDEN, &json!("scope_missing"))
    );
}

#[tokio::test]
async fn nothing_recorded_is_done_again_and_nothing_is_done_without_a_record() {
    let world = world();
    let keeper = world.keeper();
    let server = world.serve();
    let token = mint(&server, &["sessions:input", "sessions:write"]).await;
    let old = Old::of(&server, &token);
    let input = path_of(&keeper, "/input");
    let hello = json!({"data": "hello\n"});
    let text = hello.to_string();
    let recorded = [
        old.one(Method::POST, &input, &hello),
        old.two(Method::POST, &input, &[(Type::Json, &text)]),
    ];
    for sent in &recorded {
        assert_eq!(sent.by(&old.client).await.status, StatusCode::OK);
        assert_eq!(
            sent.refused(&old.client).await,
            (409, "ReplayedNonce".to_owned())
        );
    }
    // With a new time: version 1 seals it, version 2 does not, and it helps nobody.
    let later = (now() + 5).to_string();
    let [one, two] = recorded
        .clone()
        .map(|sent| sent.with("sec-cib-timestamp", &later));
    assert_eq!(one.refused(&old.client).await, (400, "BadTag".to_owned()));
    assert_eq!(
        two.refused(&old.client).await,
        (409, "ReplayedNonce".to_owned())
    );
    // By another method: version 2 does not seal it either, so the number alone says no.
    let mut deleted = recorded[1].clone();
    (deleted.method, deleted.path) = (Method::PUT, input.clone());
    assert_eq!(
        deleted.refused(&old.client).await,
        (409, "ReplayedNonce".to_owned())
    );
    drop(server);
    let server = world.serve();
    for sent in &recorded {
        assert_eq!(
            sent.refused(&server.stranger()).await,
            (409, "ReplayedNonce".to_owned())
        );
    }
    assert_eq!(keeper.told().len(), 2);

    // Without a record, cut at one, or with nothing at all.
    let interrupt = path_of(&keeper, "/interrupt");
    let empty = old.two(Method::POST, &interrupt, &[]);
    let mut cut = old.two(Method::POST, &interrupt, &[(Type::Json, "{}")]);
    cut.body.truncate(cut.body.len() - 2);
    let mut nothing = old.two(Method::POST, &interrupt, &[]);
    nothing.body.clear();
    let strange = old.two(Method::POST, &interrupt, &[(Type::Frame, "{}")]);
    for (sent, word) in [
        (empty, "BadEnvelope"),
        (cut, "BadEnvelope"),
        (nothing, "BadEnvelope"),
        (strange, "BadEnvelope"),
    ] {
        assert_eq!(
            sent.refused(&server.stranger()).await,
            (400, word.to_owned())
        );
    }
    let mut one = old.one(Method::POST, &interrupt, &Value::Null);
    one.body.clear();
    assert_eq!(
        one.refused(&server.stranger()).await,
        (400, "BadTag".to_owned())
    );
    assert_eq!(keeper.told().len(), 2);
}

#[tokio::test]
async fn a_stranger_has_the_box_hold_few_long_messages_and_keeps_no_other_from_it() {
    let mut world = world();
    world.limits.body_piece = Duration::from_secs(600);
    let keeper = world.keeper();
    let server = world.serve();
    let token = mint(&server, &["sessions:input"]).await;
    let old = Old::of(&server, &token);
    let input = path_of(&keeper, "/input");
    let long = json!({"data": "x".repeat(20_000)});
    let mut more = old.one(Method::POST, &input, &Value::Null);
    more.body = vec![0; (1 << 20) + 1];
    assert_eq!(
        more.refused(&old.client).await,
        (413, "BadEnvelope".to_owned())
    );
    // Nothing of these is ever proven, and none of them ends.
    let mut held = Vec::new();
    for _ in 0..8 {
        let sent = old.one(Method::POST, &input, &Value::Null);
        let headers = sent.headers.iter();
        let headers: String = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!(
            "POST {input} HTTP/1.1\r\nhost: box\r\n{headers}content-length: 1000000\r\n\r\n"
        );
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[0; 20_000]).await.unwrap();
        held.push(stream);
    }
    until("there is no turn", async || {
        let another = old.one(Method::POST, &input, &long);
        let answer = another.by(&old.client).await;
        answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.json()["error"] == "Busy"
    })
    .await;
    let hello = json!({"data": "hello\n"});
    let (status, _) = old.ask_one(Method::POST, &input, &hello).await;
    assert_eq!(status, StatusCode::OK);
    // Version 2 says by its first record whose it is, and before the rest is there.
    let text = long.to_string();
    let pieces: Vec<_> = text
        .as_bytes()
        .chunks(4000)
        .map(|piece| (Type::Json, std::str::from_utf8(piece).unwrap()))
        .collect();
    let two = old.two(Method::POST, &input, &pieces);
    assert_eq!(two.by(&old.client).await.status, StatusCode::OK);
    let mut damaged = old.two(Method::POST, &input, &pieces);
    damaged.body[9] ^= 1;
    assert_eq!(
        damaged.refused(&old.client).await,
        (400, "BadTag".to_owned())
    );
    drop(held);
    until("there is a turn again", async || {
        let another = old.one(Method::POST, &input, &long);
        another.by(&old.client).await.status == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn a_stranger_learns_of_no_key_and_no_key_is_good_for_another_version() {
    let world = world();
    let server = world.serve();
    let old_token = mint(&server, &["sessions:read"]).await;
    let new_token = device::mint(&server, &["sessions:read"]).await;
    let ask = |token: &Token| {
        Old::of(&server, token).two(Method::GET, "/aes/sessions", &[(Type::Json, "{}")])
    };
    let stranger = server.stranger();
    let nobody = old_token.with_id("00000000000000ff");
    let wrong = Token {
        plaintext: "ab".repeat(32),
        ..old_token.clone()
    };
    let mut answers = Vec::new();
    for token in [&nobody, &wrong, &new_token] {
        let answer = ask(token).by(&stranger).await;
        answers.push((answer.status.as_u16(), answer.body.to_vec()));
    }
    assert_eq!(answers[0].0, 400);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    let info = async |id: &str| {
        let mut info = stranger.get(&format!("/aes/keyinfo?id={id}")).await.ok();
        info["id"].take();
        info
    };
    assert_eq!(info(&old_token.id).await, info("00000000000000ff").await);
    // The other way round.
    let mut device = device::Device::of(&server, &old_token);
    let refused = device
        .refused(cib_envelope::head::Method::Get, "/api/sessions")
        .await;
    assert_eq!(refused, (403, "refused".to_owned()));
    stranger
        .with_token(&old_token.plaintext)
        .get("/api/sessions")
        .await
        .fault(401, "unauthorized");
    // A token that is revoked asks nothing.
    let path = format!("/api/tokens/{}", old_token.id);
    assert_eq!(
        server.client().delete(&path).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        ask(&old_token).refused(&server.stranger()).await,
        (400, "BadTag".to_owned())
    );
}

#[tokio::test]
async fn unless_the_box_is_told_so_there_is_nothing_of_them_and_with_it_everybody_is_warned() {
    let plain = World::new();
    let server = plain.serve();
    let body = json!({"label": "old", "scopes": ["sessions:read"], "kind": "device-legacy"});
    let refused = server.client().post("/api/tokens", &body).await;
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("CIB_AES_LEGACY")
    );
    for path in [
        "/aes/time",
        "/aes/keyinfo?id=00000000000000ff",
        "/aes/sessions",
    ] {
        server
            .stranger()
            .get(path)
            .await
            .fault(404, "no_such_route");
    }
    let world = world();
    let server = world.serve();
    let info = server.client().get("/api/info").await.ok();
    assert!(
        info["warnings"].to_string().contains("CIB_AES_LEGACY"),
        "{info}"
    );
}
