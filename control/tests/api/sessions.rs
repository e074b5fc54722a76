//! Sessions: started through init, shown from the disk.

use crate::common::init::Mood;
use crate::common::keeper::text;
use crate::common::world::World;
use cib_protocol::init::InitFault;
use cib_protocol::session::{AuthMode, Driver, PermissionMode, SessionId, State};
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_session_is_started_through_init_with_what_was_asked_for() {
    let world = World::new();
    let server = world.serve();
    let workdir = world.workspace().join("project");
    std::fs::create_dir(&workdir).unwrap();
    let answer = server
        .client()
        .post(
            "/api/sessions",
            &json!({
                "workdir": workdir, "model": "opus", "prompt": "hello", "driver": "tty",
                "effort": "high", "permission_mode": "plan", "api_key": "sk-secret",
                "hooks": {"Stop": [{"hooks": []}]}, "env": {"LANG": "C"}, "tools": {"deny": ["WebFetch"]}, "limits": {"max_turns": 3}, "title": "A title",
            }),
        )
        .await;
    let session = answer.created();
    let spec = world.init().specs[0].clone();
    assert_eq!(session["id"], json!(spec.id));
    assert_eq!(
        answer.headers["location"],
        format!("/api/sessions/{}", spec.id)
    );
    assert_eq!(spec.workdir, workdir);
    assert_eq!(spec.model.as_deref(), Some("opus"));
    assert_eq!(spec.prompt.as_deref(), Some("hello"));
    assert_eq!(spec.driver, Driver::Tty);
    assert_eq!(spec.effort.as_deref(), Some("high"));
    assert_eq!(spec.permission_mode, PermissionMode::Plan);
    assert_eq!(spec.auth_mode, AuthMode::ApiKey);
    assert_eq!(spec.env["ANTHROPIC_API_KEY"].expose(), "sk-secret");
    assert_eq!(spec.env["LANG"].expose(), "C");
    assert_eq!(spec.limits.max_turns, Some(3));
    assert_eq!(spec.hooks.unwrap()["Stop"], json!([{"hooks": []}]));
    assert_eq!(spec.tools.unwrap().deny, ["WebFetch"]);
    assert_eq!(spec.title.as_deref(), Some("A title"));
    assert!(!answer.body.windows(9).any(|bytes| bytes == b"sk-secret"));
}

#[tokio::test]
async fn an_empty_request_starts_a_session_that_may_do_everything() {
    let world = World::new();
    let server = world.serve();
    server
        .client()
        .post("/api/sessions", &json!({}))
        .await
        .created();
    let spec = world.init().specs[0].clone();
    assert_eq!(spec.workdir, world.workspace());
    assert_eq!(spec.permission_mode, PermissionMode::BypassPermissions);
    assert_eq!(
        (spec.driver, spec.auth_mode),
        (Driver::Stream, AuthMode::Auto)
    );
}

#[tokio::test]
async fn where_tools_are_listed_the_others_are_asked_about() {
    let world = World::new();
    let server = world.serve();
    let body = json!({"tools": {"allow": ["Read", "Bash(npm run test:*)"]}});
    server.client().post("/api/sessions", &body).await.created();
    let spec = world.init().specs[0].clone();
    assert_eq!(spec.permission_mode, PermissionMode::Default);
    assert_eq!(spec.tools.unwrap().allow.len(), 2);
}

#[tokio::test]
async fn a_request_that_cannot_be_meant_is_refused_by_name() {
    let world = World::new();
    let server = world.serve();
    let inside = world.workspace();
    let client = server.client();
    let cases: &[(Value, &str, &str)] = &[
        (json!({"workdir": "/etc"}), "workdir_outside", "/etc"),
        (json!({"workdir": "relative"}), "bad_value", "`workdir`"),
        (
            json!({"workdir": inside.join("../x")}),
            "bad_value",
            "`workdir`",
        ),
        (
            json!({"workdir": inside.join("missing")}),
            "bad_value",
            "make it first",
        ),
        (json!([]), "bad_value", "object"),
        (json!({"wrkdir": "/workspace"}), "unknown_field", "`wrkdir`"),
        (
            json!({"limits": {"memroy": 1}}),
            "unknown_field",
            "`memroy`",
        ),
        (json!({"limits": [1, 2]}), "bad_value", "expected an object"),
        (
            json!({"limits": {"memory": 0}}),
            "bad_value",
            "`limits.memory`",
        ),
        (
            json!({"limits": {"cpus": -1.0}}),
            "bad_value",
            "`limits.cpus`",
        ),
        (json!({"model": 7}), "bad_value", "invalid type"),
        (json!({"model": "--help"}), "bad_value", "`model`"),
        (json!({"effort": "huge"}), "bad_value", "`effort`"),
        (json!({"driver": "pty"}), "bad_value", "`pty`"),
        (json!({"title": "a\u{1b}b"}), "bad_value", "`title`"),
        (
            json!({"permission_mode": "plan", "bypass_permissions": true}),
            "bad_value",
            "bypass",
        ),
        (
            json!({"api_key": "a", "oauth_token": "b"}),
            "bad_value",
            "exclude",
        ),
        (
            json!({"api_key": "a", "auth_mode": "subscription"}),
            "bad_value",
            "`auth_mode`",
        ),
        (json!({"api_key": "a\nb"}), "bad_value", "`api_key`"),
        (json!({"hooks": {"Stop": {}}}), "bad_value", "`hooks.Stop`"),
        (
            json!({"hooks": {"Stop": ["x"]}}),
            "bad_value",
            "`hooks.Stop`",
        ),
        (json!({"hooks": []}), "bad_value", "invalid type"),
        (
            json!({"tools": ["Read"]}),
            "bad_value",
            "expected an object",
        ),
        (
            json!({"tools": {"allow": [" "]}}),
            "bad_value",
            "`tools.allow`",
        ),
        (
            json!({"tools": {"deny": ["a\nb"]}}),
            "bad_value",
            "`tools.deny`",
        ),
        (json!({"env": {"A=B": "c"}}), "bad_value", "`env`"),
        (
            json!({"env": {"LD_PRELOAD": "/workspace/x.so"}}),
            "bad_value",
            "`LD_PRELOAD`",
        ),
        (
            json!({"env": {"PATH": "/workspace"}}),
            "bad_value",
            "`PATH`",
        ),
        (
            json!({"env": {"CIB_AUTH_TOKEN": "c"}}),
            "bad_value",
            "`CIB_AUTH_TOKEN`",
        ),
        (json!({"resume": "not-a-uuid"}), "bad_value", "UUID"),
    ];
    for (body, code, named) in cases {
        let mut body = body.clone();
        if body.is_object() && body.get("workdir").is_none() {
            body["workdir"] = json!(inside);
        }
        let detail = client.post("/api/sessions", &body).await.fault(400, code);
        assert!(detail.contains(named), "{named} is not in: {detail}");
    }
    assert!(world.init().specs.is_empty());
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let world = World::new();
    let server = world.serve();
    for body in [
        "",
        "{",
        "{} {}",
        "[1,2",
        "{\"a\":\u{1}}",
        "hello",
        "\u{feff}{}",
    ] {
        let answer = server
            .client()
            .request(Method::POST, "/api/sessions", body)
            .await;
        answer.fault(400, "bad_json");
    }
    let bytes: &[u8] = b"{\"title\":\"\xff\"}";
    let answer = server
        .client()
        .request(Method::POST, "/api/sessions", bytes)
        .await;
    answer.fault(400, "bad_json");
}

#[tokio::test]
async fn what_init_refuses_is_answered_in_the_apis_own_words() {
    let world = World::new();
    let server = world.serve();
    let cases = [
        (InitFault::KeeperFailed, 502, "keeper_failed"),
        (InitFault::NotNow, 503, "not_now"),
        (InitFault::SessionExists, 409, "session_running"),
        (InitFault::Forbidden, 500, "internal"),
        (InitFault::Internal, 500, "internal"),
    ];
    let body = json!({"workdir": world.workspace()});
    for (refusal, status, code) in cases {
        world.init().mood = Mood::Refusing(refusal);
        server
            .client()
            .post("/api/sessions", &body)
            .await
            .fault(status, code);
    }
    world.init().mood = Mood::Garbled;
    let detail = server
        .client()
        .post("/api/sessions", &body)
        .await
        .fault(500, "internal");
    assert!(!detail.contains("sock"), "{detail}");
}

#[tokio::test]
async fn without_init_sessions_are_shown_but_not_started() {
    let world = World::without_init();
    let keeper = world.keeper();
    let server = world.serve();
    let body = json!({"workdir": world.workspace()});
    server
        .client()
        .post("/api/sessions", &body)
        .await
        .fault(503, "init_unreachable");
    let session = server
        .client()
        .get(&format!("/api/sessions/{}", keeper.id))
        .await
        .ok();
    assert_eq!(session["state"], "idle");
    let health = server.stranger().get("/api/health").await.ok();
    assert_eq!(health["status"], "degraded");
    let info = server.client().get("/api/info").await.ok();
    assert_eq!(info["phase"], "unknown");
    assert_eq!(info["sessions"], json!({"total": 1, "live": 1}));
}

#[tokio::test]
async fn sessions_are_listed_from_the_disk_the_newest_first() {
    let world = World::new();
    let mut keepers = [world.keeper(), world.keeper(), world.keeper()];
    for (age, keeper) in keepers.iter_mut().enumerate() {
        keeper.set_meta(|meta| {
            let millis = 1_000_000 - i64::try_from(age).unwrap();
            meta.created_at = cib_protocol::time::Timestamp::from_millis(millis);
        });
    }
    std::fs::create_dir(world.data().join("sessions/lost+found")).unwrap();
    std::fs::create_dir(
        world
            .data()
            .join("sessions")
            .join(SessionId::new_v4().to_string()),
    )
    .unwrap();
    let beside = keepers[0].dir().join("meta.json");
    std::fs::write(beside, "").unwrap();
    let server = world.serve();
    let list = server.client().get("/api/sessions").await.ok();
    let ids: Vec<_> = list["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["id"].clone())
        .collect();
    assert_eq!(
        ids,
        keepers
            .iter()
            .map(|keeper| json!(keeper.id))
            .collect::<Vec<_>>()
    );
    // By parts, too.
    let first = server.client().get("/api/sessions?limit=2").await.ok();
    assert_eq!(first["sessions"][1]["id"], ids[1]);
    assert_eq!(first["sessions"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let path = format!("/api/sessions?limit=2&after={next}");
    let rest = server.client().get(&path).await.ok();
    assert_eq!(rest["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(rest["sessions"][0]["id"], ids[2]);
    assert_eq!(rest["next"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_session_whose_keeper_was_killed_is_shown_as_interrupted() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a"), text("b")]);
    let server = world.serve();
    let path = format!("/api/sessions/{}", keeper.id);
    let session = server.client().get(&path).await.ok();
    assert_eq!(
        (&session["state"], &session["last_seq"]),
        (&json!("idle"), &json!(2))
    );
    keeper.vanish();
    let session = server.client().get(&path).await.ok();
    assert_eq!(session["state"], "interrupted");
    assert_eq!(session["reason"], "the keeper is gone");
}

#[tokio::test]
async fn an_unknown_session_is_not_found_on_any_route() {
    let world = World::new();
    let server = world.serve();
    let unknown = SessionId::new_v4().to_string();
    for id in [&*unknown, "not-a-uuid", "..%2f..%2fetc"] {
        let base = format!("/api/sessions/{id}");
        let client = server.client();
        client.get(&base).await.fault(404, "no_such_session");
        client.delete(&base).await.fault(404, "no_such_session");
        for route in ["/transcript", "/events", "/usage", "/chat"] {
            client
                .get(&format!("{base}{route}"))
                .await
                .fault(404, "no_such_session");
        }
        for (route, body) in [
            ("/input", json!({"data": "x"})),
            ("/send", json!({"prompt": "x"})),
            ("/answer", json!({"id": "q"})),
            ("/interrupt", json!(null)),
            ("/model", json!({"model": "opus"})),
            ("/driver", json!({"driver": "tty"})),
            ("/resize", json!({"cols": 80, "rows": 24})),
            ("/permission", json!({"mode": "plan"})),
        ] {
            client
                .post(&format!("{base}{route}"), &body)
                .await
                .fault(404, "no_such_session");
        }
    }
}

#[tokio::test]
async fn usage_is_what_the_keeper_has_counted() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.set_meta(|meta| {
        meta.usage.output = 42;
        meta.turns = 2;
        meta.limits.max_turns = Some(9);
    });
    let server = world.serve();
    let usage = server
        .client()
        .get(&format!("/api/sessions/{}/usage", keeper.id))
        .await
        .ok();
    assert_eq!(usage["usage"]["output"], 42);
    assert_eq!(
        (&usage["turns"], &usage["limits"]["max_turns"]),
        (&json!(2), &json!(9))
    );
}

#[tokio::test]
async fn what_a_live_session_uses_is_asked_of_its_keeper_and_an_ended_ones_read() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("x")]);
    keeper.set_meta(|meta| meta.resources.pids = Some(1));
    keeper.say_fresh(|meta| {
        meta.resources.pids = Some(7);
        meta.resources.memory = Some(4096);
    });
    let server = world.serve();
    let path = format!("/api/sessions/{}", keeper.id);
    let usage = server.client().get(&format!("{path}/usage")).await.ok();
    assert_eq!(usage["resources"]["pids"], 7);
    assert_eq!(usage["resources"]["memory"], 4096);
    let session = server.client().get(&path).await.ok();
    assert_eq!(session["resources"]["pids"], 7);
    assert_eq!(session["last_seq"], 1);
    keeper.end(State::Stopped);
    let usage = server.client().get(&format!("{path}/usage")).await.ok();
    assert_eq!(usage["resources"]["pids"], 1);
}
