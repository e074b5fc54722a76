//! The sealed envelope: what a device gets by it, and what nobody else does.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod attacks;
mod clients;
mod device;
mod legacy;
mod line;

use std::time::Duration;

use cib_envelope::head::{Carries, Method};
use cib_envelope::item::Kind;
use cib_protocol::session::State;
use serde_json::{Value, json};

use self::device::{Device, mint, mint_by};
use crate::common::keeper::text;
use crate::common::process::{Process, free_address};
use crate::common::world::World;

#[tokio::test]
async fn a_device_lists_sends_and_answers_as_a_bearer_of_its_scopes_does() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let token = mint(&server, &["sessions:read", "sessions:input"]).await;
    let mut device = Device::of(&server, &token);
    let list = device.get("/api/sessions").await;
    assert_eq!(list.status, 200);
    assert_eq!(list.json()["sessions"][0]["id"], keeper.id.to_string());
    let path = format!("/api/sessions/{}/input", keeper.id);
    let sent = device
        .ask(Method::Post, &path, &json!({"data": "hello\n"}))
        .await;
    assert_eq!((sent.status, sent.json()), (200, json!({"bytes": 5})));
    assert_eq!(keeper.told().len(), 1);
    let health = device.get("/api/health").await;
    assert_eq!(health.json()["status"], "ok");
    let info = device.get("/api/info").await.json();
    assert_eq!(
        info["caller"]["scopes"],
        json!(["sessions:read", "sessions:input"])
    );
    let nothing = device.get("/api/nothing").await;
    assert_eq!(
        (nothing.status, nothing.word()),
        (404, "no_such_route".to_owned())
    );
    let nested = device.get("/aes/v3").await;
    assert_eq!(nested.status, 404);
    let page = device.get("/").await;
    assert_eq!(page.status, 404);
    let socket = format!("/api/sessions/{}/stream", keeper.id);
    assert_eq!(device.get(&socket).await.status, 426);
}

#[tokio::test]
async fn a_device_without_a_clock_takes_the_boxs_and_one_with_a_wrong_clock_is_told() {
    let world = World::new();
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    device.time = Some(1_000);
    let told = device.get("/api/sessions").await;
    assert_eq!((told.status, told.word()), (401, "clock".to_owned()));
    // The answer's time is authentic: the same session goes on with it.
    device.time = Some(told.time);
    assert_eq!(device.get("/api/sessions").await.status, 200);
}

#[tokio::test]
async fn a_devices_key_is_shown_once_is_no_bearer_and_is_nowhere_on_the_disk() {
    let world = World::new();
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    server
        .stranger()
        .with_token(&token.plaintext)
        .get("/api/sessions")
        .await
        .fault(401, "unauthorized");
    let list = server.client().get("/api/tokens").await.ok();
    assert_eq!(list["tokens"][0]["kind"], "device");
    assert!(!list.to_string().contains(&token.plaintext));
    let stored = std::fs::read_to_string(world.data().join("control/tokens.json")).unwrap();
    assert!(!stored.contains(&token.plaintext));
    // And a bearer's id is no key's.
    let body = json!({"label": "b", "scopes": ["sessions:read"]});
    let bearer = server.client().post("/api/tokens", &body).await.created();
    let id = bearer["token"]["id"].as_str().unwrap();
    let mut device = Device::of(&server, &token.with_id(id));
    assert_eq!(
        device.refused(Method::Get, "/api/sessions").await,
        (403, "refused".to_owned())
    );
}

#[tokio::test]
async fn a_stream_is_sealed_record_by_record_to_an_end_that_is_authentic() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("first")]);
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    device.max_record = 256;
    let path = format!("/api/sessions/{}/events?from=0", keeper.id);
    let mut stream = device.follow(&path).await;
    assert_eq!(stream.frame().await["seq"], 1);
    let long = "x".repeat(9000);
    keeper.append(&[text(&long)]);
    let frame = stream.frame().await;
    assert_eq!(
        (&frame["seq"], &frame["data"]["text"]),
        (&json!(2), &json!(long))
    );
    keeper.end(State::Stopped);
    loop {
        let (kind, payload) = stream.item().await.unwrap();
        if kind == Kind::End {
            let end: Value = serde_json::from_slice(&payload).unwrap();
            assert!(end["last_seq"].as_u64() >= Some(2), "{end}");
            break;
        }
    }
    assert!(stream.is_whole());
}

#[tokio::test]
async fn a_device_that_cannot_join_pieces_gets_frames_cut_to_a_preview() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("y".repeat(5000))]);
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    let path = format!("/api/sessions/{}/events?max_frame=600", keeper.id);
    let mut stream = device.follow(&path).await;
    let frame = stream.frame().await;
    assert_eq!(
        (&frame["seq"], &frame["data"]["truncated"]),
        (&json!(1), &json!(true))
    );
    assert!(frame.to_string().len() <= 600);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked_and_says_so() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    let mut stream = device
        .follow(&format!("/api/sessions/{}/events", keeper.id))
        .await;
    let path = format!("/api/tokens/{}", token.id);
    server.client().delete(&path).await;
    let (kind, payload) = stream.item().await.unwrap();
    let end: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((kind, &end["reason"]), (Kind::End, &json!("token_revoked")));
    assert_eq!(server.app.envelope.sessions(), 0);
    assert_eq!(
        device.refused(Method::Get, "/api/sessions").await,
        (401, "stale".to_owned())
    );
    let mut again = Device::of(&server, &token);
    assert_eq!(
        again.refused(Method::Get, "/api/sessions").await,
        (403, "refused".to_owned())
    );
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_up_its_own_journal_and_nobodys_memory() {
    let world = World::new();
    let mut keeper = world.keeper();
    let line = "z".repeat(60_000);
    for _ in 0..400 {
        keeper.append(&[text(&line)]);
    }
    let address = free_address();
    let process = Process::start(&world, address);
    let token = mint_by(&process.client(), &["sessions:read"]).await;
    let mut device = Device::at(address, &token);
    device.get("/api/health").await;
    let before = resident(process.pid());
    let mut stream = device
        .follow(&format!("/api/sessions/{}/events", keeper.id))
        .await;
    assert_eq!(stream.frame().await["seq"], 1);
    // 24 MB wait on the disk while another device is served.
    let mut other = Device::at(address, &token);
    for _ in 0..20 {
        assert_eq!(other.get("/api/health").await.status, 200);
    }
    assert!(resident(process.pid()) < before + 8 * 1024 * 1024);
    for seq in 2..=400 {
        assert_eq!(stream.frame().await["seq"], seq);
    }
}

/// Bytes of memory that a process has.
fn resident(pid: u32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn a_long_answer_is_one_body_in_many_records() {
    let world = World::new();
    let mut keeper = world.keeper();
    for n in 0..300 {
        keeper.append(&[text(format!("{n} {}", "w".repeat(1000)))]);
    }
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    for max_record in [256, 1000, 4096] {
        device.max_record = max_record;
        let path = format!("/api/sessions/{}/transcript", keeper.id);
        let answer = device.get(&path).await;
        assert_eq!((answer.status, answer.carries), (200, Carries::Body));
        assert!(answer.longest <= usize::from(max_record));
        assert_eq!(answer.json()["frames"].as_array().unwrap().len(), 300);
    }
}

#[tokio::test]
async fn a_heartbeat_tells_the_boxs_time() {
    let world = World::new();
    let keeper = world.keeper();
    let mut config = world.config();
    config.heartbeat = Duration::from_millis(50);
    let server = world.serve_with(&config);
    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    let mut stream = device
        .follow(&format!("/api/sessions/{}/events", keeper.id))
        .await;
    let (kind, payload) = stream.item().await.unwrap();
    assert_eq!(kind, Kind::Heartbeat);
    let told = u64::from_be_bytes(payload.try_into().unwrap());
    assert!(told.abs_diff(server.app.envelope.now()) < 60_000);
}

#[tokio::test]
async fn two_requests_of_one_session_are_answered_at_once_and_out_of_order() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let token = mint(&server, &["sessions:read"]).await;
    let mut device = Device::of(&server, &token);
    device.get("/api/health").await;
    let first = device
        .seal(Method::Get, &format!("/api/sessions/{}", keeper.id), b"")
        .await;
    let second = device.seal(Method::Get, "/api/sessions", b"").await;
    let (second, first) = tokio::join!(device.exchange(&second), device.exchange(&first));
    assert_eq!((first.unwrap().status, second.unwrap().status), (200, 200));
}
