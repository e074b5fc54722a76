//! Clients of claude-code-runner, and who may ask what.

use cib_protocol::init::InitFault;
use http::Method;
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
    let huge = client
        .post("/task", &json!({"prompt": "x".repeat(2 << 20)}))
        .await;
    assert_eq!(huge.status.as_u16(), 413);
    assert!(huge.json()["error"].as_str().unwrap().contains("bytes"));
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

#[tokio::test]
async fn the_token_of_such_a_client_is_shown_once_does_tasks_alone_and_is_one() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    for (method, path) in [
        (Method::GET, "/token"),
        (Method::DELETE, "/token"),
        (Method::POST, "/token/generate"),
    ] {
        let refused = server.stranger().request(method, path, String::new()).await;
        assert_eq!(refused.status.as_u16(), 401, "{path}");
        assert_eq!(refused.json(), json!({"error": "Unauthorized"}));
    }
    let none = json!({"exists": false, "token": null, "createdAt": null});
    assert_eq!(client.get("/token").await.ok(), none);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let minted = client.request(Method::POST, "/token/generate", String::new());
        let token = minted.await.ok()["token"].as_str().unwrap().to_owned();
        assert!(token.starts_with("ccr_"), "it is recognised by that");
        clients.push(Client::new(server.address).with_token(&token));
        let shown = client.get("/token").await.ok();
        assert_eq!(shown["exists"], true);
        assert!(!token.contains(shown["token"].as_str().unwrap()));
    }
    let [earlier, runner] = &*clients else {
        unreachable!()
    };
    assert_eq!(earlier.get("/tasks").await.status.as_u16(), 401);
    let submitted = runner.post("/task", &json!({"prompt": "Mend api"})).await;
    assert_eq!(submitted.ok()["status"], "queued");
    runner.get("/tasks").await.ok();
    for path in ["/api/sessions", "/api/tokens"] {
        runner.get(path).await.fault(403, "scope_missing");
    }
    let minting = runner.request(Method::POST, "/token/generate", String::new());
    assert_eq!(minting.await.status.as_u16(), 403, "it makes no other");
    let gone = client
        .request(Method::DELETE, "/token", String::new())
        .await;
    assert_eq!(gone.ok(), json!({"success": true}));
    assert_eq!(client.get("/token").await.ok(), none);
    assert_eq!(runner.get("/tasks").await.status.as_u16(), 401);
}
