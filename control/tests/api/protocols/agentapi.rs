//! A session as clients of agentapi know an agent.

use std::time::Instant;

use http::Method;
use serde_json::json;

use super::{data, say, token, with_claude};
use crate::common::keeper::Keeper;
use crate::common::world::World;
use crate::common::{files, until};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::State;

fn path(keeper: &Keeper, what: &str) -> String {
    format!("/api/sessions/{}/agentapi/{what}", keeper.id)
}

#[tokio::test]
async fn messages_are_two_speakers_in_turn_and_the_state_is_one_of_two() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let client = server.client();
    let status = client.get(&path(&keeper, "status")).await.ok();
    assert_eq!(status, json!({"agent_type": "claude", "status": "stable"}));
    let hi = data(
        "text.delta",
        &json!({"text": "hi", "role": "user", "message_id": "u"}),
    );
    keeper.append(&[hi, say("hel", "a"), say("lo", "a"), say("there", "b")]);
    keeper.become_state(State::Working);
    let status = client.get(&path(&keeper, "status")).await.ok();
    assert_eq!(status["status"], "running");
    let list = client.get(&path(&keeper, "messages")).await.ok();
    let list = list["messages"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(
        (&list[0]["id"], &list[0]["role"]),
        (&json!(1), &json!("user"))
    );
    assert_eq!(list[1]["content"], "hello\n\nthere");
    assert_eq!(list[1]["role"], "agent");
    assert!(list[1]["time"].as_str().unwrap().starts_with("20"));
}

#[tokio::test]
async fn events_are_the_messages_up_to_now_and_then_what_changes() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[say("hello", "a")]);
    keeper.become_state(State::Idle);
    let server = world.serve();
    let mut events = server.client().events(&path(&keeper, "events")).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.event, "message_update");
    assert_eq!(first.json()["message"], "hello");
    let second = events.next().await.unwrap();
    assert_eq!(second.event, "status_change");
    assert_eq!(second.json()["status"], "stable");
    keeper.become_state(State::Working);
    let event = events.next().await.unwrap();
    assert_eq!(
        event.json(),
        json!({"agent_type": "claude", "status": "running"})
    );
    keeper.append(&[say("!", "a")]);
    let event = events.next().await.unwrap();
    assert_eq!(
        (&*event.event, &event.json()["message"]),
        ("message_update", &json!("hello!"))
    );
    assert_eq!(event.json()["id"], 1);
}

#[tokio::test]
async fn a_message_that_grows_is_told_so_often_and_no_more() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let client = server.client();
    let begun = Instant::now();
    let mut events = client.events(&path(&keeper, "events")).await;
    for _ in 0..40 {
        keeper.append(&[say("x", "a")]);
        // Time for one that is told at once.
        client.get(&path(&keeper, "status")).await.ok();
    }
    let (mut told, all) = (0, "x".repeat(40));
    loop {
        let event = events.next().await.unwrap();
        told += 1;
        if event.event == "message_update" && event.json()["message"] == *all {
            break;
        }
    }
    // One at once, one of the state, and then four a second.
    let most = 3 + begun.elapsed().as_millis() / 250;
    assert!(told <= most, "{told} of {most}");
}

#[tokio::test]
async fn a_message_is_told_keys_are_typed_and_a_question_is_answered() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let work = async {
        let made = client.post("/api/sessions", &json!({})).await.created();
        let id = made["id"].as_str().unwrap().to_owned();
        let at = |what: &str| format!("/api/sessions/{id}/agentapi/{what}");
        let send = |kind: &str, content: &str| json!({"type": kind, "content": content});
        let sent = client.post(&at("message"), &send("user", "ask")).await.ok();
        assert_eq!(sent, json!({"ok": true}));
        until("it asks", async || {
            let list = client.get(&at("messages")).await.ok();
            list["messages"].to_string().contains("2. Blue")
        })
        .await;
        client.post(&at("message"), &send("user", "2")).await.ok();
        client
            .post(&at("message"), &send("raw", "\u{1b}"))
            .await
            .ok();
        let refused = client.post(&at("message"), &send("shout", "x")).await;
        assert_eq!(refused.status.as_u16(), 400);
        assert_eq!(refused.headers["content-type"], "application/problem+json");
        assert_eq!(refused.json()["status"], 400);
        let told = world.init().keepers[0].told();
        assert!(matches!(&told[0], KeeperRequest::Input { text, .. } if text == "ask"));
        let KeeperRequest::Answer { answers, .. } = &told[1] else {
            panic!("{told:?}");
        };
        assert_eq!(answers["Which?"], "Blue");
        assert!(matches!(&told[2], KeeperRequest::Raw { .. }));
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn a_file_of_a_form_is_written_where_the_agent_can_read_it() {
    let world = World::new();
    files::serve(&world);
    let keeper = world.keeper();
    let server = world.serve();
    let form = "multipart/form-data; boundary=xy";
    let body = "--xy\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../a b.txt\"\r\n\r\n\
        some\r\nbytes\r\n--xy--\r\n";
    let client = server.client().with_header("content-type", form);
    let answer = client
        .request(Method::POST, &path(&keeper, "upload"), body)
        .await
        .ok();
    assert_eq!(answer["ok"], true);
    let written = answer["filePath"].as_str().unwrap();
    let uploads = world.workspace().join("uploads");
    assert!(written.starts_with(uploads.to_str().unwrap()), "{written}");
    assert!(written.ends_with("-a_b.txt"), "{written}");
    assert_eq!(std::fs::read_to_string(written).unwrap(), "some\r\nbytes");
    let refused = client
        .request(Method::POST, &path(&keeper, "upload"), "--xy--")
        .await;
    assert_eq!(refused.status.as_u16(), 400);
    let reader = token(&server, &["sessions:read", "fs:read"]).await;
    let reader = server
        .stranger()
        .with_token(&reader)
        .with_header("content-type", form);
    let refused = reader
        .request(Method::POST, &path(&keeper, "upload"), body)
        .await;
    assert_eq!(refused.status.as_u16(), 403);
    assert_eq!(
        server
            .stranger()
            .get(&path(&keeper, "messages"))
            .await
            .status
            .as_u16(),
        401
    );
}
