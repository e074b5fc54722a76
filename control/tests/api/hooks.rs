//! Hooks over the API.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use crate::common::files;
use crate::common::keeper::Keeper;
use crate::common::world::{Server, World};
use cib_protocol::keeper::KeeperReply;
use cib_protocol::keeper::KeeperRequest::{self, SetHooks};
use cib_protocol::session::State;
use http::Method;
use serde_json::{Value, json};

fn world() -> (World, Server) {
    let world = World::new();
    files::serve(&world);
    let server = world.serve();
    (world, server)
}

async fn put(server: &Server, path: &str, body: &Value) -> crate::common::client::Answer {
    server
        .client()
        .request(Method::PUT, path, body.to_string())
        .await
}

#[tokio::test]
async fn the_users_hooks_are_checked_saved_and_shown_with_what_a_session_runs() {
    let (world, server) = world();
    let client = server.client();
    let none = client.get("/api/hooks/user").await.ok();
    assert_eq!((&none["hooks"], &none["tag"]), (&json!({}), &Value::Null));
    let hooks = json!({"hooks": {
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "true"}]}],
        "FromTheFuture": [],
        "Stop": [{"hooks": [{"type": "command", "command": "/no/such/program -x"}]}],
    }});
    let checked = put(&server, "/api/hooks/user?check=1", &hooks).await.ok();
    let found: Vec<_> = checked["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["severity"].as_str().unwrap(),
                one["place"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("warning", "FromTheFuture"),
            ("warning", "Stop[0].hooks[0]")
        ]
    );
    assert!(
        !world.path().join("claude/hooks.json").exists(),
        "it was only checked"
    );
    let saved = put(&server, "/api/hooks/user", &hooks).await;
    let tag = saved.headers["etag"].to_str().unwrap().to_owned();
    saved.ok();
    let all = client.get("/api/hooks").await.ok();
    assert_eq!(all["user"]["hooks"], hooks["hooks"]);
    let effective = all["effective"].as_array().unwrap();
    assert_eq!(effective.len(), 2, "what no session runs is not among them");
    assert_eq!(effective[0]["matcher"], "Bash");
    // The file is as keepers read it, and as the user may have written it.
    let text = std::fs::read_to_string(world.path().join("claude/hooks.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), hooks);
    std::fs::write(world.path().join("claude/hooks.json"), "{\"Stop\": []}").unwrap();
    let late = client
        .with_header("if-match", &tag)
        .request(Method::PUT, "/api/hooks", hooks.to_string())
        .await;
    late.fault(412, "file_changed");
}

#[tokio::test]
async fn hooks_that_cannot_be_used_are_not_saved_and_say_why() {
    let (world, server) = world();
    for wrong in [
        json!({"hooks": {"Stop": [{"matcher": "(", "hooks": []}]}}),
        json!({"hooks": {"Stop": [{"hooks": [{"type": "command"}]}]}}),
        json!({"hooks": {"Stop": 5}}),
        json!({"hooks": []}),
    ] {
        put(&server, "/api/hooks/user", &wrong)
            .await
            .fault(400, "bad_value");
    }
    assert!(!world.path().join("claude/hooks.json").exists());
    // What somebody else has spoilt is shown as that.
    std::fs::write(world.path().join("claude/hooks.json"), "{").unwrap();
    let spoilt = server.client().get("/api/hooks/user").await.ok();
    assert_eq!(spoilt["findings"][0]["severity"], "error");
}

#[tokio::test]
async fn a_hook_is_tried_with_a_sample_or_what_the_caller_says() {
    let (_world, server) = world();
    let client = server.client();
    let body = json!({"event": "PreToolUse", "command": "cat; echo no >&2; exit 2"});
    let tried = client.post("/api/hooks/try", &body).await.ok();
    assert_eq!(
        (&tried["exit_code"], &tried["stderr"]),
        (&json!(2), &json!("no\n"))
    );
    let told: Value = serde_json::from_str(tried["stdout"].as_str().unwrap()).unwrap();
    assert_eq!(told["hook_event_name"], "PreToolUse");
    assert_eq!(told["tool_name"], "Bash");
    let body = json!({"event": "X", "command": "cat", "input": {"mine": true}});
    let tried = client.post("/api/hooks/try", &body).await.ok();
    let told: Value = serde_json::from_str(tried["stdout"].as_str().unwrap()).unwrap();
    assert_eq!(told, json!({"mine": true, "hook_event_name": "X"}));
    let request = json!({"label": "reader", "scopes": ["hooks:read"]});
    let made = client.post("/api/tokens", &request).await.created();
    let reader = server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap());
    reader.get("/api/hooks").await.ok();
    reader
        .post("/api/hooks/try", &body)
        .await
        .fault(403, "scope_missing");
}

/// A session that lives, whose keeper keeps hooks as a real one does.
fn keeper_with(world: &World, hooks: &Value) -> Keeper {
    let keeper = world.keeper();
    let mut kept = hooks.as_object().unwrap().clone();
    keeper.answer(move |request| {
        Some(match request {
            KeeperRequest::Hooks => KeeperReply::Hooks(kept.clone()),
            KeeperRequest::SetHooks { hooks } => {
                kept.clone_from(hooks);
                KeeperReply::Done
            }
            other => panic!("{other:?}"),
        })
    });
    keeper
}

#[tokio::test]
async fn a_sessions_own_hooks_are_shown_checked_and_replaced_while_it_lives() {
    let (world, server) = world();
    let run = |command: &str| json!([{"hooks": [{"type": "command", "command": command}]}]);
    let mut keeper = keeper_with(&world, &json!({"Stop": run("true")}));
    let path = format!("/api/sessions/{}/hooks", keeper.id);
    let shown = server.client().get(&path).await;
    let tag = shown.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(shown.ok()["hooks"], json!({"Stop": run("true")}));
    let news = json!({"hooks": {"PreToolUse": run("exit 2"), "FromTheFuture": run("true")}});
    let checked = put(&server, &format!("{path}?check=1"), &news).await.ok();
    assert_eq!(checked["findings"][0]["place"], "FromTheFuture");
    assert_eq!(
        keeper.told().len(),
        2,
        "it was looked at twice and only checked"
    );
    let wrong = json!({"hooks": {"Stop": [{"hooks": [{"type": "command"}]}]}});
    put(&server, &path, &wrong).await.fault(400, "bad_value");
    let put_if = async |tag: &str| {
        let client = server.client().with_header("if-match", tag);
        client.request(Method::PUT, &path, news.to_string()).await
    };
    put_if(&tag).await.ok();
    let told = keeper.told();
    let SetHooks { hooks } = told.last().unwrap() else {
        panic!("{told:?}");
    };
    assert_eq!(json!(hooks), news["hooks"]);
    assert_eq!(keeper.author().as_deref(), Some("master"));
    assert_eq!(
        server.client().get(&path).await.ok()["hooks"],
        news["hooks"]
    );
    put_if(&tag).await.fault(412, "file_changed");
    let long = json!({"hooks": {"Stop": run(&"x".repeat(600_000))}});
    put(&server, &path, &long).await.fault(413, "too_large");
    keeper.end(State::Stopped);
    server.client().get(&path).await.fault(409, "session_ended");
    let nobodys = format!("/api/sessions/{}/hooks", uuid::Uuid::nil());
    server
        .client()
        .get(&nobodys)
        .await
        .fault(404, "no_such_session");
}

#[tokio::test]
async fn the_schema_of_hooks_is_published_for_whoever_may_read_them() {
    let (_world, server) = world();
    let schema = server.client().get("/api/hooks/schema").await.ok();
    let known = &schema["properties"]["hooks"]["properties"];
    let all = server.client().get("/api/hooks").await.ok();
    for event in all["events"].as_array().unwrap() {
        assert!(known[event.as_str().unwrap()].is_object(), "{event}");
    }
    server
        .stranger()
        .get("/api/hooks/schema")
        .await
        .fault(401, "unauthorized");
}
