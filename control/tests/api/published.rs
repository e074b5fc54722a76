//! What the published system's own front end asks for: each of its calls finds a route that takes
//! what it sends.

use crate::common::files;
use crate::common::world::World;
use cib_protocol::session::State;
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn every_call_of_the_published_front_end_finds_its_route_and_is_understood() {
    let world = World::new();
    files::serve(&world);
    std::fs::write(world.workspace().join("read"), "text").unwrap();
    let mut keeper = world.keeper();
    keeper.become_state(State::Idle);
    let server = world.serve();
    let client = server.client();
    let made = client
        .post(
            "/api/tokens",
            &json!({"label": "x", "scopes": ["sessions:read"], "ttl_hours": 0}),
        )
        .await
        .created();
    assert!(
        made["token"].get("expires_at").is_none(),
        "0 hours are no end"
    );
    let token = made["token"]["id"].as_str().unwrap();
    let provider =
        json!({"label": "A", "api_host": "https://a.example", "api_key": "sk", "model": "m"});
    let made = client.post("/api/providers", &provider).await.created();
    let provider_id = made["id"].as_str().unwrap();
    let shell = json!({"cwd": world.workspace(), "cols": 80, "rows": 24});
    let shell = client.post("/api/shells", &shell).await.created();
    let shell = format!("/api/shells/{}", shell["id"].as_str().unwrap());
    let session = format!("/api/sessions/{}", keeper.id);
    let create = json!({
        "workdir": world.workspace(), "model": "opus", "auth_mode": "api_key", "api_key": "sk",
        "bypass_permissions": true,
    });
    let file = json!({"root": "workspace", "path": "made", "content": "text"});
    let folder = json!({"root": "workspace", "path": "folder"});
    let none = Value::Null;
    let calls: &[(Method, &str, &Value)] = &[
        (Method::GET, "/api/health", &none),
        (Method::GET, "/api/sessions", &none),
        (Method::GET, &session, &none),
        (Method::POST, "/api/sessions", &create),
        (
            Method::POST,
            &format!("{session}/input"),
            &json!({"data": "hello\n"}),
        ),
        (
            Method::POST,
            &format!("{session}/model"),
            &json!({"model": "opus"}),
        ),
        (Method::POST, &format!("{session}/interrupt"), &none),
        (Method::GET, &format!("{session}/transcript"), &none),
        (Method::GET, &format!("{session}/transcript?from=1"), &none),
        (Method::DELETE, &format!("{session}?signal=term"), &none),
        (Method::GET, "/api/tokens", &none),
        (Method::DELETE, &format!("/api/tokens/{token}"), &none),
        (Method::GET, "/api/shells", &none),
        (Method::GET, &shell, &none),
        (
            Method::POST,
            &format!("{shell}/resize"),
            &json!({"cols": 90, "rows": 30}),
        ),
        (Method::DELETE, &shell, &none),
        (Method::GET, "/api/fs/roots", &none),
        (Method::GET, "/api/fs/list?root=workspace&path=", &none),
        (Method::GET, "/api/fs/read?root=workspace&path=read", &none),
        (Method::PUT, "/api/fs/write", &file),
        (Method::POST, "/api/fs/mkdir", &folder),
        (
            Method::DELETE,
            "/api/fs/delete?root=workspace&path=made",
            &none,
        ),
        (
            Method::DELETE,
            "/api/fs/delete?root=workspace&path=folder",
            &none,
        ),
        (Method::GET, "/api/providers", &none),
        (
            Method::PUT,
            &format!("/api/providers/{provider_id}"),
            &provider,
        ),
        (
            Method::POST,
            "/api/providers/probe",
            &json!({"api_host": "http://127.0.0.1:1", "api_key": "sk"}),
        ),
        (
            Method::DELETE,
            &format!("/api/providers/{provider_id}"),
            &none,
        ),
        (Method::GET, "/api/prefs", &none),
        (Method::PATCH, "/api/prefs", &json!({"theme": "dark"})),
        (Method::GET, "/api/auth/claude/status", &none),
        (
            Method::POST,
            "/api/auth/claude/start",
            &json!({"console": true, "email": "a@b"}),
        ),
        (
            Method::POST,
            "/api/auth/claude/code",
            &json!({"flow_id": "f", "code": "c#s"}),
        ),
        (
            Method::POST,
            "/api/auth/claude/cancel",
            &json!({"flow_id": "f"}),
        ),
        (Method::POST, "/api/auth/claude/logout", &none),
    ];
    for (method, path, body) in calls {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = client.request(method.clone(), path, body).await;
        let is_good = answer.status.is_success();
        assert!(
            is_good,
            "{method} {path}: {} {:?}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    }
    assert!(!world.workspace().join("made").exists());
    assert!(!world.workspace().join("folder").exists());
}
