//! Devices with keys of their own at a real broker: what they ask and what they are told it cannot read.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::VecDeque;

use cib_envelope::client::{Device, Session};
use cib_envelope::head::{Method, Request};
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::message::{HELLO, Kind};
use cib_protocol::frame::{Data, Text};
use cib_protocol::session::State;
use serde_json::{Value, json};

use crate::broker::{Broker, Listener};
use crate::common::keeper::text;
use crate::common::until;
use crate::common::world::{Server, World};
use crate::mqtt::serve;

/// A device in a session of its own.
struct Sealing {
    listener: Listener,
    id: String,
    into: String,
    out: String,
    device: Device,
    time_ms: u64,
    session: Session,
    count: u8,
    pushed: VecDeque<Vec<u8>>,
}

impl Sealing {
    /// A device that reads sessions. The broker keeps for it what comes while it is away.
    async fn open(broker: &Broker, server: &Server, name: &str) -> Self {
        let asked = json!({"label": name, "scopes": ["sessions:read"], "kind": "device"});
        let minted = server.client().post("/api/tokens", &asked).await.created();
        let id = minted["token"]["id"].as_str().unwrap().to_owned();
        let device = Device {
            id: KeyId(digits(&id)),
            secret: Key::new(digits(minted["plaintext"].as_str().unwrap())),
        };
        let into = format!("cib/desk/sealed/{id}/in");
        let out = format!("cib/desk/sealed/{id}/out");
        let listener = Listener::of(broker, &out, &["-c", "-i", name, "-x", "3600"]);
        broker.publish(&into, HELLO, &[]);
        let challenge = listener.under(&out).await.bytes;
        Self {
            listener,
            id,
            into,
            out,
            time_ms: time_of(&challenge),
            session: device.session(Kind::Open, &challenge, [7; 16]).unwrap(),
            device,
            count: 0,
            pushed: VecDeque::new(),
        }
    }

    /// Has another session from here on, as after a restart of the device.
    async fn begin_anew(&mut self, broker: &Broker) {
        broker.publish(&self.into, HELLO, &[]);
        let challenge = self.listener.under(&self.out).await.bytes;
        self.count += 1;
        let nonce = [self.count; 16];
        self.time_ms = time_of(&challenge);
        self.session = self.device.session(Kind::Open, &challenge, nonce).unwrap();
    }

    /// Asks, and waits for the answer: the message, and what its answer says.
    async fn ask(
        &mut self,
        broker: &Broker,
        (method, target): (Method, &str),
        body: &str,
    ) -> (Vec<u8>, u16, Value) {
        let request = Request {
            time_ms: self.time_ms,
            max_record: 1000,
            method,
            target: target.to_owned(),
        };
        self.count += 1;
        let (message, pending) = self
            .session
            .request(&request, body.as_bytes(), [self.count; 8]);
        broker.publish(&self.into, &message, &[]);
        loop {
            let said = self.listener.under(&self.out).await.bytes;
            if said[4] == Kind::Push as u8 {
                self.pushed.push_back(said);
                continue;
            }
            let (head, plains) = pending.open(&said).unwrap();
            let answer = serde_json::from_slice(&plains.concat()).unwrap();
            return (message, head.status, answer);
        }
    }

    /// The next message that it has subscribed to: its number and the frame.
    async fn next(&mut self) -> (u32, Value) {
        let message = match self.pushed.pop_front() {
            Some(message) => message,
            None => self.listener.under(&self.out).await.bytes,
        };
        let (number, frame) = self.session.pushed(&message).unwrap();
        (number, serde_json::from_slice(&frame).unwrap())
    }

    /// Number and seq of the next.
    async fn next_seq(&mut self) -> (u32, u64) {
        let (number, frame) = self.next().await;
        (number, frame["seq"].as_u64().unwrap())
    }
}

fn time_of(challenge: &[u8]) -> u64 {
    u64::from_be_bytes(challenge[8..16].try_into().unwrap())
}

fn digits<const N: usize>(hex: &str) -> [u8; N] {
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}

#[tokio::test]
async fn a_device_with_a_key_asks_under_topics_that_the_broker_cannot_read() {
    let broker = Broker::start("");
    let world = World::new();
    let keeper = world.keeper();
    let server = serve(&world, broker.settings()).await;
    let mut device = Sealing::open(&broker, &server, "desk").await;
    let sessions = (Method::Get, "/api/sessions");
    let (message, status, list) = device.ask(&broker, sessions, "").await;
    assert_eq!(
        (status, &list["sessions"][0]["id"]),
        (200, &json!(keeper.id))
    );
    // Again, and what has no end.
    broker.publish(&device.into, &message, &[]);
    let out = device.out.clone();
    let refused = device.listener.under(&out).await.json();
    assert_eq!(refused["error"], "replayed");
    let events = format!("/api/sessions/{}/events", keeper.id);
    let (_, status, _) = device.ask(&broker, (Method::Get, &events), "").await;
    assert_eq!(status, 400);
    broker.publish(&device.into, b"noise", &[]);
    let refused = device.listener.under(&out).await.json();
    assert_eq!(refused["error"], "malformed");
}

const SUBSCRIBE: (Method, &str) = (Method::Post, "/api/subscriptions");

#[tokio::test]
async fn a_device_is_pushed_what_it_subscribed_to_each_frame_once_also_after_the_broker_was_away() {
    let mut broker = Broker::start("");
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("one"), text("two"), text("three")]);
    let server = serve(&world, broker.settings()).await;
    let mut device = Sealing::open(&broker, &server, "desk").await;
    let wanted = json!({"session": keeper.id, "from": 1, "kinds": ["text.delta"]}).to_string();
    let (_, status, begun) = device.ask(&broker, SUBSCRIBE, &wanted).await;
    assert_eq!(
        (status, begun),
        (200, json!({"session": keeper.id, "from": 1}))
    );
    assert_eq!(device.next_seq().await, (0, 2));
    assert_eq!(device.next_seq().await, (1, 3));
    // What it did not ask for, and what is longer than a record of its.
    keeper.become_state(State::Working);
    keeper.append(&[text("x".repeat(9000))]);
    let (number, frame) = device.next().await;
    assert_eq!((number, &frame["seq"]), (2, &json!(5)));
    assert_eq!(frame["data"]["text"], "x".repeat(9000));

    broker.end(true);
    until("the box has seen it", async || {
        !server.app.mqtt.is_connected()
    })
    .await;
    keeper.append(&[text("six"), text("seven")]);
    broker.begin();
    assert_eq!(device.next_seq().await, (3, 6));
    assert_eq!(device.next_seq().await, (4, 7));
    // Anew, from somewhere else, in frames as long as it takes them.
    let wanted = json!({"session": keeper.id, "from": 4, "max_frame": 300}).to_string();
    let (_, status, _) = device.ask(&broker, SUBSCRIBE, &wanted).await;
    assert_eq!(status, 200);
    let (number, frame) = device.next().await;
    assert_eq!(
        (number, &frame["data"]["truncated"]),
        (5, &json!(true)),
        "{frame}"
    );
    assert!(frame.to_string().len() <= 300);
    assert_eq!(device.next_seq().await, (6, 6));
    assert_eq!(device.next_seq().await, (7, 7));
    // Pieces of one message as one.
    let piece = |text: &str| {
        Data::Text(Text {
            message_id: Some("m1".to_owned()),
            text: text.to_owned(),
            ..Text::default()
        })
    };
    keeper.append(&[piece("a"), piece("b"), piece("c"), text("nobody's")]);
    let wanted = json!({"session": keeper.id, "from": 7, "coalesce_ms": 20}).to_string();
    assert_eq!(device.ask(&broker, SUBSCRIBE, &wanted).await.1, 200);
    let mut joined = device.next().await.1;
    // The subscription before may have told of some of them.
    while joined["seq_from"].is_null() {
        joined = device.next().await.1;
    }
    assert_eq!(
        (&joined["seq_from"], &joined["seq"], &joined["data"]["text"]),
        (&json!(8), &json!(10), &json!("abc"))
    );
    let end = (Method::Delete, SUBSCRIBE.1);
    let (_, status, ended) = device.ask(&broker, end, "").await;
    assert_eq!((status, ended), (200, json!({"ended": 1})));
}

#[tokio::test]
async fn who_may_not_read_subscribes_to_nothing_and_whose_token_is_revoked_is_pushed_no_more() {
    let broker = Broker::start("");
    let world = World::new();
    let mut keeper = world.keeper();
    let shell = world.keeper_of(&cib_protocol::session::SessionSpec {
        program: cib_protocol::session::Program::Shell,
        ..crate::common::keeper::spec()
    });
    let server = serve(&world, broker.settings()).await;
    let mut device = Sealing::open(&broker, &server, "desk").await;
    let mut other = Sealing::open(&broker, &server, "shelf").await;
    let nobodys = "00000000-0000-4000-8000-000000000001";
    for (wanted, status) in [
        (json!({"session": keeper.id, "colour": "red"}), 400),
        (json!({"session": keeper.id, "max_frame": 7}), 400),
        (json!({"session": nobodys}), 404),
        (json!({"session": shell.id}), 404),
        (json!({"session": keeper.id}), 200),
    ] {
        let (_, told, answer) = device.ask(&broker, SUBSCRIBE, &wanted.to_string()).await;
        assert_eq!(told, status, "{wanted}: {answer}");
    }
    let wanted = json!({"session": keeper.id}).to_string();
    assert_eq!(other.ask(&broker, SUBSCRIBE, &wanted).await.1, 200);
    keeper.append(&[text("one")]);
    assert_eq!(device.next_seq().await, (0, 1));
    assert_eq!(other.next_seq().await, (0, 1));
    let token = format!("/api/tokens/{}", device.id);
    server.client().delete(&token).await;
    keeper.append(&[text("two"), text("three")]);
    assert_eq!(other.next_seq().await, (1, 2));
    assert_eq!(other.next_seq().await, (2, 3));
    // Whoever knows no key hears that it is none, and nothing came before that.
    broker.publish(&device.into, HELLO, &[]);
    let said = device.listener.under(&device.out).await.bytes;
    assert_eq!(said[4], Kind::Challenge as u8);
    // Elsewhere there are streams for that.
    let wanted = json!({"session": keeper.id});
    let asked = server.client().post(SUBSCRIBE.1, &wanted).await;
    assert_eq!(asked.status, 404);
}

#[tokio::test]
async fn a_session_and_a_key_have_so_many_subscriptions_and_leave_others_theirs() {
    let broker = Broker::start("");
    let world = World::new();
    let keepers: Vec<_> = (0..5).map(|_| world.keeper()).collect();
    let server = serve(&world, broker.settings()).await;
    let mut device = Sealing::open(&broker, &server, "desk").await;
    let wanted = |n: usize| json!({"session": keepers[n].id}).to_string();
    for session in 0..4 {
        if session > 0 {
            device.begin_anew(&broker).await;
        }
        for (n, expected) in [200, 200, 200, 200, 503].into_iter().enumerate() {
            let (_, status, answer) = device.ask(&broker, SUBSCRIBE, &wanted(n)).await;
            assert_eq!(status, expected, "{session} {n}: {answer}");
        }
    }
    device.begin_anew(&broker).await;
    assert_eq!(device.ask(&broker, SUBSCRIBE, &wanted(0)).await.1, 503);
    let mut other = Sealing::open(&broker, &server, "shelf").await;
    assert_eq!(other.ask(&broker, SUBSCRIBE, &wanted(0)).await.1, 200);
}
