//! Requests that are sent again because nobody knows whether they arrived, and who sent them.

use crate::common::world::{MASTER, World};
use cib_protocol::keeper::KeeperRequest;
use serde_json::json;

/// How many messages a keeper was told, and the ids that they have.
fn ids(told: &[KeeperRequest]) -> Vec<String> {
    let id = |request: &KeeperRequest| match request {
        KeeperRequest::Input { id, .. } => id.map(|id| id.to_string()),
        _ => None,
    };
    told.iter().filter_map(id).collect()
}

#[tokio::test]
async fn a_message_is_sent_once_however_often_and_whichever_way_it_comes() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let path = format!("/api/sessions/{}/input", keeper.id);
    let body = json!({"data": "hello", "client_id": "one"});
    let first = server.client().post(&path, &body).await.ok();
    assert_eq!(server.client().post(&path, &body).await.ok(), first);
    let socket = format!("/api/sessions/{}/stream", keeper.id);
    let mut socket = server.client().socket(&socket).await.unwrap();
    socket
        .say(&json!({"ref": 1, "command": {"input": body}}))
        .await;
    while socket.next().await.unwrap()["done"] != true {}
    assert_eq!(keeper.told().len(), 1);
    // A control that knows nothing of it gives it the same name, by which the keeper knows it.
    let other = world.serve();
    other.client().post(&path, &body).await.ok();
    let ids = ids(&keeper.told());
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
    let body = json!({"data": "hello", "client_id": "two"});
    server.client().post(&path, &body).await.ok();
    assert_eq!(keeper.told().len(), 3);
    for bad in ["", "a b", &"x".repeat(65)] {
        let body = json!({"data": "hello", "client_id": bad});
        server
            .client()
            .post(&path, &body)
            .await
            .fault(400, "bad_value");
    }
}

#[tokio::test]
async fn an_answer_that_was_given_is_given_again_and_not_refused() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let path = format!("/api/sessions/{}/answer", keeper.id);
    let body = json!({"id": "q", "answers": {"a": "b"}, "client_id": "one"});
    let first = server.client().post(&path, &body).await.ok();
    assert_eq!(server.client().post(&path, &body).await.ok(), first);
    assert_eq!(keeper.told().len(), 1);
    assert_eq!(keeper.author().as_deref(), Some("master"));
}

#[tokio::test]
async fn a_session_is_made_once() {
    let world = World::new();
    let server = world.serve();
    let body = json!({"client_id": "one"});
    let (a, b) = tokio::join!(
        async { server.client().post("/api/sessions", &body).await.created() },
        async { server.client().post("/api/sessions", &body).await.created() },
    );
    assert_eq!(a["id"], b["id"]);
    let list = server.client().get("/api/sessions").await.ok();
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn who_sends_something_is_told_to_the_keeper_by_its_label() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let body = json!({"label": "Ann's phone", "scopes": ["*"]});
    let made = server.client().post("/api/tokens", &body).await.created();
    let phone = server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap_or(MASTER));
    let path = format!("/api/sessions/{}/interrupt", keeper.id);
    phone.post(&path, &json!({})).await;
    assert_eq!(keeper.author().as_deref(), Some("device Ann's phone"));
    let info = phone.get("/api/info").await.ok();
    assert_eq!(info["caller"]["label"], "device Ann's phone");
}
