//! A device, as a program of somebody's own would be one.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use cib_envelope::client::{self, Pending, Unreadable};
use cib_envelope::head::{Answer, Carries, Method, Request};
use cib_envelope::item::{Item, Kind as ItemKind};
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::message::{Kind, RESPONSE};
use cib_envelope::record::Opener;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::common::client::{self as http_client, Client};
use crate::common::soon;
use crate::common::world::Server;

/// A token with a key.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) plaintext: String,
}

impl Token {
    pub(super) fn with_id(&self, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..self.clone()
        }
    }
}

pub(super) async fn mint(server: &Server, scopes: &[&str]) -> Token {
    mint_by(&server.client(), scopes).await
}

/// As [`mint`], by whoever may.
pub(super) async fn mint_by(client: &Client, scopes: &[&str]) -> Token {
    let body = json!({"label": "desk", "scopes": scopes, "kind": "device"});
    minted(&client.post("/api/tokens", &body).await.created())
}

pub(super) fn minted(created: &Value) -> Token {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Token {
        id: text(&created["token"]["id"]),
        plaintext: text(&created["plaintext"]),
    }
}

pub(super) fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A sealed request, and what opens its answer.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) pending: Pending,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) time: u64,
    pub(super) carries: Carries,
    /// The longest plaintext of a record, the head included.
    pub(super) longest: usize,
    pub(super) body: Vec<u8>,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn word(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

pub(super) struct Device {
    client: Client,
    token: Token,
    keys: client::Device,
    session: Option<client::Session>,
    pub(super) time: Option<u64>,
    /// The box's time with the challenge, and since when it is known.
    hint: (u64, Instant),
    pub(super) max_record: u16,
}

impl Device {
    pub(super) fn of(server: &Server, token: &Token) -> Self {
        Self::at(server.address, token)
    }

    /// One whose box is at an address.
    pub(super) fn at(address: SocketAddr, token: &Token) -> Self {
        Self {
            client: Client::new(address),
            token: token.clone(),
            keys: client::Device {
                id: KeyId(bytes(&token.id)),
                secret: Key::new(bytes(&token.plaintext)),
            },
            session: None,
            time: None,
            hint: (0, Instant::now()),
            max_record: 4096,
        }
    }

    /// What it was given.
    pub(super) fn token(&self) -> Token {
        self.token.clone()
    }

    /// The same device and session at another server.
    pub(super) fn move_to(&mut self, server: &Server) {
        self.client = server.stranger();
    }

    /// A request, sealed and not sent. The first one asks for a challenge.
    pub(super) async fn seal(&mut self, method: Method, target: &str, body: &[u8]) -> Message {
        if self.session.is_none() {
            let challenge = self.client.get("/aes/v3").await;
            assert_eq!(challenge.headers["content-type"], cib_envelope::MEDIA);
            let told = u64::from_be_bytes(challenge.body[8..16].try_into().unwrap());
            self.hint = (told, Instant::now());
            let session = self.keys.session(Kind::Open, &challenge.body, random());
            self.session = Some(session.unwrap());
        }
        let (told, since) = self.hint;
        let head = Request {
            time_ms: self
                .time
                .unwrap_or(told + u64::try_from(since.elapsed().as_millis()).unwrap()),
            max_record: self.max_record,
            method,
            target: target.to_owned(),
        };
        let session = self.session.as_mut().unwrap();
        let (bytes, pending) = session.request(&head, body, random());
        Message { bytes, pending }
    }

    /// What is answered to bytes, as it comes.
    pub(super) async fn post(&self, bytes: &[u8]) -> http_client::Answer {
        let body = Bytes::copy_from_slice(bytes);
        self.client
            .request(http::Method::POST, "/aes/v3", body)
            .await
    }

    /// Sends a message; an error is the status and the word of a refusal in the clear.
    pub(super) async fn exchange(&self, message: &Message) -> Result<Answered, (u16, String)> {
        let answer = self.post(&message.bytes).await;
        if answer.headers["content-type"] != cib_envelope::MEDIA {
            let word = answer.json()["error"].as_str().unwrap().to_owned();
            return Err((answer.status.as_u16(), word));
        }
        assert_eq!(answer.headers["cache-control"], "no-store");
        Ok(open(&message.pending, &answer.body).unwrap())
    }

    pub(super) async fn ask(&mut self, method: Method, target: &str, body: &Value) -> Answered {
        let body = body.to_string();
        let message = self.seal(method, target, body.as_bytes()).await;
        self.exchange(&message).await.unwrap()
    }

    pub(super) async fn get(&mut self, target: &str) -> Answered {
        let message = self.seal(Method::Get, target, b"").await;
        self.exchange(&message).await.unwrap()
    }

    /// The refusal of a request that has no sealed answer.
    pub(super) async fn refused(&mut self, method: Method, target: &str) -> (u16, String) {
        let message = self.seal(method, target, b"").await;
        self.exchange(&message).await.unwrap_err()
    }

    pub(super) async fn follow(&mut self, target: &str) -> Stream {
        let message = self.seal(Method::Get, target, b"").await;
        let body = Bytes::copy_from_slice(&message.bytes);
        let sent = self.client.send(http::Method::POST, "/aes/v3", body);
        let mut stream = Stream {
            body: soon(sent).await.unwrap().into_body(),
            pending: message.pending,
            waiting: Vec::new(),
            opener: None,
        };
        let (head, rest) = stream
            .record()
            .await
            .map(|plain| {
                let (head, rest) = Answer::parse(&plain).unwrap();
                (head, rest.len())
            })
            .unwrap();
        assert_eq!((head.status, head.carries, rest), (200, Carries::Stream, 0));
        stream
    }
}

pub(super) fn open(pending: &Pending, message: &[u8]) -> Result<Answered, Unreadable> {
    let (head, plains) = pending.open(message)?;
    let longest = plains.iter().map(Vec::len).max().unwrap_or(0);
    let first = plains.first().map_or(0, Vec::len) + cib_envelope::head::ANSWER;
    Ok(Answered {
        status: head.status,
        time: head.time_ms,
        carries: head.carries,
        longest: longest.max(first),
        body: plains.concat(),
    })
}

/// An answer that does not end soon.
pub(super) struct Stream {
    body: Incoming,
    pending: Pending,
    waiting: Vec<u8>,
    opener: Option<Opener>,
}

impl Stream {
    /// The next record; none when the server closes.
    async fn record(&mut self) -> Option<Vec<u8>> {
        soon(async {
            loop {
                if let Some(opener) = &mut self.opener {
                    opener.push(&std::mem::take(&mut self.waiting));
                    if let Some(record) = opener.record().unwrap() {
                        return Some(record.plain);
                    }
                } else if let Some(prefix) = self.waiting.first_chunk::<RESPONSE>() {
                    self.opener = Some(self.pending.opener(prefix).unwrap());
                    self.waiting.drain(..RESPONSE);
                    continue;
                }
                let frame = self.body.frame().await?.ok()?;
                self.waiting.extend_from_slice(&frame.into_data().ok()?);
            }
        })
        .await
    }

    /// The next item, joined.
    pub(super) async fn item(&mut self) -> Option<(ItemKind, Vec<u8>)> {
        let mut joined = Vec::new();
        loop {
            let plain = self.record().await?;
            let item = Item::parse(&plain).unwrap();
            joined.extend_from_slice(item.payload);
            if !item.goes_on {
                return Some((item.kind().unwrap(), joined));
            }
        }
    }

    /// The next frame.
    pub(super) async fn frame(&mut self) -> Value {
        loop {
            let (kind, payload) = self.item().await.expect("the stream ended");
            match kind {
                ItemKind::Frame => return serde_json::from_slice(&payload).unwrap(),
                ItemKind::Heartbeat => {}
                other => panic!("no frame: {other:?}"),
            }
        }
    }

    /// Whether the last record has come.
    pub(super) fn is_whole(&self) -> bool {
        self.opener.as_ref().is_some_and(Opener::is_over)
    }
}
