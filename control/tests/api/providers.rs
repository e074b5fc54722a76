//! Providers: kept by control, asked, and given to the sessions that name one.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::world::{Server, World};
use cib_protocol::session::{AuthMode, SessionId, State};
use cib_testkit::api::StandIn;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const KEY: &str = "sk-of-the-other-one-0123456789";

fn provider(base_url: &str) -> Value {
    json!({"label": "The other one", "base_url": base_url, "api_key": KEY, "model": "glm-x"})
}

async fn made(server: &Server, base_url: &str) -> Value {
    let client = server.client();
    let answer = client.post("/api/providers", &provider(base_url)).await;
    answer.created()
}

async fn token(server: &Server, scopes: &[&str]) -> String {
    let request = json!({"label": "x", "scopes": scopes});
    let made = server.client().post("/api/tokens", &request).await;
    let text = made.created()["plaintext"].as_str().map(str::to_owned);
    text.unwrap_or_default()
}

#[tokio::test]
async fn a_provider_is_kept_changed_and_forgotten_and_its_key_never_comes_back() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let mut answers = Vec::new();
    let made = client
        .post(
            "/api/providers",
            &provider("https://api.example/anthropic/"),
        )
        .await;
    let id = made.created()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/providers/{id}");
    assert_eq!(made.headers["location"], path);
    assert_eq!(made.json()["base_url"], "https://api.example/anthropic");
    answers.push(made);
    // As an older client spells it.
    let older = json!({"label": "Old", "api_host": "https://b.example", "api_key": KEY});
    answers.push(client.post("/api/providers", &older).await);
    let renamed = json!({"label": "Renamed", "base_url": "https://api.example/v2"});
    let changed = client
        .request(Method::PUT, &path, renamed.to_string())
        .await;
    assert_eq!(changed.ok()["label"], "Renamed");
    answers.push(changed);
    let elsewhere = json!({"label": "Renamed", "base_url": "https://evil.example"});
    let refused = client
        .request(Method::PUT, &path, elsewhere.to_string())
        .await;
    assert!(refused.fault(400, "bad_value").contains("`api_key`"));
    answers.push(refused);
    let list = client.get("/api/providers").await;
    assert_eq!(list.ok()["providers"].as_array().unwrap().len(), 2);
    answers.push(list);
    for answer in &answers {
        let body = String::from_utf8_lossy(&answer.body);
        assert!(!body.contains(KEY), "{body}");
    }
    assert_eq!(client.delete(&path).await.status.as_u16(), 204);
    client.delete(&path).await.fault(404, "no_such_provider");
    let kept = std::fs::read_to_string(world.data().join("control/providers.json")).unwrap();
    assert_eq!(kept.matches(KEY).count(), 1, "{kept}");
}

#[tokio::test]
async fn a_session_of_a_provider_has_its_address_and_key_and_no_other_credential() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let made = made(&server, "https://api.example").await;
    let id = made["id"].as_str().unwrap().to_owned();
    let answer = client
        .post(
            "/api/sessions",
            &json!({"provider_id": id, "prompt": "hello"}),
        )
        .await;
    let session = answer.created();
    assert_eq!(session["auth_mode"], "provider");
    assert_eq!(session["provider_id"], json!(id));
    assert!(!String::from_utf8_lossy(&answer.body).contains(KEY));
    let spec = world.init().specs[0].clone();
    assert_eq!(spec.auth_mode, AuthMode::Provider);
    assert_eq!(
        spec.env["ANTHROPIC_BASE_URL"].expose(),
        "https://api.example"
    );
    assert_eq!(spec.env["ANTHROPIC_AUTH_TOKEN"].expose(), KEY);
    assert!(!spec.env.contains_key("ANTHROPIC_API_KEY"));
    assert_eq!(spec.model.as_deref(), Some("glm-x"));
    // A shell has nothing of it.
    let shell = client.post("/api/shells", &json!({})).await;
    shell.created();
    assert!(world.init().specs[1].env.is_empty());
    let wrong = [
        json!({"provider_id": "p_none"}),
        json!({"auth_mode": "provider"}),
        json!({"provider_id": id, "api_key": "sk-1"}),
        json!({"provider_id": id, "auth_mode": "subscription"}),
        json!({"provider_id": id, "env": {"ANTHROPIC_BASE_URL": "https://evil.example"}}),
    ];
    for (body, status) in wrong.iter().zip([404, 400, 400, 400, 400]) {
        let answer = client.post("/api/sessions", body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
    }
}

#[tokio::test]
async fn a_session_is_resumed_where_it_was_and_not_elsewhere_once_its_provider_is_gone() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let made = made(&server, "https://api.example").await;
    let id = made["id"].as_str().unwrap().to_owned();
    let mut keeper = world.keeper();
    let workdir = world.workspace();
    keeper.set_meta(|meta| {
        meta.workdir.clone_from(&workdir);
        meta.claude_session = Some(SessionId::new_v4());
        meta.auth_mode = AuthMode::Provider;
        meta.provider_id = Some(id.clone());
    });
    keeper.end(State::Stopped);
    let resume = json!({"resume": keeper.id});
    client.post("/api/sessions", &resume).await.created();
    let spec = world.init().specs[0].clone();
    assert_eq!(spec.env["ANTHROPIC_AUTH_TOKEN"].expose(), KEY);
    assert_eq!(spec.provider_id.as_ref(), Some(&id));
    client.delete(&format!("/api/providers/{id}")).await;
    // Never with what else the box has: that would be another's bill, and another's reader.
    let copy = json!({"resume_from": keeper.id});
    client
        .post("/api/sessions", &copy)
        .await
        .fault(404, "no_such_provider");
    let other = json!({"resume_from": keeper.id, "auth_mode": "subscription"});
    client.post("/api/sessions", &other).await.created();
    assert!(world.init().specs[1].env.is_empty());
}

#[tokio::test]
async fn a_provider_is_really_asked_with_its_key_and_nothing_else_of_its_answer_is_told() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let there = StandIn::start().unwrap();
    let asked = json!({"base_url": there.base_url(), "api_key": KEY});
    let probe = client.post("/api/providers/probe", &asked).await.ok();
    assert_eq!(
        (&probe["ok"], &probe["http"]),
        (&json!(true), &json!(200)),
        "{probe}"
    );
    assert!(
        probe["models"]
            .as_array()
            .unwrap()
            .contains(&json!("claude-opus-4-1"))
    );
    let mut by_key = provider(&there.base_url());
    by_key["auth"] = json!("api_key");
    let made = client.post("/api/providers", &by_key).await.created();
    let path = format!("/api/providers/{}/probe", made["id"].as_str().unwrap());
    let probe = client.request(Method::POST, &path, "").await.ok();
    assert_eq!(probe["outcome"], "works");
    let seen: Vec<_> = there.requests().into_iter().map(|(_, seen)| seen).collect();
    let auth: Vec<_> = seen
        .iter()
        .map(|seen| seen.auth.as_deref().unwrap())
        .collect();
    assert_eq!(auth, ["bearer", "x-api-key"]);
    assert!(seen.iter().all(|seen| seen.path == "/v1/models"));
    // A kept one is asked at its own address alone.
    let lured = json!({"id": made["id"], "base_url": "https://evil.example"});
    client
        .post("/api/providers/probe", &lured)
        .await
        .fault(400, "bad_value");
    // Where the list cannot be asked, a message is; what is there is no API.
    let wrong = format!("{}/elsewhere", there.base_url());
    let asked = json!({"base_url": wrong, "api_key": KEY, "model": "m"});
    let probe = client.post("/api/providers/probe", &asked).await.ok();
    assert_eq!(probe["http"], 404);
    assert_eq!(probe["endpoint"], format!("{wrong}/v1/messages"));
    assert_eq!(probe["ok"], false);
    drop(there);
    let closed = json!({"base_url": "http://127.0.0.1:1", "api_key": KEY});
    let probe = client.post("/api/providers/probe", &closed).await.ok();
    assert_eq!(probe["outcome"], "unreachable", "{probe}");
}

#[tokio::test]
async fn who_may_not_do_everything_has_nothing_asked_in_the_box_or_around_it() {
    let world = World::new();
    let server = world.serve();
    let there = StandIn::start().unwrap();
    let port = there.base_url().rsplit_once(':').unwrap().1.to_owned();
    let text = token(
        &server,
        &["providers:read", "providers:write", "sessions:write"],
    )
    .await;
    let device = server.stranger().with_token(&text);
    for url in [
        there.base_url(),
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
        format!("https://[::1]:{port}"),
        format!("https://[::ffff:127.0.0.1]:{port}"),
        "https://192.168.0.1".to_owned(),
        "http://api.example".to_owned(),
    ] {
        let asked = json!({"base_url": url, "api_key": KEY});
        let probe = device.post("/api/providers/probe", &asked).await;
        probe.fault(403, "scope_missing");
        let made = device.post("/api/providers", &provider(&url)).await;
        made.fault(403, "scope_missing");
    }
    for url in ["http://169.254.169.254/latest", "https://[fd00:ec2::254]"] {
        for client in [&device, &server.client()] {
            let made = client.post("/api/providers", &provider(url)).await;
            let code = made.json()["error"].as_str().unwrap().to_owned();
            assert!(
                ["bad_value", "scope_missing"].contains(&&*code),
                "{url}: {code}"
            );
        }
    }
    assert!(there.requests().is_empty());
    // One that an administrator made may be asked by it, and led nowhere else.
    let made = made(&server, &there.base_url()).await;
    let path = format!("/api/providers/{}", made["id"].as_str().unwrap());
    let probe = device
        .request(Method::POST, &format!("{path}/probe"), "")
        .await;
    assert_eq!(probe.ok()["ok"], true);
    let moved = provider("http://127.0.0.1:1");
    let moved = device.request(Method::PUT, &path, moved.to_string()).await;
    moved.fault(403, "scope_missing");
    let public = provider("https://api.example");
    device.post("/api/providers", &public).await.created();
}

#[tokio::test]
async fn a_provider_is_spent_by_who_may_know_of_it() {
    let world = World::new();
    let server = world.serve();
    let id = made(&server, "https://api.example").await["id"].clone();
    let text = token(&server, &["sessions:write", "sessions:read"]).await;
    let device = server.stranger().with_token(&text);
    device
        .get("/api/providers")
        .await
        .fault(403, "scope_missing");
    let asked = json!({"provider_id": id});
    device
        .post("/api/sessions", &asked)
        .await
        .fault(403, "scope_missing");
    assert!(world.init().specs.is_empty());
}

#[tokio::test]
async fn where_nothing_is_redirected_probes_and_notices_leave_by_the_bridge_alone() {
    let world = World::new();
    let (bridge, mut asked) = refusing_bridge().await.unwrap();
    let mut config = world.config();
    config.bridge = Some(bridge);
    let server = world.serve_with(&config);
    let client = server.client();
    let probe = json!({"base_url": "https://provider.example", "api_key": KEY});
    let probe = client.post("/api/providers/probe", &probe).await.ok();
    assert_eq!(probe["outcome"], "unreachable");
    let target = json!({"kind": "webhook", "url": "https://hooks.example:8443/x"});
    let channel = json!({"label": "mine", "target": target});
    let made = client.post("/api/notices/channels", &channel).await;
    let id = made.created()["channel"]["id"].clone();
    let path = format!("/api/notices/channels/{}/test", id.as_str().unwrap());
    client.post(&path, &json!({})).await.ok();
    for place in ["provider.example:443", "hooks.example:8443"] {
        let heard = tokio::time::timeout(Duration::from_secs(30), asked.recv()).await;
        assert_eq!(heard.unwrap().as_deref(), Some(place));
    }
}

/// A proxy that refuses every `CONNECT`, and tells where to each was.
async fn refusing_bridge() -> std::io::Result<(SocketAddr, mpsc::UnboundedReceiver<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let (mut head, mut line) = (String::new(), String::new());
            while line != "\r\n" {
                line.clear();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                head.push_str(&line);
            }
            let place = head.strip_prefix("CONNECT ");
            let place = place.and_then(|rest| rest.split(' ').next());
            let _ = tell.send(place.unwrap_or(&head).to_owned());
            let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(refusal).await;
        }
    });
    Ok((address, told))
}
