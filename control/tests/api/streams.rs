//! Frames: by page, as events, over a WebSocket; each once, in order, whatever happens.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::time::Duration;

use crate::common::keeper::{Keeper, text};
use crate::common::world::{Server, World};
use crate::common::{soon, until};
use cib_protocol::frame::{Data, TodoUpdate};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{SessionId, State};
use serde_json::{Value, json};

fn texts(n: u64) -> Vec<Data> {
    (0..n).map(|i| text(format!("piece {i}"))).collect()
}

fn events(keeper: &Keeper) -> String {
    format!("/api/sessions/{}/events", keeper.id)
}

fn transcript(keeper: &Keeper) -> String {
    format!("/api/sessions/{}/transcript", keeper.id)
}

fn socket(keeper: &Keeper) -> String {
    format!("/api/sessions/{}/stream", keeper.id)
}

async fn seqs(server: &Server, path: &str) -> (Vec<u64>, Value) {
    let page = server.client().get(path).await.ok();
    let frames = page["frames"].as_array().unwrap();
    let seqs = frames
        .iter()
        .map(|frame| frame["seq"].as_u64().unwrap())
        .collect();
    (seqs, page)
}

#[tokio::test]
async fn frames_come_over_events_as_they_are_written_and_again_from_the_transcript() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut stream = server.client().events(&events(&keeper)).await;
    for i in 0..5 {
        keeper.append(&texts(3));
        assert_eq!(
            stream.seqs_to(i * 3 + 3).await,
            [i * 3 + 1, i * 3 + 2, i * 3 + 3]
        );
    }
    let page = server.client().get(&transcript(&keeper)).await.ok();
    let written: Vec<Value> = keeper
        .journal()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(page["frames"], Value::Array(written));
    assert_eq!(page["last_seq"], 15);
    assert_eq!(page["next"], 15);
}

#[tokio::test]
async fn an_event_carries_the_frame_as_it_stands_in_the_journal() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("two\nlines \u{2028} and \"quotes\"")]);
    let server = world.serve();
    let mut stream = server.client().events(&events(&keeper)).await;
    let event = stream.event().await;
    assert_eq!((event.id, &*event.event), (Some(1), "text.delta"));
    assert_eq!(event.data.as_bytes(), keeper.journal().trim_ascii_end());
}

#[tokio::test]
async fn a_stream_begins_after_the_frame_that_the_client_has() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(1000));
    let server = world.serve();
    let path = events(&keeper);
    for (query, last_event_id, first) in [
        ("", None, 1),
        ("?from=0", None, 1),
        ("?from=1", None, 2),
        ("?from=999", None, 1000),
        ("?from=10", Some("500"), 501),
        ("?from=500", Some("10"), 501),
    ] {
        let client = match last_event_id {
            Some(id) => server.client().with_header("last-event-id", id),
            None => server.client(),
        };
        let mut stream = client.events(&format!("{path}{query}")).await;
        assert_eq!(
            stream.event().await.id,
            Some(first),
            "{query} {last_event_id:?}"
        );
        let mut socket = client
            .socket(&format!("{}{query}", socket(&keeper)))
            .await
            .unwrap();
        assert_eq!(socket.next().await.unwrap()["seq"], first);
    }
    let client = server.client().with_header("last-event-id", "soon");
    client.get(&path).await.fault(400, "bad_value");
}

#[tokio::test]
async fn a_client_ahead_of_the_journal_waits_until_the_journal_has_caught_up() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(2));
    let server = world.serve();
    let mut stream = server
        .client()
        .events(&format!("{}?from=4", events(&keeper)))
        .await;
    keeper.append(&texts(4));
    assert_eq!(stream.event().await.id, Some(5));
}

#[tokio::test]
async fn a_line_is_sent_only_when_it_is_whole() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut stream = server.client().events(&events(&keeper)).await;
    keeper.append(&texts(1));
    assert_eq!(stream.event().await.id, Some(1));
    let line = keeper.next_line(&text("in pieces"));
    for piece in line.chunks(7) {
        let (page, _) = seqs(&server, &transcript(&keeper)).await;
        assert_eq!(page, [1]);
        keeper.append_bytes(piece);
    }
    assert_eq!(stream.event().await.id, Some(2));
}

#[tokio::test]
async fn a_line_of_many_megabytes_arrives_whole() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let big = "x".repeat(20 * 1024 * 1024);
    keeper.append(&[text("before"), text(&*big), text("after")]);
    let mut stream = server.client().events(&events(&keeper)).await;
    assert_eq!(stream.event().await.id, Some(1));
    assert_eq!(
        stream.event().await.json()["data"]["text"]
            .as_str()
            .unwrap()
            .len(),
        big.len()
    );
    assert_eq!(stream.event().await.id, Some(3));
    let (page, _) = seqs(&server, &format!("{}?from=2", transcript(&keeper))).await;
    assert_eq!(page, [3]);
}

#[tokio::test]
async fn only_the_kinds_that_are_wanted_are_sent() {
    let world = World::new();
    let mut keeper = world.keeper();
    for _ in 0..300 {
        keeper.append(&texts(3));
        keeper.append(&[Data::TodoUpdate(TodoUpdate::default())]);
    }
    let server = world.serve();
    let path = format!("{}?kinds=todo.*,status", events(&keeper));
    let mut stream = server.client().events(&path).await;
    let expected: Vec<_> = (1..=300).map(|i| i * 4).collect();
    assert_eq!(stream.seqs_to(1200).await, expected);
    let path = format!("{}?kinds=todo.update&limit=2", transcript(&keeper));
    let (page, body) = seqs(&server, &path).await;
    assert_eq!((page, &body["next"]), (vec![4, 8], &json!(8)));
    let path = format!("{}?kinds=nothing.of.that.name", transcript(&keeper));
    let (page, body) = seqs(&server, &path).await;
    assert_eq!((page, &body["next"]), (vec![], &json!(1200)));
}

#[tokio::test]
async fn pages_put_together_are_the_journal() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(2500));
    let server = world.serve();
    let mut all = Vec::new();
    let mut next = 0;
    loop {
        let path = format!("{}?from={next}&limit=700", transcript(&keeper));
        let (page, body) = seqs(&server, &path).await;
        if page.is_empty() {
            break;
        }
        all.extend(page);
        next = body["next"].as_u64().unwrap();
    }
    assert_eq!(all, (1..=2500).collect::<Vec<_>>());
    for bad in [
        "limit=0",
        "limit=100001",
        "wait_ms=30001",
        "from=x",
        "limit=-1",
    ] {
        let path = format!("{}?{bad}", transcript(&keeper));
        server.client().get(&path).await.fault(400, "bad_value");
    }
}

#[tokio::test]
async fn a_long_poll_is_answered_by_the_next_frame() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(1));
    let server = world.serve();
    let path = format!("{}?from=1&wait_ms=30000", transcript(&keeper));
    let client = server.client();
    let append = async {
        until("somebody reads the journal", async || {
            server.app.hub.watched() == 1
        })
        .await;
        keeper.append(&texts(1));
    };
    let (answer, ()) = tokio::join!(client.get(&path), append);
    assert_eq!(answer.ok()["frames"][0]["seq"], 2);
    let path = format!("{}?from=2&wait_ms=1", transcript(&keeper));
    assert_eq!(server.client().get(&path).await.ok()["frames"], json!([]));
}

#[tokio::test]
async fn a_stream_ends_after_the_last_frame_of_a_session_that_ended() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut stream = server.client().events(&events(&keeper)).await;
    let mut socket = server.client().socket(&socket(&keeper)).await.unwrap();
    keeper.append(&texts(2));
    keeper.end(State::Failed);
    let events = stream.rest().await;
    let ids: Vec<_> = events.iter().filter_map(|event| event.id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let end = events.last().unwrap();
    assert_eq!(end.event, "end");
    assert_eq!(end.json(), json!({"reason": "failed", "last_seq": 4}));
    assert_eq!(socket.seqs_to(4).await, [1, 2, 3, 4]);
    assert_eq!(socket.next().await, Err(Some((1000, "failed".to_owned()))));
}

#[tokio::test]
async fn an_ended_session_is_replayed_and_ended_again() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(2));
    keeper.end(State::Stopped);
    let server = world.serve();
    let mut stream = server
        .client()
        .events(&format!("{}?from=3", events(&keeper)))
        .await;
    let names: Vec<_> = stream
        .rest()
        .await
        .into_iter()
        .map(|event| event.event)
        .collect();
    assert_eq!(names, ["status", "end"]);
}

#[tokio::test]
async fn a_resumed_session_is_followed_across_its_second_life() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(1));
    keeper.end(State::Interrupted);
    let server = world.serve();
    let mut first = server.client().events(&events(&keeper)).await;
    assert_eq!(
        first.rest().await.last().unwrap().json()["reason"],
        "interrupted"
    );
    keeper.listen();
    keeper.become_state(State::Idle);
    let mut second = server
        .client()
        .events(&format!("{}?from=3", events(&keeper)))
        .await;
    keeper.append(&texts(1));
    assert_eq!(second.seqs_to(5).await, [4, 5]);
}

#[tokio::test]
async fn a_session_that_is_removed_ends_its_streams() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let mut stream = server.client().events(&events(&keeper)).await;
    let mut socket = server.client().socket(&socket(&keeper)).await.unwrap();
    fs::remove_dir_all(keeper.dir()).unwrap();
    assert_eq!(stream.rest().await.last().unwrap().json()["reason"], "gone");
    assert_eq!(socket.next().await, Err(Some((4410, "gone".to_owned()))));
}

#[tokio::test]
async fn a_journal_that_lost_frames_ends_its_streams_instead_of_repeating_some() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(10));
    let server = world.serve();
    let mut stream = server.client().events(&events(&keeper)).await;
    stream.seqs_to(10).await;
    let journal = fs::OpenOptions::new()
        .write(true)
        .open(keeper.dir().join("transcript.jsonl"))
        .unwrap();
    journal
        .set_len(journal.metadata().unwrap().len() / 2)
        .unwrap();
    let end = stream.rest().await;
    assert_eq!(
        end[0].json(),
        json!({"reason": "journal_unreadable", "last_seq": 10})
    );
}

#[tokio::test]
async fn a_line_that_is_no_frame_is_passed_over() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(1));
    keeper.append_bytes(b"\0\0\0\xff garbage\n\n");
    keeper.append(&texts(1));
    let server = world.serve();
    let mut stream = server.client().events(&events(&keeper)).await;
    assert_eq!(stream.seqs_to(2).await, [1, 2]);
    let mut socket = server.client().socket(&socket(&keeper)).await.unwrap();
    assert_eq!(socket.seqs_to(2).await, [1, 2]);
    let (page, _) = seqs(&server, &transcript(&keeper)).await;
    assert_eq!(page, [1, 2]);
}

#[tokio::test]
async fn a_client_that_comes_before_the_journal_gets_its_first_frame() {
    let world = World::new();
    let id = SessionId::new_v4();
    fs::create_dir(world.data().join("sessions").join(id.to_string())).unwrap();
    let server = world.serve();
    let mut stream = server.client().events(&format!("/sse/sessions/{id}")).await;
    let mut spec = crate::common::keeper::spec();
    spec.id = id;
    let mut keeper = world.keeper_of(&spec);
    keeper.append(&texts(1));
    assert_eq!(stream.event().await.id, Some(1));
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let world = World::new();
    let keeper = world.keeper();
    let mut config = world.config();
    config.heartbeat = Duration::from_millis(20);
    let server = world.serve_with(&config);
    let mut stream = server.client().events(&events(&keeper)).await;
    let mut comments = Vec::new();
    while comments.len() < 3 {
        comments.extend(soon(stream.next()).await.unwrap().comment);
    }
    assert_eq!(comments, ["ok", "keepalive", "keepalive"]);
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody_and_loses_nothing() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut slow = server.client().events(&events(&keeper)).await;
    let mut slow_socket = server.client().socket(&socket(&keeper)).await.unwrap();
    let mut quick = server.client().events(&events(&keeper)).await;
    let piece = "x".repeat(8 * 1024);
    for i in 0..2000 {
        keeper.append(&[text(&*piece)]);
        if i % 50 == 0 {
            quick.seqs_to(keeper.last_seq()).await;
        }
    }
    let last = keeper.last_seq();
    quick.seqs_to(last).await;
    let all: Vec<_> = (1..=last).collect();
    assert_eq!(slow.seqs_to(last).await, all);
    assert_eq!(slow_socket.seqs_to(last).await, all);
}

#[tokio::test]
async fn commands_over_a_websocket_reach_the_keeper_and_are_answered_if_wanted() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut socket = server
        .client()
        .socket(&format!("/ws/sessions/{}", keeper.id))
        .await
        .unwrap();
    socket
        .say(&json!({"command": {"input": {"data": "hello\r"}}}))
        .await;
    socket
        .say(&json!({"ref": 1, "command": {"answer": {"id": "q", "answers": {}}}}))
        .await;
    assert_eq!(
        socket.next().await.unwrap(),
        json!({"ref": 1, "done": true})
    );
    socket.say(&json!({"command": {"interrupt": {}}})).await;
    socket
        .say(&json!({"command": {"model": {"model": "opus"}}}))
        .await;
    socket
        .say(&json!({"ref": 2, "command": {"permission": {"mode": "plan"}}}))
        .await;
    assert_eq!(
        socket.next().await.unwrap(),
        json!({"ref": 2, "done": true})
    );
    let told = keeper.told();
    assert_eq!(told.len(), 5);
    assert_eq!(
        told[0],
        KeeperRequest::Input {
            text: "hello".into(),
            id: None,
            command: false,
            images: Vec::new(),
        }
    );
    for (message, code) in [
        (json!({"command": {"inptu": {}}}), "bad_value"),
        (json!([1, {"interrupt": {}}]), "bad_value"),
        (
            json!({"command": {"input": {"data": "x", "enter": true}}}),
            "unknown_field",
        ),
        (json!({"command": {"input": {"data": ""}}}), "bad_value"),
        (
            json!({"command": {"resize": {"cols": 0, "rows": 1}}}),
            "bad_value",
        ),
    ] {
        socket.say(&message).await;
        let reply = socket.next().await.unwrap();
        assert_eq!(
            (&reply["done"], &reply["error"]),
            (&json!(false), &json!(code)),
            "{reply}"
        );
    }
    keeper.append(&texts(1));
    assert_eq!(socket.next().await.unwrap()["seq"], 1);
}

#[tokio::test]
async fn the_terminal_has_the_size_of_the_client_that_typed_last() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let mut desk = server.client().socket(&socket(&keeper)).await.unwrap();
    let mut phone = server.client().socket(&socket(&keeper)).await.unwrap();
    let size = |cols, rows| json!({"ref": 1, "command": {"resize": {"cols": cols, "rows": rows}}});
    let key = json!({"ref": 2, "command": {"input": {"data": "x", "encoding": "raw"}}});
    for message in [size(200, 50), key.clone()] {
        desk.say(&message).await;
        desk.next().await.unwrap();
    }
    for message in [size(40, 20), key.clone()] {
        phone.say(&message).await;
        phone.next().await.unwrap();
    }
    desk.say(&key).await;
    desk.next().await.unwrap();
    let sizes: Vec<_> = keeper
        .told()
        .into_iter()
        .filter_map(|request| match request {
            KeeperRequest::Resize { cols, rows } => Some((cols, rows)),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [(200, 50), (40, 20), (200, 50)]);
}

#[tokio::test]
async fn a_route_for_websockets_says_so_to_a_plain_request() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let answer = server.client().get(&socket(&keeper)).await;
    answer.fault(426, "upgrade_required");
    assert_eq!(answer.headers["upgrade"], "websocket");
}

#[tokio::test]
async fn when_the_server_ends_every_stream_gets_a_last_event() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&texts(1));
    let mut server = world.serve();
    let mut stream = server.client().events(&events(&keeper)).await;
    let mut socket = server.client().socket(&socket(&keeper)).await.unwrap();
    stream.seqs_to(1).await;
    socket.seqs_to(1).await;
    let (is_drained, events, close) = tokio::join!(server.end(), stream.rest(), socket.next());
    assert!(is_drained);
    assert_eq!(
        events[0].json(),
        json!({"reason": "shutting_down", "last_seq": 1})
    );
    assert_eq!(close, Err(Some((1001, "shutting_down".to_owned()))));
}

#[tokio::test]
async fn a_journal_is_no_longer_watched_when_its_last_reader_has_gone() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    for round in 1..=20 {
        let mut stream = server.client().events(&events(&keeper)).await;
        keeper.append(&texts(1));
        stream.seqs_to(round).await;
        assert_eq!(server.app.hub.watched(), 1);
        drop(stream);
        // Half of the rounds come back before the old reader is forgotten.
        if round % 2 == 0 {
            until("it is forgotten", async || server.app.hub.watched() == 0).await;
        }
    }
}
