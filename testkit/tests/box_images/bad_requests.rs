//! Requests that the API cannot serve, each refused with its status, its code and a sentence.

use std::time::Duration;

use cib_testkit::client::{BoxClient, Reply};
use cib_testkit::engine::{Container, Engine, Network};
use cib_testkit::lab::{Lab, TOKEN};
use serde_json::json;

const BOOT: Duration = Duration::from_secs(60);
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

#[track_caller]
fn assert_refused(reply: &Reply, status: u16, code: &str) {
    let body = reply.expect(status);
    assert_eq!(body["error"], code, "{body}");
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{body}"
    );
    assert!(!reply.body.contains(TOKEN), "the token is in {body}");
}

fn booted() -> (Lab, Container, BoxClient) {
    let lab = Lab::new();
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let api = lab.api();
    (lab, cage, api)
}

#[test]
fn only_health_answers_without_the_right_token() {
    let (lab, cage, _) = booted();
    for token in [None, Some("wrong-token-0123456789"), Some("")] {
        let api = lab.api().with_token(token);
        assert_eq!(api.get("/api/health").unwrap().status, 200);
        assert_refused(&api.get("/api/sessions").unwrap(), 401, "unauthorized");
        let body = json!({"workdir": "/workspace", "prompt": "@text no"});
        assert_refused(
            &api.post("/api/sessions", &body).unwrap(),
            401,
            "unauthorized",
        );
    }
    assert!(
        !cage.logs().contains("wrong-token"),
        "a wrong token is in the log"
    );
}

#[test]
fn what_is_not_a_request_is_refused_and_starts_nothing() {
    let (_lab, _cage, api) = booted();
    let post = |body: &str| {
        let body = body.to_owned().into();
        api.send(hyper::Method::POST, "/api/sessions", body)
            .unwrap()
    };
    assert_refused(&post("{\"workdir\": "), 400, "bad_json");
    assert_refused(&post("prompt=hello"), 400, "bad_json");
    assert_refused(&post("{\"workdri\": \"/workspace\"}"), 400, "unknown_field");
    let large = format!("{{\"prompt\": \"{}\"}}", "x".repeat(9 << 20));
    assert_refused(&post(&large), 413, "too_large");
    for workdir in ["/etc", "/", "/workspace/../etc", "workspace"] {
        let reply = api
            .post("/api/sessions", &json!({"workdir": workdir}))
            .unwrap();
        let code = if workdir.starts_with('/') && !workdir.contains("..") {
            "workdir_outside"
        } else {
            "bad_value"
        };
        assert_refused(&reply, 400, code);
    }
    let list = api.get("/api/sessions").unwrap();
    assert!(
        !list.body.contains("\"id\""),
        "a session was made: {}",
        list.body
    );
}

#[test]
fn an_unknown_session_is_not_found_whatever_is_asked_of_it() {
    let (_lab, _cage, api) = booted();
    for session in [NOBODY, "not-an-id"] {
        let path = format!("/api/sessions/{session}");
        assert_refused(&api.get(&path).unwrap(), 404, "no_such_session");
        assert_refused(&api.delete(&path).unwrap(), 404, "no_such_session");
        let transcript = api.get(&format!("{path}/transcript")).unwrap();
        assert_refused(&transcript, 404, "no_such_session");
        let input = api
            .post(&format!("{path}/input"), &json!({"data": "hi"}))
            .unwrap();
        assert_refused(&input, 404, "no_such_session");
        assert_eq!(api.events(session, 0).unwrap().status(), 404);
    }
    assert_refused(&api.get("/api/nothing").unwrap(), 404, "no_such_route");
}

#[test]
fn without_authentication_the_api_is_on_the_boxs_own_loopback_alone() {
    let engine = Engine::get();
    let net = Network::private(engine);
    let cage = engine
        .a_box()
        .on(&net, 3)
        .env("CIB_AUTH_DISABLED", "1")
        .start();
    cage.wait_healthy(BOOT);
    let health = ["curl", "-sS", "--fail", "--max-time", "5"];
    let own = cage.exec(&[&health[..], &["http://127.0.0.1:8080/api/sessions"]].concat());
    assert_eq!(own.code, 0, "{}", own.stderr);
    let outside = format!("http://{}:8080/api/health", net.addr(3));
    let own = cage.exec(&[&health[..], &[&outside]].concat());
    assert_ne!(own.code, 0, "it also listens on {outside}");
    assert!(
        cage.logs().contains("CIB_AUTH_DISABLED"),
        "no warning:\n{}",
        cage.logs()
    );
}
