//! Claude's login over the API. The real CLI is met in `session/tests/host_session/login.rs`.

use crate::common::init::Mood;
use crate::common::until;
use crate::common::world::World;
use cib_protocol::api::{LoginCode, LoginMethod, StartLogin};
use cib_protocol::init::InitFault;
use cib_protocol::login::{LoginFault, LoginRequest};
use cib_protocol::secret::Secret;
use http::Method;
use serde_json::json;

const BASE: &str = "/api/auth/claude";

#[tokio::test]
async fn the_keeper_of_logins_is_started_when_it_is_asked_and_again_when_it_has_gone() {
    let world = World::new();
    let server = world.serve();
    let status = format!("{BASE}/status");
    let login = server.client().get(&status).await.ok();
    assert_eq!(login["logged_in"], true);
    assert_eq!(login["email"], "person@example.com");
    server.client().get(&status).await.ok();
    assert_eq!(world.init().logins.len(), 1, "one is enough");
    world.init().logins[0].go();
    let socket = world.init().logins[0].socket().to_owned();
    until("nobody listens", async || {
        tokio::net::UnixStream::connect(&socket).await.is_err()
    })
    .await;
    server.client().get(&status).await.ok();
    assert_eq!(world.init().logins.len(), 2);
}

#[tokio::test]
async fn each_route_asks_what_it_says() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let post = async |what: &str, body: &str| {
        let path = format!("{BASE}/{what}");
        let answer = client.request(Method::POST, &path, body.to_owned()).await;
        answer.ok()
    };
    post("start", "").await;
    post(
        "start",
        r#"{"method": "console", "email": "a@b", "sso": true}"#,
    )
    .await;
    post("code", r#"{"code": "abc#def"}"#).await;
    post("cancel", "").await;
    post("logout", "").await;
    let console = StartLogin {
        method: LoginMethod::Console,
        email: Some("a@b".to_owned()),
        sso: true,
        console: false,
    };
    let code = LoginCode {
        code: Secret::new("abc#def"),
        flow_id: None,
    };
    assert_eq!(
        world.init().logins[0].asked(),
        [
            LoginRequest::Start(StartLogin::default()),
            LoginRequest::Start(console),
            LoginRequest::Code(code),
            LoginRequest::Cancel {},
            LoginRequest::Logout {},
        ]
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_meant_reaches_nobody() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let start = format!("{BASE}/start");
    let code = format!("{BASE}/code");
    for (path, body, fault) in [
        (&start, json!({"method": "bedrock"}), "bad_value"),
        (&start, json!({"mail": "a@b"}), "unknown_field"),
        (&start, json!(["console"]), "bad_value"),
        (&code, json!({}), "bad_value"),
        (&code, json!({"code": 7}), "bad_value"),
        (&code, json!({"code": "a", "state": "b"}), "unknown_field"),
    ] {
        client.post(path, &body).await.fault(400, fault);
    }
    client
        .request(Method::POST, &code, "")
        .await
        .fault(400, "bad_json");
    let long = json!({"code": "x".repeat(100_000)});
    client.post(&code, &long).await.fault(413, "too_large");
    assert!(world.init().logins.is_empty());
}

#[tokio::test]
async fn what_the_keeper_of_logins_refuses_is_answered_in_the_apis_own_words() {
    let world = World::new();
    let server = world.serve();
    let status = format!("{BASE}/status");
    server.client().get(&status).await.ok();
    for (fault, http, code) in [
        (LoginFault::BadRequest, 400, "bad_value"),
        (LoginFault::Running, 409, "login_running"),
        (LoginFault::NotWaiting, 409, "no_login"),
        (LoginFault::Claude, 502, "claude_refused"),
    ] {
        world.init().logins[0].refuse(fault);
        let detail = server.client().get(&status).await.fault(http, code);
        assert_eq!(detail, "because the test wants it");
    }
}

#[tokio::test]
async fn a_box_that_is_not_up_keeps_no_logins() {
    let world = World::new();
    let server = world.serve();
    world.init().mood = Mood::Refusing(InitFault::NotNow);
    let status = format!("{BASE}/status");
    server.client().get(&status).await.fault(503, "not_now");
    let alone = World::without_init();
    let server = alone.serve();
    let answer = server.client().get(&status).await;
    answer.fault(503, "init_unreachable");
}
