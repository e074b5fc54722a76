//! Streams for pages: many frames in a message, and a sign of life that a page sees.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::time::Duration;

use crate::common::keeper::{Keeper, text};
use crate::common::world::World;
use cib_protocol::frame::{Data, TodoUpdate};
use serde_json::{Value, json};

/// Most bytes of a message that has several frames.
const MESSAGE: usize = 64 * 1024;

fn socket(keeper: &Keeper, query: &str) -> String {
    format!("/api/sessions/{}/stream?{query}", keeper.id)
}

fn seqs(message: &str) -> Vec<u64> {
    let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64();
    message.split('\n').map(|line| seq(line).unwrap()).collect()
}

#[tokio::test]
async fn a_message_is_the_lines_that_are_ready_as_they_stand_in_the_journal() {
    let world = World::new();
    let mut keeper = world.keeper();
    let frames: Vec<Data> = (0..3000).map(|i| text(format!("piece {i}"))).collect();
    keeper.append(&frames);
    let server = world.serve();
    let client = server.client();
    let path = socket(&keeper, "");
    let mut stream = client.socket_with("jsonl", &path).await.unwrap();
    let (mut got, mut messages) = (Vec::new(), 0);
    while got.len() < keeper.journal().trim_ascii_end().len() {
        let message = stream.text().await;
        assert!(message.len() <= MESSAGE, "{}", message.len());
        assert!(!message.ends_with('\n'));
        if !got.is_empty() {
            got.push(b'\n');
        }
        got.extend_from_slice(message.as_bytes());
        messages += 1;
    }
    assert_eq!(got, keeper.journal().trim_ascii_end());
    assert!(messages < 30, "{messages} messages for 3000 frames");
    keeper.append(&[text("one"), text("two")]);
    assert_eq!(seqs(&stream.text().await), [3001, 3002]);
}

#[tokio::test]
async fn frames_that_are_not_wanted_leave_no_trace_in_a_message() {
    let world = World::new();
    let mut keeper = world.keeper();
    for _ in 0..100 {
        keeper.append(&[
            text("a"),
            Data::TodoUpdate(TodoUpdate::default()),
            text("b"),
        ]);
    }
    let server = world.serve();
    let path = socket(&keeper, "kinds=text.delta");
    let mut stream = server.client().socket_with("jsonl", &path).await.unwrap();
    let mut got = Vec::new();
    while got.last() != Some(&300) {
        got.extend(seqs(&stream.text().await));
    }
    let wanted: Vec<u64> = (1..=300).filter(|seq| seq % 3 != 2).collect();
    assert_eq!(got, wanted);
}

#[tokio::test]
async fn a_frame_longer_than_a_message_is_a_message_alone() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("before"), text("x".repeat(5 * MESSAGE)), text("after")]);
    let server = world.serve();
    let path = socket(&keeper, "");
    let mut stream = server.client().socket_with("jsonl", &path).await.unwrap();
    assert_eq!(seqs(&stream.text().await), [1]);
    assert_eq!(seqs(&stream.text().await), [2]);
    assert_eq!(seqs(&stream.text().await), [3]);
}

#[tokio::test]
async fn commands_are_answered_in_messages_of_their_own() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let path = socket(&keeper, "");
    let mut stream = server.client().socket_with("jsonl", &path).await.unwrap();
    stream
        .say(&json!({"ref": 7, "command": {"interrupt": {}}}))
        .await;
    assert_eq!(
        stream.next().await.unwrap(),
        json!({"ref": 7, "done": true})
    );
}

#[tokio::test]
async fn a_silent_line_says_how_far_the_journal_was_read_to_whoever_asks_for_that() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a"), Data::TodoUpdate(TodoUpdate::default())]);
    let mut config = world.config();
    config.heartbeat = Duration::from_millis(50);
    let server = world.serve_with(&config);
    for protocol in ["json", "jsonl"] {
        let path = socket(&keeper, "keepalive=1&kinds=text.delta");
        let mut stream = server.client().socket_with(protocol, &path).await.unwrap();
        assert_eq!(stream.next().await.unwrap()["seq"], 1);
        assert_eq!(stream.next().await.unwrap(), json!({"keepalive": 2}));
        assert_eq!(stream.next().await.unwrap(), json!({"keepalive": 2}));
    }
    let mut silent = server
        .client()
        .socket(&socket(&keeper, "from=2"))
        .await
        .unwrap();
    let mut asked = server
        .client()
        .socket(&socket(&keeper, "from=2&keepalive=1"))
        .await
        .unwrap();
    assert_eq!(asked.next().await.unwrap(), json!({"keepalive": 2}));
    keeper.append(&[text("b")]);
    assert_eq!(silent.next().await.unwrap()["seq"], 3);
    let bad = socket(&keeper, "keepalive=yes");
    server.client().get(&bad).await.fault(400, "bad_value");
}
