//! A stream of a session's frames that comes sealed.

use cib_envelope::client::Device;
use cib_envelope::head::{Answer, Carries, Method as Asked, Request};
use cib_envelope::item::{Item, Kind as ItemKind};
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::message::{Kind, RESPONSE};
use cib_envelope::record::Opener;
use cib_protocol::session::SessionId;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::client::Client;

/// What a stream says.
pub enum Told {
    Frame(Vec<u8>),
    End(Value),
}

/// A stream of a device that may be cut at any time.
pub struct Sealed {
    body: Incoming,
    opener: Opener,
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A device that may read sessions, minted by whoever may; none if the server is not there.
pub async fn device(client: &Client) -> Option<Device> {
    let body = json!({"label": "reader", "scopes": ["sessions:read"], "kind": "device"});
    let made = client.send(Method::POST, "/api/tokens", body.to_string().into());
    let body = made.await.ok()?.into_body().collect().await.ok()?;
    let minted: Value = serde_json::from_slice(&body.to_bytes()).ok()?;
    Some(Device {
        id: KeyId(bytes(minted["token"]["id"].as_str()?)),
        secret: Key::new(bytes(minted["plaintext"].as_str()?)),
    })
}

impl Sealed {
    /// Opens a session of the device's and follows one of the box's in it.
    pub async fn open(
        client: &Client,
        device: &Device,
        session: SessionId,
        from: u64,
    ) -> Option<Self> {
        let hello = client.send(Method::GET, "/aes/v3", "".into()).await.ok()?;
        let challenge = hello.into_body().collect().await.ok()?.to_bytes();
        let time = challenge.get(8..16)?.try_into().unwrap();
        let mut of = device.session(Kind::Open, &challenge, random()).ok()?;
        let request = Request {
            time_ms: u64::from_be_bytes(time),
            max_record: 4096,
            method: Asked::Get,
            target: format!("/api/sessions/{session}/events?from={from}"),
        };
        let (message, pending) = of.request(&request, b"", random());
        let answer = client
            .send(Method::POST, "/aes/v3", message.into())
            .await
            .ok()?;
        // Another start of the server knows nothing of the challenge; a key is always good.
        assert_ne!(answer.status(), StatusCode::FORBIDDEN, "{answer:?}");
        if answer.status() != StatusCode::OK {
            return None;
        }
        let mut body = answer.into_body();
        let mut begun = Vec::new();
        while begun.len() < RESPONSE {
            begun.extend_from_slice(&body.frame().await?.ok()?.into_data().ok()?);
        }
        let mut opener = pending.opener(begun.first_chunk().unwrap()).unwrap();
        opener.push(&begun[RESPONSE..]);
        let mut sealed = Self { body, opener };
        let head = sealed.record().await?;
        let (head, _) = Answer::parse(&head).unwrap();
        assert_eq!((head.status, head.carries), (200, Carries::Stream));
        Some(sealed)
    }

    /// The next record, unless the stream is cut.
    async fn record(&mut self) -> Option<Vec<u8>> {
        loop {
            // What came is authentic, however it was cut.
            if let Some(record) = self.opener.record().unwrap() {
                return Some(record.plain);
            }
            let frame = self.body.frame().await?.ok()?;
            self.opener.push(&frame.into_data().ok()?);
        }
    }

    /// What it says next, unless it is cut.
    pub async fn next(&mut self) -> Option<Told> {
        let mut joined = Vec::new();
        loop {
            let plain = self.record().await?;
            let item = Item::parse(&plain).unwrap();
            joined.extend_from_slice(item.payload);
            if item.goes_on {
                continue;
            }
            match item.kind() {
                Some(ItemKind::Frame) => return Some(Told::Frame(joined)),
                Some(ItemKind::End) => {
                    return Some(Told::End(serde_json::from_slice(&joined).unwrap()));
                }
                _ => joined.clear(),
            }
        }
    }
}
