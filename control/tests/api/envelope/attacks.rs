//! What somebody on the line, or with another key, tries.

use std::time::{Duration, Instant};

use cib_control::auth::limiter::BURST;
use cib_envelope::client::Unreadable;
use cib_envelope::head::Method;
use cib_envelope::message::{HELLO, NEXT, OPEN, RESPONSE};
use serde_json::json;

use super::device::{Device, Message, bytes, mint, mint_by, minted, open, random};
use super::resident;
use crate::common::process::{Process, free_address};
use crate::common::until;
use crate::common::world::{Server, World};

const INPUT: &[u8] = br#"{"data":"rm -rf /\n"}"#;

/// A device that has sent something to a session, the message that it sent, and the answer.
async fn sent(server: &Server, session: &str) -> (Device, Message) {
    let token = mint(server, &["*"]).await;
    let mut device = Device::of(server, &token);
    let message = device
        .seal(
            Method::Post,
            &format!("/api/sessions/{session}/input"),
            INPUT,
        )
        .await;
    assert_eq!(device.exchange(&message).await.unwrap().status, 200);
    (device, message)
}

fn refused(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[tokio::test]
async fn a_message_that_is_sent_again_at_once_does_nothing() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let (mut device, opening) = sent(&server, &keeper.id.to_string()).await;
    let path = format!("/api/sessions/{}/input", keeper.id);
    let next = device.seal(Method::Post, &path, INPUT).await;
    assert_eq!(device.exchange(&next).await.unwrap().status, 200);
    for message in [&opening, &next, &opening, &next] {
        assert_eq!(
            device.exchange(message).await.unwrap_err(),
            refused(409, "replayed")
        );
    }
    assert_eq!(keeper.told().len(), 2);
    // Whoever repeats it does not keep the device out.
    assert_eq!(device.get("/api/sessions").await.status, 200);
}

#[tokio::test]
async fn a_message_that_is_sent_again_after_a_restart_does_nothing() {
    let world = World::new();
    let keeper = world.keeper();
    let mut server = world.serve();
    let (mut device, opening) = sent(&server, &keeper.id.to_string()).await;
    let path = format!("/api/sessions/{}/input", keeper.id);
    let next = device.seal(Method::Post, &path, INPUT).await;
    device.exchange(&next).await.unwrap();
    assert!(server.end().await);
    let server = world.serve();
    device.move_to(&server);
    for message in [&opening, &next] {
        assert_eq!(
            device.exchange(message).await.unwrap_err(),
            refused(401, "stale")
        );
    }
    assert_eq!(keeper.told().len(), 2);
    // The device's key is the same as before.
    let mut again = Device::of(&server, &device.token());
    assert_eq!(again.get("/api/sessions").await.status, 200);
}

#[tokio::test]
async fn a_message_is_not_sent_again_by_a_device_that_lost_its_session_to_newer_ones() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let (mut device, opening) = sent(&server, &keeper.id.to_string()).await;
    for _ in 0..9 {
        let mut other = Device::of(&server, &device.token());
        other.get("/api/health").await;
    }
    assert_eq!(
        device.refused(Method::Get, "/api/sessions").await,
        refused(401, "stale")
    );
    assert_eq!(
        device.exchange(&opening).await.unwrap_err(),
        refused(409, "replayed")
    );
    assert_eq!(keeper.told().len(), 1);
}

#[tokio::test]
async fn no_byte_of_a_message_can_be_changed_its_method_path_and_time_included() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let token = mint(&server, &["*"]).await;
    let mut device = Device::of(&server, &token);
    device.get("/api/health").await;
    let message = device
        .seal(Method::Get, &format!("/api/sessions/{}", keeper.id), b"")
        .await;
    // Where the sealed head has its time (8), its method (1) and its target.
    let head = NEXT + 2;
    let mut met = std::collections::BTreeSet::new();
    for at in (0..NEXT).chain([
        head,
        head + 7,
        head + 10,
        head + 13,
        head + 20,
        message.bytes.len() - 1,
    ]) {
        let mut changed = message.bytes.clone();
        // In the head that makes GET (1) DELETE (5).
        changed[at] ^= 4;
        let answer = device.post(&changed).await;
        assert!(answer.status.is_client_error(), "{at}");
        met.insert(answer.status.as_u16());
    }
    assert!(met.is_superset(&[400, 401].into()), "{met:?}");
    assert!(met.contains(&403) || met.contains(&429), "{met:?}");
    // The untouched one is still good: nothing of the above used it up.
    assert_eq!(device.exchange(&message).await.unwrap().status, 200);
    assert!(keeper.told().is_empty());
}

#[tokio::test]
async fn a_message_without_a_record_does_nothing() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let (mut device, _) = sent(&server, &keeper.id.to_string()).await;
    assert_eq!(device.post(b"").await.body, r#"{"error":"malformed"}"#);
    let next = device
        .seal(Method::Delete, &format!("/api/sessions/{}", keeper.id), b"")
        .await;
    let bare = &next.bytes[..NEXT];
    for bytes in [
        bare,
        &[bare, &[0, 0]].concat(),
        &[bare, &[0x80, 0]].concat(),
    ] {
        assert_eq!(device.post(bytes).await.body, r#"{"error":"refused"}"#);
    }
    let mut fresh = Device::of(&server, &device.token());
    let opening = fresh
        .seal(Method::Delete, &format!("/api/sessions/{}", keeper.id), b"")
        .await;
    assert_eq!(
        device.post(&opening.bytes[..OPEN]).await.body,
        r#"{"error":"refused"}"#
    );
    assert_eq!(
        device.post(&[&HELLO[..], &[0]].concat()).await.body,
        r#"{"error":"malformed"}"#
    );
    assert_eq!(keeper.told().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_cut_at_a_records_end_does_nothing() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let (mut device, _) = sent(&server, &keeper.id.to_string()).await;
    let text = json!({"data": "a".repeat(6000)}).to_string();
    let path = format!("/api/sessions/{}/input", keeper.id);
    let message = device.seal(Method::Post, &path, text.as_bytes()).await;
    let first = NEXT + 2 + 4096 + 16;
    let cut = Message {
        bytes: message.bytes[..first].to_vec(),
        pending: message.pending.clone(),
    };
    let told = device.exchange(&cut).await.unwrap();
    assert_eq!((told.status, told.word()), (400, "bad_record".to_owned()));
    assert_eq!(keeper.told().len(), 1);
    // And so it is with something behind the end, and with records that changed places.
    let message = device.seal(Method::Post, &path, text.as_bytes()).await;
    let longer = Message {
        bytes: [&*message.bytes, b"x"].concat(),
        ..message
    };
    assert_eq!(device.exchange(&longer).await.unwrap().word(), "bad_record");
    let message = device.seal(Method::Post, &path, text.as_bytes()).await;
    let (head, records) = message.bytes.split_at(NEXT);
    let (one, two) = records.split_at(2 + 4096 + 16);
    let moved = device.post(&[head, two, one].concat()).await;
    assert_eq!(moved.body, r#"{"error":"refused"}"#);
    let doubled = Message {
        bytes: [head, one, one, two].concat(),
        pending: message.pending.clone(),
    };
    assert_eq!(
        device.exchange(&doubled).await.unwrap().word(),
        "bad_record"
    );
    assert_eq!(keeper.told().len(), 1);
}

#[tokio::test]
async fn records_of_another_message_are_not_taken() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let (mut device, _) = sent(&server, &keeper.id.to_string()).await;
    let path = format!("/api/sessions/{}/input", keeper.id);
    let text = json!({"data": "b".repeat(6000)}).to_string();
    let one = device.seal(Method::Post, &path, text.as_bytes()).await;
    let two = device.seal(Method::Post, &path, text.as_bytes()).await;
    let first = NEXT + 2 + 4096 + 16;
    let spliced = Message {
        bytes: [&one.bytes[..first], &two.bytes[first..]].concat(),
        pending: one.pending,
    };
    assert_eq!(
        device.exchange(&spliced).await.unwrap().word(),
        "bad_record"
    );
    let spliced = [&two.bytes[..NEXT], &one.bytes[NEXT..]].concat();
    assert_eq!(device.post(&spliced).await.body, r#"{"error":"refused"}"#);
    let mut other = Device::of(&server, &mint(&server, &["*"]).await);
    other.get("/api/health").await;
    let foreign = other.seal(Method::Post, &path, text.as_bytes()).await;
    let spliced = [&two.bytes[..NEXT], &foreign.bytes[NEXT..]].concat();
    assert_eq!(device.post(&spliced).await.body, r#"{"error":"refused"}"#);
    assert_eq!(keeper.told().len(), 1);
}

#[tokio::test]
async fn an_answer_opens_for_its_own_request_alone_and_only_whole() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[crate::common::keeper::text("c".repeat(9000))]);
    let server = world.serve();
    let (mut device, _) = sent(&server, &keeper.id.to_string()).await;
    let path = format!("/api/sessions/{}/transcript", keeper.id);
    let one = device.seal(Method::Get, &path, b"").await;
    let two = device.seal(Method::Get, &path, b"").await;
    let first = device.post(&one.bytes).await.body;
    let second = device.post(&two.bytes).await.body;
    assert!(open(&one.pending, &first).is_ok());
    // The answer of another request, as it came and with this one's number.
    assert!(matches!(
        open(&two.pending, &first),
        Err(Unreadable::Malformed(_))
    ));
    let mut renumbered = first.to_vec();
    renumbered[8..12].copy_from_slice(&second[8..12]);
    assert!(matches!(
        open(&two.pending, &renumbered),
        Err(Unreadable::Record(_))
    ));
    // Cut at a record's end, put in another order, spliced.
    let record = 2 + 4096 + 16;
    let cut = &first[..RESPONSE + 2 * record];
    assert!(matches!(open(&one.pending, cut), Err(Unreadable::Cut)));
    let (head, records) = first.split_at(RESPONSE);
    let moved = [
        head,
        &records[record..2 * record],
        &records[..record],
        &records[2 * record..],
    ]
    .concat();
    assert!(open(&one.pending, &moved).is_err());
    let spliced = [&first[..RESPONSE + record], &second[RESPONSE + record..]].concat();
    assert!(open(&one.pending, &spliced).is_err());
    // An answer is no request.
    assert_eq!(device.post(&first).await.body, r#"{"error":"malformed"}"#);
}

#[tokio::test]
async fn an_expired_token_a_revoked_one_and_one_without_the_scope_open_nothing() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let body = json!({"label": "short", "scopes": ["sessions:read"], "kind": "device", "ttl": 1});
    let created = server.client().post("/api/tokens", &body).await.created();
    let mut device = Device::of(&server, &minted(&created));
    until("the token expires", async || {
        let answer = device.get("/api/sessions").await;
        answer.status == 401 && answer.word() == "token_expired"
    })
    .await;

    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    let path = format!("/api/sessions/{}/input", keeper.id);
    let told = device.ask(Method::Post, &path, &json!({"data": "x"})).await;
    assert_eq!(
        (told.status, told.word()),
        (403, "scope_missing".to_owned())
    );
    assert!(keeper.told().is_empty());

    server
        .client()
        .delete(&format!("/api/tokens/{}", token.id))
        .await;
    assert_eq!(
        device.refused(Method::Get, "/api/sessions").await,
        refused(401, "stale")
    );
}

#[tokio::test]
async fn an_unknown_key_is_answered_as_a_wrong_one_and_as_damage_is() {
    let world = World::new();
    let server = world.serve();
    let token = mint(&server, &["*"]).await;
    let mut unknown = Device::of(&server, &token.with_id("ffffffffffffffff"));
    let wrong = super::device::Token {
        plaintext: "00".repeat(32),
        ..token.clone()
    };
    let mut wrong = Device::of(&server, &wrong);
    let mut right = Device::of(&server, &token);
    let mut answers = Vec::new();
    for device in [&mut unknown, &mut wrong] {
        let message = device.seal(Method::Get, "/api/sessions", b"").await;
        answers.push(device.post(&message.bytes).await);
    }
    let mut damaged = right.seal(Method::Get, "/api/sessions", b"").await.bytes;
    *damaged.last_mut().unwrap() ^= 1;
    answers.push(right.post(&damaged).await);
    for answer in &answers {
        assert_eq!(answer.status, 403);
        assert_eq!(answer.body, r#"{"error":"refused"}"#);
        let mut headers = answer.headers.clone();
        let mut first = answers[0].headers.clone();
        headers.remove("date");
        first.remove("date");
        assert_eq!(headers, first);
    }
}

/// The work is compared, and not the network around it: what a request takes on a busy machine
/// varies by more than an HMAC.
#[tokio::test]
async fn an_unknown_key_takes_as_long_as_a_wrong_one() {
    let world = World::new();
    let server = world.serve();
    for _ in 0..40 {
        mint(&server, &["sessions:read"]).await;
    }
    let known = mint(&server, &["sessions:read"]).await;
    let tokens = server.app.gate.tokens();
    let challenge = server.app.envelope.challenge(random());
    let judge = |id: &str| {
        let device = cib_envelope::client::Device {
            id: cib_envelope::keys::KeyId(bytes(id)),
            secret: cib_envelope::keys::Key::new([9; 32]),
        };
        let kind = cib_envelope::message::Kind::Open;
        let mut session = device.session(kind, &challenge, random()).unwrap();
        let head = cib_envelope::head::Request {
            time_ms: 0,
            max_record: 256,
            method: Method::Get,
            target: "/api/sessions".to_owned(),
        };
        let (message, _) = session.request(&head, b"", random());
        let begun = Instant::now();
        let (prefix, records) = cib_envelope::message::Prefix::parse(&message).unwrap();
        let candidate = server.app.envelope.judge(&prefix).unwrap();
        let (mut opener, _) = candidate.opener(&tokens.key(candidate_id(&message)));
        opener.push(records);
        assert!(opener.record().is_err());
        begun.elapsed()
    };
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..3000 {
        wrong.push(judge(&known.id));
        unknown.push(judge("ffffffffffffffff"));
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let ratio = median(&mut wrong) / median(&mut unknown);
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
}

fn candidate_id(message: &[u8]) -> cib_envelope::keys::KeyId {
    cib_envelope::keys::KeyId(message[8..16].try_into().unwrap())
}

#[tokio::test]
async fn whoever_guesses_keys_is_slowed_down_and_who_knows_one_is_not() {
    let world = World::new();
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    device.get("/api/sessions").await;
    let mut guessing = Device::of(&server, &token.with_id("0000000000000000"));
    let message = guessing.seal(Method::Get, "/api/sessions", b"").await;
    let mut words = Vec::new();
    for _ in 0..=BURST + 2 {
        words.push(guessing.exchange(&message).await.unwrap_err().0);
    }
    assert_eq!(words[0], 403);
    assert!(words.contains(&429), "{words:?}");
    assert_eq!(device.get("/api/sessions").await.status, 200);
}

#[tokio::test]
async fn strange_messages_push_no_session_out_and_leave_memory_and_descriptors_where_they_were() {
    let world = World::new();
    let address = free_address();
    let process = Process::start(&world, address);
    let token = mint_by(&process.client(), &["sessions:read"]).await;
    let mut device = Device::at(address, &token);
    let good = device.seal(Method::Get, "/api/sessions", b"").await;
    device.exchange(&good).await.unwrap();
    let attempt = async |n: usize| {
        let mut bytes = good.bytes.clone();
        match n % 5 {
            0 => bytes.truncate(n % bytes.len()),
            1 => bytes[8 + n % 60] ^= 1,
            2 => bytes = vec![u8::try_from(n % 251).unwrap(); n % 3000],
            3 => bytes[4] = u8::try_from(n % 9).unwrap(),
            _ => bytes.extend(vec![0; n % 5000]),
        }
        // Most end with a refusal, some are a hello.
        let answer = device.post(&bytes).await;
        assert!(!answer.status.is_server_error(), "{answer:?}");
    };
    // What the allocator and the runtime keep once they have met it.
    for n in 0..500 {
        attempt(n).await;
    }
    let pid = process.pid();
    let (memory, files) = (resident(pid), descriptors(pid));
    for n in 0..10_000 {
        attempt(n).await;
    }
    until("connections close", async || descriptors(pid) <= files + 2).await;
    assert!(
        resident(pid) < memory + 4 * 1024 * 1024,
        "{} and {memory}",
        resident(pid)
    );
    // In the same session as before.
    assert_eq!(device.get("/api/sessions").await.status, 200);
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}
