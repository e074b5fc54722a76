//! Clients of claude-code-runner, and who may ask what.

use cib_protocol::init::InitFault;
use serde_json::{Value, json};

use super::{comes_to, end_turn, has_session, world};
use crate::common::client::Client;
use crate::common::init::Mood;
use crate::common::until;

#[tokio::test]
async fn a_client_of_claude_code_runner_finds_what_it_knows() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let none = client.post("/task", &json!({})).await;
    assert_eq!(
        (none.status.as_u16(), none.json()),
        (400, json!({"error": "prompt required"}))
    );
    let missing = client.get("/task/00000000").await;
    assert_eq!(
        (missing.status.as_u16(), missing.json()),
        (404, json!({"error": "Not found"}))
    );
    let stranger = server.stranger().get("/tasks").await;
    assert_eq!(stranger.status.as_u16(), 401);
    assert_eq!(stranger.json(), json!({"error": "Unauthorized"}));
    let answer = client
        .post("/task", &json!({"prompt": "Mend the api", "extra": 1}))
        .await;
    let submitted = answer.ok();
    assert_eq!(submitted["status"], "queued");
    let id = submitted["id"].as_str().unwrap().to_owned();
    let head = format!(r#"{{"id":"{id}","status":"queued","#);
    assert!(answer.body.starts_with(head.as_bytes()), "{answer:?}");
    assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let health = server.stranger().get("/health").await;
    assert_eq!(&health.body[..], br#"{"ok":true,"tasks":1,"running":1}"#);
    has_session(&world, 1).await;
    comes_to(&world, &client, &id, "working").await;
    let path = format!("/task/{id}");
    let seen = client.get(&path).await.ok();
    assert_eq!(
        (&seen["status"], &seen["state"]),
        (&json!("running"), &json!("working"))
    );
    for (one, other) in [("started", "startedAt"), ("finished", "completedAt")] {
        assert_eq!(seen[one], seen[other], "{one}");
    }
    let logs = format!("{path}/logs");
    let following = client.get(&logs);
    let ending = async {
        end_turn(&world, 0, "It is mended.", "turn_end");
        comes_to(&world, &client, &id, "completed").await;
    };
    let (log, ()) = tokio::join!(following, ending);
    assert!(
        log.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(String::from_utf8_lossy(&log.body).contains("It is mended."));
    let done = client.get(&path).await.ok();
    assert_eq!(
        (&done["status"], &done["error"], &done["errorType"]),
        (&json!("completed"), &Value::Null, &Value::Null)
    );
    let failed = client.post("/task", &json!({"prompt": "x"})).await.ok();
    let path = format!("/task/{}", failed["id"].as_str().unwrap());
    world.init().mood = Mood::Refusing(InitFault::KeeperFailed);
    until("it failed", async || {
        client.get(&path).await.ok()["status"] == "failed"
    })
    .await;
    let failed = client.get(&path).await.ok();
    assert_eq!(
        (&failed["errorType"], &failed["errorKind"]),
        (&json!("exit_code"), &json!("exit_code"))
    );
    let list = client.get("/tasks").await.ok();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[1]["id"], *id);
}

#[tokio::test]
async fn each_route_of_tasks_needs_its_scope() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let mint = json!({"label": "reader", "scopes": ["tasks:read"]});
    let token = client.post("/api/tokens", &mint).await.created();
    let reader = Client::new(server.address).with_token(token["plaintext"].as_str().unwrap());
    reader.get("/api/tasks").await.ok();
    reader.get("/tasks").await.ok();
    let body = json!({"prompt": "Mend api"});
    reader
        .post("/api/tasks", &body)
        .await
        .fault(403, "scope_missing");
    assert_eq!(reader.post("/task", &body).await.status.as_u16(), 403);
    reader
        .get("/api/sessions")
        .await
        .fault(403, "scope_missing");
}
