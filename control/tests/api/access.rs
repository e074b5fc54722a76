//! Who may do what.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::os::unix::fs::PermissionsExt as _;

use crate::common::client::Client;
use crate::common::keeper::text;
use crate::common::until;
use crate::common::world::{MASTER, Server, World};
use cib_base::errors::chain;
use cib_control::auth::digest::Verifier;
use cib_control::auth::limiter::BURST;
use cib_control::auth::scope::Scope;
use cib_control::config::Config;
use cib_control::routes::manner::Manner;
use cib_control::routes::table::ROUTES;
use cib_control::routes::{Access, Answer, Verb};
use cib_protocol::init::ControlAuth;
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error as SocketError;

async fn mint(server: &Server, body: &Value) -> (String, String) {
    let created = server.client().post("/api/tokens", body).await.created();
    (
        created["token"]["id"].as_str().unwrap().to_owned(),
        created["plaintext"].as_str().unwrap().to_owned(),
    )
}

fn method(verb: Verb) -> Method {
    match verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
    }
}

#[tokio::test]
async fn health_is_open_and_says_little() {
    let world = World::new();
    let server = world.serve();
    let health = server.stranger().get("/api/health").await.ok();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        health,
        json!({"status": "ok", "mode": "", "version": version})
    );
}

#[tokio::test]
async fn every_other_route_needs_a_token() {
    let world = World::new();
    let server = world.serve();
    for route in ROUTES.iter().filter(|route| route.access != Access::Open) {
        for path in route.paths {
            let path = path.replace("{id}", "00000000-0000-4000-8000-000000000000");
            let path = path.replace("{name}", "ann").replace("{port}", "3000");
            let answer = server
                .stranger()
                .request(method(route.verb), &path, "{}")
                .await;
            match Manner::of(route) {
                Manner::Ours | Manner::Ttyd => drop(answer.fault(401, "unauthorized")),
                Manner::Runner => assert_eq!(answer.json(), json!({"error": "Unauthorized"})),
                // In the protocol's own words.
                _ => assert!(answer.json().is_object()),
            }
            assert_eq!(answer.status, 401);
            assert_eq!(
                answer.headers["www-authenticate"],
                "Bearer realm=\"claude-in-box\""
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_malformed_one_too() {
    let world = World::new();
    let server = world.serve();
    for wrong in ["wrong", &MASTER[1..], &MASTER.to_uppercase(), ""] {
        let client = server.stranger().with_token(wrong);
        client.get("/api/sessions").await.fault(401, "unauthorized");
    }
    let basic = server
        .stranger()
        .with_header("authorization", "Basic Y2liOmNpYg==");
    basic.get("/api/sessions").await.fault(401, "unauthorized");
    server.client().get("/api/sessions").await.ok();
}

#[tokio::test]
async fn a_token_in_the_query_string_is_refused_even_if_it_is_right() {
    let world = World::new();
    let server = world.serve();
    let path = format!("/api/sessions?token={MASTER}");
    server
        .client()
        .get(&path)
        .await
        .fault(400, "token_in_query");
    server
        .stranger()
        .get(&path)
        .await
        .fault(401, "unauthorized");
    let path = format!("/ws/sessions/00000000-0000-4000-8000-000000000000?token={MASTER}");
    server
        .client()
        .get(&path)
        .await
        .fault(400, "token_in_query");
}

/// A proxy's secret, and a configuration that asks for it from everybody on loopback.
pub(crate) const SECRET: &str = "between-proxy-and-box";

pub(crate) fn behind_a_proxy(world: &World) -> Config {
    let mut config = world.config();
    config.trusted.networks.push("127.0.0.0/8".parse().unwrap());
    config.trusted.secret = Some(Verifier::plain(SECRET.as_bytes()));
    config
}

fn proxy(server: &Server) -> Client {
    server.stranger().with_header("x-cib-proxy-secret", SECRET)
}

#[tokio::test]
async fn too_many_wrong_tokens_hold_up_wrong_ones_of_their_address_and_never_a_right_one() {
    let world = World::new();
    let server = world.serve_with(&behind_a_proxy(&world));
    let attacker = proxy(&server).with_header("x-forwarded-for", "203.0.113.9");
    let wrong = attacker.clone().with_token("wrong");
    for _ in 0..BURST {
        wrong.get("/api/info").await.fault(401, "unauthorized");
    }
    let answer = wrong.get("/api/info").await;
    answer.fault(429, "too_many_attempts");
    let wait: u64 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&wait));
    let neighbour = proxy(&server).with_header("x-forwarded-for", "203.0.113.10");
    let neighbour = neighbour.with_token("wrong");
    neighbour.get("/api/info").await.fault(401, "unauthorized");
    // The owner behind the same address.
    attacker.with_token(MASTER).get("/api/info").await.ok();
}

#[tokio::test]
async fn wrong_tokens_out_of_the_box_hold_up_nobody_outside_and_no_right_one() {
    let world = World::new();
    let server = world.serve();
    let guessing = server.stranger().with_token("wrong");
    for _ in 0..BURST * 3 {
        guessing.get("/api/info").await;
    }
    let held_up = guessing.get("/api/info").await;
    let detail = held_up.fault(429, "too_many_attempts");
    assert!(detail.contains("the box itself"), "{detail}");
    server.client().get("/api/info").await.ok();
    let (_, token) = mint(&server, &json!({"label": "tv", "scopes": ["*"]})).await;
    server
        .stranger()
        .with_token(&token)
        .get("/api/info")
        .await
        .ok();
}

#[tokio::test]
async fn each_route_is_opened_by_its_scope_and_by_no_other() {
    let world = World::new();
    let server = world.serve();
    let mut devices = Vec::new();
    for scope in Scope::ALL {
        let body = json!({"label": scope.as_str(), "scopes": [scope.as_str()]});
        devices.push((scope, mint(&server, &body).await.1));
    }
    for route in ROUTES {
        let Access::Scope(wanted) = route.access else {
            continue;
        };
        for path in route.paths {
            let path = path.replace("{id}", "00000000-0000-4000-8000-000000000000");
            let path = path.replace("{port}", "3000");
            for (scope, token) in &devices {
                let client = server.stranger().with_token(token);
                let answer = client.request(method(route.verb), &path, "").await;
                if *scope == &wanted {
                    assert_ne!(answer.status.as_u16(), 403, "{path} {scope:?}");
                    assert_ne!(answer.status.as_u16(), 401, "{path} {scope:?}");
                } else {
                    assert_eq!(answer.status, 403);
                    let detail = match Manner::of(route) {
                        Manner::Ours | Manner::Ttyd => answer.fault(403, "scope_missing"),
                        _ => answer.json().to_string(),
                    };
                    assert!(detail.contains(wanted.as_str()), "{detail}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_websocket_obeys_only_what_its_token_may() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let (_, token) = mint(
        &server,
        &json!({"label": "tv", "scopes": ["sessions:read"]}),
    )
    .await;
    let client = server.stranger().with_token(&token);
    let mut socket = client
        .socket(&format!("/ws/sessions/{}", keeper.id))
        .await
        .unwrap();
    for command in [
        json!({"input": {"data": "x"}}),
        json!({"resize": {"cols": 1, "rows": 1}}),
        json!({"interrupt": {}}),
        json!({"model": {"model": "opus"}}),
    ] {
        socket.say(&json!({"ref": 1, "command": command})).await;
        assert_eq!(socket.next().await.unwrap()["error"], "scope_missing");
    }
    assert_eq!(keeper.told(), []);
}

#[tokio::test]
async fn a_websocket_takes_its_token_as_a_subprotocol_and_selects_another() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let path = format!("/ws/sessions/{}", keeper.id);
    server.client().socket(&path).await.unwrap();
    let Err(SocketError::Http(refused)) = server.stranger().socket(&path).await.map(|_| ()) else {
        panic!("a stranger was let in");
    };
    assert_eq!(refused.status().as_u16(), 401);
    let bearer = format!("bearer.{MASTER}");
    let alone = server
        .stranger()
        .with_header("sec-websocket-protocol", &bearer);
    alone.socket(&path).await.unwrap();
}

#[tokio::test]
async fn a_device_token_is_shown_once_listed_without_its_text_and_revoked() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let body = json!({"label": " phone ", "scopes": ["sessions:read"], "ttl_hours": 1});
    let (id, text) = mint(&server, &body).await;
    let device = server.stranger().with_token(&text);
    device.get("/api/sessions").await.ok();
    let list = client.get("/api/tokens").await;
    assert!(!String::from_utf8_lossy(&list.body).contains(&text));
    let token = list.ok()["tokens"][0].clone();
    assert_eq!(
        (&token["id"], &token["label"]),
        (&json!(id), &json!("phone"))
    );
    assert!(token["last_used_at"].is_string());
    let path = format!("/api/tokens/{id}");
    let answer = client.delete(&path).await;
    assert_eq!(answer.status.as_u16(), 204);
    device.get("/api/sessions").await.fault(401, "unauthorized");
    client.delete(&path).await.fault(404, "no_such_token");
    assert_eq!(client.get("/api/tokens").await.ok(), json!({"tokens": []}));
}

#[tokio::test]
async fn device_tokens_survive_a_restart_and_are_stored_as_digests_for_their_owner_alone() {
    let world = World::new();
    let body = json!({"label": "phone", "scopes": ["*"], "ttl": 3600});
    let (id, text) = mint(&world.serve(), &body).await;
    let file = world.data().join("control/tokens.json");
    let stored = std::fs::read_to_string(&file).unwrap();
    assert!(!stored.contains(&text) && !stored.contains(MASTER));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let server = world.serve();
    let info = server
        .stranger()
        .with_token(&text)
        .get("/api/info")
        .await
        .ok();
    let name = info["caller"]["name"].as_str().unwrap();
    assert!(name.contains(&id) && name.contains("phone"), "{name}");
    std::fs::write(&file, "{").unwrap();
    let error = chain(&cib_control::run::assemble(&world.config()).unwrap_err());
    assert!(error.contains("tokens.json is damaged"), "{error}");
}

#[tokio::test]
async fn an_expired_token_opens_nothing_and_its_streams_end() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let body = json!({"label": "short", "scopes": ["*"], "ttl": 1});
    let (_, text) = mint(&server, &body).await;
    let device = server.stranger().with_token(&text);
    let mut stream = device.events(&format!("/sse/sessions/{}", keeper.id)).await;
    assert_eq!(stream.rest().await[0].json()["reason"], "token_expired");
    device.get("/api/info").await.fault(401, "unauthorized");
}

#[tokio::test]
async fn revoking_a_token_ends_its_open_streams_at_once() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a")]);
    let server = world.serve();
    let (id, token) = mint(&server, &json!({"label": "tv", "scopes": ["*"]})).await;
    let device = server.stranger().with_token(&token);
    let mut stream = device.events(&format!("/sse/sessions/{}", keeper.id)).await;
    let mut socket = device
        .socket(&format!("/ws/sessions/{}", keeper.id))
        .await
        .unwrap();
    let mut other = server
        .client()
        .events(&format!("/sse/sessions/{}", keeper.id))
        .await;
    stream.seqs_to(1).await;
    socket.seqs_to(1).await;
    server.client().delete(&format!("/api/tokens/{id}")).await;
    keeper.append(&[text("b")]);
    assert_eq!(
        stream.rest().await[0].json(),
        json!({"reason": "token_revoked", "last_seq": 1})
    );
    assert_eq!(
        socket.next().await,
        Err(Some((4401, "token_revoked".to_owned())))
    );
    assert_eq!(other.seqs_to(2).await, [1, 2]);
}

#[tokio::test]
async fn a_token_cannot_make_one_that_may_more_or_lives_longer() {
    let world = World::new();
    let server = world.serve();
    let body = json!({"label": "admin", "scopes": ["tokens:write", "fs:read"], "ttl": 60});
    let (_, token) = mint(&server, &body).await;
    let admin = server.stranger().with_token(&token);
    let more = json!({"label": "x", "scopes": ["sessions:read"]});
    admin
        .post("/api/tokens", &more)
        .await
        .fault(403, "scope_missing");
    let all = json!({"label": "x", "scopes": ["*"]});
    admin
        .post("/api/tokens", &all)
        .await
        .fault(403, "scope_missing");
    for scope in Scope::ALL {
        let wanted = json!({"label": "x", "scopes": ["tokens:write", scope.as_str()]});
        let answer = admin.post("/api/tokens", &wanted).await;
        match scope {
            Scope::TokensWrite | Scope::FsRead => drop(answer.created()),
            _ => drop(answer.fault(403, "scope_missing")),
        }
    }
    let same = json!({"label": "x", "scopes": ["fs:read"]});
    let made = admin.post("/api/tokens", &same).await.created();
    assert!(made["token"]["expires_at"].is_string());
}

#[tokio::test]
async fn a_token_that_cannot_be_meant_is_refused() {
    let world = World::new();
    let server = world.serve();
    for (body, named) in [
        (json!({"label": "", "scopes": ["*"]}), "`label`"),
        (json!({"label": "x", "scopes": []}), "`scopes`"),
        (
            json!({"label": "x", "scopes": ["sessions:reed"]}),
            "`sessions:reed`",
        ),
        (json!({"label": "x", "scopes": ["*"], "ttl": 0}), "lifetime"),
        (
            json!({"label": "x", "scopes": ["*"], "ttl": 1, "ttl_hours": 1}),
            "`ttl_hours`",
        ),
    ] {
        let detail = server
            .client()
            .post("/api/tokens", &body)
            .await
            .fault(400, "bad_value");
        assert!(detail.contains(named), "{detail}");
    }
}

#[tokio::test]
async fn a_user_of_a_proxy_is_believed_only_from_a_trusted_one_that_knows_the_secret() {
    let world = World::new();
    let server = world.serve();
    let user = |client: Client| client.with_header("x-forwarded-user", "ann");
    user(proxy(&server))
        .get("/api/info")
        .await
        .fault(401, "unauthorized");
    let server = world.serve_with(&behind_a_proxy(&world));
    let info = user(proxy(&server)).get("/api/info").await.ok();
    assert_eq!(info["caller"]["name"], "user \"ann\"");
    user(server.stranger())
        .get("/api/info")
        .await
        .fault(401, "unauthorized");
    let mistaken = user(server.stranger()).with_header("x-cib-proxy-secret", "wrong");
    mistaken.get("/api/info").await.fault(401, "unauthorized");
    proxy(&server)
        .get("/api/info")
        .await
        .fault(401, "unauthorized");
    let wrong = user(proxy(&server)).with_token("wrong");
    wrong.get("/api/info").await.fault(401, "unauthorized");
    let lured = user(proxy(&server)).with_header("origin", "https://evil.example");
    lured.get("/api/info").await.fault(403, "cross_origin");
    let two = user(proxy(&server)).with_header("x_forwarded_user", "root");
    two.get("/api/info").await.fault(400, "bad_value");
    let nobody = proxy(&server).with_header("x-forwarded-user", "");
    nobody.get("/api/info").await.fault(400, "bad_value");
}

#[tokio::test]
async fn a_program_in_the_box_is_no_trusted_proxy_wherever_the_proxies_are() {
    let world = World::new();
    let mut config = world.config();
    config.trusted.networks.push("0.0.0.0/0".parse().unwrap());
    config.trusted.networks.push("::/0".parse().unwrap());
    let server = world.serve_with(&config);
    let agent = server
        .stranger()
        .with_header("x-forwarded-user", "me")
        .with_header("x-forwarded-for", "203.0.113.9");
    let body = json!({"label": "mine", "scopes": ["*"]});
    agent
        .post("/api/tokens", &body)
        .await
        .fault(401, "unauthorized");
    assert_eq!(
        server.client().get("/api/tokens").await.ok(),
        json!({"tokens": []})
    );
}

#[tokio::test]
async fn without_authentication_only_the_boxs_own_pages_are_served() {
    let world = World::new();
    world.write_auth(&ControlAuth {
        disabled: true,
        ..ControlAuth::default()
    });
    let server = world.serve();
    server.stranger().get("/api/sessions").await.ok();
    let lured = server
        .stranger()
        .with_header("origin", "https://evil.example");
    lured.get("/api/sessions").await.fault(403, "cross_origin");
    let rebound = server.stranger().with_header("host", "evil.example:8080");
    rebound
        .get("/api/sessions")
        .await
        .fault(403, "cross_origin");
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a"), text("b")]);
    let server = world.serve();
    let mut stream = server
        .client()
        .events(&format!("/sse/sessions/{}", keeper.id))
        .await;
    stream.seqs_to(2).await;
    let mut socket = server
        .client()
        .socket(&format!("/ws/sessions/{}", keeper.id))
        .await
        .unwrap();
    socket.seqs_to(2).await;
    server.stranger().get("/api/info").await;
    let metrics = async || {
        let answer = server.client().get("/metrics").await;
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let text = metrics().await;
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        "cib_http_requests_total{route=\"info\",status=\"401\"} 1",
        "cib_streams{transport=\"sse\"} 1",
        "cib_streams_opened_total{transport=\"websocket\"} 1",
        "cib_frames_sent_total{transport=\"sse\"} 2",
        "cib_frames_sent_total{transport=\"websocket\"} 2",
        "cib_journals_watched 1",
        "cib_sessions{state=\"idle\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    drop((stream, socket));
    until("the streams are no longer counted", async || {
        let text = metrics().await;
        text.contains("cib_streams{transport=\"sse\"} 0")
            && text.contains("cib_streams{transport=\"websocket\"} 0")
    })
    .await;
}

#[test]
fn a_route_for_sockets_is_read_like_any_other() {
    for route in ROUTES {
        if matches!(route.answer, Answer::Socket | Answer::Events) {
            let wanted = if route.paths[0].starts_with("/api/shells/") {
                Scope::ShellsRead
            } else if route.paths[0].starts_with("/api/tasks/") {
                Scope::TasksRead
            } else {
                Scope::SessionsRead
            };
            assert_eq!(route.access, Access::Scope(wanted), "{}", route.name);
        }
    }
}
