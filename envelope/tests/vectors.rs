//! The vectors of `docs/AES-TRANSPORT.md`, read from the page.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::HashMap;

use cib_envelope::client::{Device, Session, Unreadable};
use cib_envelope::head::{Carries, Method, Request};
use cib_envelope::item::{self, Item};
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::legacy::{Direction, Type, V1, V2};
use cib_envelope::message::{HELLO, Kind, Prefix};
use cib_envelope::record::Sealer;
use cib_envelope::server::{Responder, Server};

const NOW: u64 = 1_700_000_000_000;
const BODY: &[u8] = br#"{"data":"hello\n","encoding":"utf8"}"#;

struct Vectors(HashMap<String, Vec<u8>>);

impl Vectors {
    fn read() -> Self {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/AES-TRANSPORT.md");
        let page = std::fs::read_to_string(page).unwrap();
        let blocks = page.split("```vectors\n").skip(1);
        let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or("").lines());
        let vectors: HashMap<_, _> = lines
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (name, hex) = line.split_once(' ').unwrap();
                let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                (
                    name.to_owned(),
                    (0..hex.len()).step_by(2).map(digit).collect(),
                )
            })
            .collect();
        assert!(vectors.len() >= 30, "the page has its vectors");
        Self(vectors)
    }

    fn get(&self, name: &str) -> &[u8] {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("no vector {name}"))
    }

    fn key(&self, name: &str) -> Key {
        Key::new(self.get(name).try_into().unwrap())
    }

    fn device(&self) -> Device {
        Device {
            id: KeyId(self.get("key-id").try_into().unwrap()),
            secret: self.key("secret"),
        }
    }
}

/// Bytes that count up.
fn counting<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|at| from + u8::try_from(at).unwrap())
}

fn ask(method: Method, target: &str, max_record: u16) -> Request {
    Request {
        time_ms: NOW,
        max_record,
        method,
        target: target.to_owned(),
    }
}

/// What a server makes of a message: its plaintext, and how to answer.
fn serve(server: &mut Server, vectors: &Vectors, message: &[u8]) -> (Vec<Vec<u8>>, Responder) {
    let (prefix, records) = Prefix::parse(message).unwrap();
    let candidate = server.judge(&prefix, NOW).unwrap();
    assert_eq!(candidate.key_id(), vectors.device().id);
    let (mut opener, proven) = candidate.opener(&vectors.key("secret"));
    opener.push(records);
    let mut plains = Vec::new();
    while let Some(record) = opener.record().unwrap() {
        plains.push(record.plain);
    }
    assert!(opener.is_over());
    (plains, server.accept(proven, NOW).unwrap())
}

fn answer(kind: u8) -> Vec<u8> {
    [&NOW.to_be_bytes()[..], &[0, 200, kind]].concat()
}

fn send(
    sealer: &mut Sealer,
    out: &mut Vec<u8>,
    kind: item::Kind,
    payload: &[u8],
    max: usize,
    is_last: bool,
) {
    for (header, piece) in item::pieces(kind, 0, payload, max) {
        sealer.seal(&[&header, piece], is_last, out).unwrap();
    }
}

#[test]
fn a_whole_conversation_is_made_and_read_byte_for_byte() {
    let vectors = Vectors::read();
    assert_eq!(HELLO, vectors.get("hello"));
    let mut server = Server::new(vectors.key("boot-key"));
    let challenge = server.challenge(NOW, counting(0x40));
    assert_eq!(challenge, vectors.get("challenge"));

    let mut session = vectors
        .device()
        .session(Kind::Open, &challenge, counting(0x80))
        .unwrap();
    assert_eq!(session.traffic().secret().bytes(), vectors.get("traffic"));
    assert_eq!(session.traffic().sid().0, vectors.get("sid"));
    assert_eq!(
        session.traffic().request(0, counting(0x20)).bytes(),
        vectors.get("k_req-0")
    );
    let key = session
        .traffic()
        .response(0, counting(0x20), counting(0x60));
    assert_eq!(key.bytes(), vectors.get("k_res-0"));

    let head = ask(Method::Post, "/api/sessions/abc123/input", 4096);
    let (message, pending) = session.request(&head, BODY, counting(0x20));
    assert_eq!(message, vectors.get("request-0"));
    let (plains, responder) = serve(&mut server, &vectors, &message);
    assert_eq!(Request::parse(&plains[0]).unwrap(), (head, BODY));
    let (mut out, mut sealer) = responder.begin(counting(0x60));
    sealer
        .seal(&[&answer(1), br#"{"bytes":6}"#], true, &mut out)
        .unwrap();
    assert_eq!(out, vectors.get("response-0"));
    let (head, plains) = pending.open(&out).unwrap();
    assert_eq!(
        (head.status, head.carries, head.time_ms),
        (200, Carries::Body, NOW)
    );
    assert_eq!(plains, [br#"{"bytes":6}"#]);

    follows(&vectors, &mut server, &mut session);
    sends_two_records(&vectors, &mut server, &mut session);
}

fn follows(vectors: &Vectors, server: &mut Server, session: &mut Session) {
    let head = ask(Method::Get, "/api/sessions/abc123/events?from=0", 256);
    let (message, pending) = session.request(&head, b"", counting(0x28));
    assert_eq!(message, vectors.get("request-1"));
    let (_, responder) = serve(server, vectors, &message);
    let (mut out, mut sealer) = responder.begin(counting(0x68));
    sealer.seal(&[&answer(2)], false, &mut out).unwrap();
    let long = format!(r#"{{"seq":2,"data":"{}"}}"#, "x".repeat(270));
    let end: &[u8] = br#"{"reason":"stopped","last_seq":2}"#;
    send(
        &mut sealer,
        &mut out,
        item::Kind::Frame,
        br#"{"seq":1}"#,
        256,
        false,
    );
    send(
        &mut sealer,
        &mut out,
        item::Kind::Heartbeat,
        &NOW.to_be_bytes(),
        256,
        false,
    );
    send(
        &mut sealer,
        &mut out,
        item::Kind::Frame,
        long.as_bytes(),
        256,
        false,
    );
    send(&mut sealer, &mut out, item::Kind::End, end, 256, true);
    assert_eq!(out, vectors.get("response-1"));
    let (head, plains) = pending.open(&out).unwrap();
    assert_eq!(head.carries, Carries::Stream);
    assert_eq!(plains.len(), 6);
    let last = Item::parse(&plains[5]).unwrap();
    assert_eq!((last.kind(), last.payload), (Some(item::Kind::End), end));
}

fn sends_two_records(vectors: &Vectors, server: &mut Server, session: &mut Session) {
    let head = ask(Method::Post, "/api/sessions/abc123/input", 4096).write();
    let (mut message, mut sealer, pending) = session.begin(counting(0x30));
    sealer.seal(&[&head], false, &mut message).unwrap();
    sealer
        .seal(&[br#"{"data":"two records"}"#], true, &mut message)
        .unwrap();
    assert_eq!(message, vectors.get("request-2"));
    let (plains, responder) = serve(server, vectors, &message);
    assert_eq!(plains[1], br#"{"data":"two records"}"#);
    let (mut out, mut sealer) = responder.begin(counting(0x70));
    sealer
        .seal(&[&answer(1), br#"{"bytes":6}"#], true, &mut out)
        .unwrap();
    assert_eq!(out, vectors.get("response-2"));
    pending.open(&out).unwrap();
}

#[test]
fn a_connection_and_a_push_are_made_byte_for_byte() {
    let vectors = Vectors::read();
    let server = Server::new(vectors.key("boot-key"));
    let challenge = server.challenge(NOW, counting(0x50));
    assert_eq!(challenge, vectors.get("tcp-challenge"));
    let mut session = vectors
        .device()
        .session(Kind::Connect, &challenge, counting(0xa8))
        .unwrap();
    let (mut message, mut requests, pending) = session.begin(counting(0xa0));
    let first = [&NOW.to_be_bytes()[..], &4096_u16.to_be_bytes()].concat();
    requests.seal(&[&first], false, &mut message).unwrap();
    assert_eq!(message, vectors.get("tcp-opening"));

    let opening = vectors.get("tcp-answer");
    let mut answers = pending.opener(opening[..20].try_into().unwrap()).unwrap();
    answers.push(&opening[20..]);
    assert_eq!(answers.record().unwrap().unwrap().plain, answer(3));

    let call = ask(Method::Get, "/api/sessions", 4096).write();
    let mut out = Vec::new();
    requests
        .seal(&[&[1, 0, 0, 7], &call], false, &mut out)
        .unwrap();
    assert_eq!(out, vectors.get("tcp-call"));
    answers.push(vectors.get("tcp-reply"));
    let reply = answers.record().unwrap().unwrap();
    assert_eq!(
        reply.plain,
        [&[2, 0, 0, 7, 0, 200][..], br#"{"sessions":[]}"#].concat()
    );
    out.clear();
    requests.seal(&[&[0x7f, 0, 0, 0]], true, &mut out).unwrap();
    assert_eq!(out, vectors.get("tcp-bye"));
    answers.push(vectors.get("tcp-end"));
    let end = answers.record().unwrap().unwrap();
    assert!(end.is_last);
    assert_eq!(
        end.plain,
        [&[0x7f, 0, 0, 0][..], br#"{"reason":"bye"}"#].concat()
    );

    let salt = counting(0xc0);
    let prefix = cib_envelope::message::push(session.traffic().sid(), 5, salt);
    let mut sealer = Sealer::new(&session.traffic().push(5, salt), &prefix);
    let mut out = prefix.to_vec();
    sealer.seal(&[br#"{"seq":3}"#], true, &mut out).unwrap();
    assert_eq!(out, vectors.get("push-5"));
    assert_eq!(session.pushed(&out), Ok((5, br#"{"seq":3}"#.to_vec())));
    for place in 0..out.len() {
        let mut other = out.clone();
        other[place] ^= 1;
        assert!(session.pushed(&other).is_err(), "{place}");
    }
    assert_eq!(session.pushed(&out[..36]), Err(Unreadable::Cut));
}

#[test]
fn the_earlier_envelopes_are_made_and_read_byte_for_byte() {
    let vectors = Vectors::read();
    let key = vectors.key("secret");
    let mut v1 = V1 {
        key_id: "42",
        timestamp: "1700000000000",
        method: "POST",
        path: "/aes/sessions/abc123/input",
        nonce: vectors.get("v1-nonce").try_into().unwrap(),
    };
    assert_eq!(v1.seal(&key, BODY).unwrap(), vectors.get("v1-request"));
    assert_eq!(v1.open(&key, vectors.get("v1-request")).unwrap(), BODY);
    assert!(v1.open(&key, b"").is_err(), "nobody sealed nothing");
    v1.method = "RESPONSE";
    assert_eq!(
        v1.seal(&key, br#"{"bytes":6}"#).unwrap(),
        vectors.get("v1-response")
    );

    let stream = vectors.get("v2-stream").try_into().unwrap();
    let begin = |direction| V2::new(&key, direction, "42", v1.path, stream).unwrap();
    let mut out = Vec::new();
    begin(Direction::Request)
        .seal(Type::Json, BODY, &mut out)
        .unwrap();
    out.extend([0, 0]);
    assert_eq!(out, vectors.get("v2-request"));
    let mut request = begin(Direction::Request);
    let opened = request.open(&out).unwrap().unwrap();
    assert_eq!((opened.number, &*opened.payload), (Type::Json as u8, BODY));
    assert!(request.open(opened.rest).unwrap().is_none());
    assert!(
        begin(Direction::Request).open(b"").is_err(),
        "the end is no terminator"
    );

    let mut answer = begin(Direction::Response);
    let mut out = Vec::new();
    answer.seal(Type::Frame, b"{}", &mut out).unwrap();
    answer.seal(Type::Heartbeat, b"", &mut out).unwrap();
    out.extend([0, 0]);
    assert_eq!(out, vectors.get("v2-response"));
}
