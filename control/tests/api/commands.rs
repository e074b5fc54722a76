//! Commands to sessions, over their keepers' sockets.

use crate::common::world::World;
use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use cib_protocol::session::{Driver, PermissionMode, State};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn each_command_reaches_the_keeper_as_it_was_meant() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let base = format!("/api/sessions/{}", keeper.id);
    let client = server.client();
    let cases = [
        ("/input", json!({"data": "hello\n"}), json!({"bytes": 5})),
        (
            "/input",
            json!({"data": "Gwo=", "encoding": "base64"}),
            json!({"bytes": 2}),
        ),
        (
            "/answer",
            json!({"id": "q1", "answers": {"Which?": "This"}}),
            json!({"id": keeper.id}),
        ),
        ("/interrupt", json!({}), json!({"id": keeper.id})),
        (
            "/model",
            json!({"model": "haiku"}),
            json!({"id": keeper.id, "model": "haiku"}),
        ),
        (
            "/effort",
            json!({"effort": "low"}),
            json!({"id": keeper.id}),
        ),
        (
            "/driver",
            json!({"driver": "tty"}),
            json!({"id": keeper.id}),
        ),
        (
            "/resize",
            json!({"cols": 100, "rows": 30}),
            json!({"id": keeper.id}),
        ),
        (
            "/permission",
            json!({"mode": "acceptEdits"}),
            json!({"id": keeper.id}),
        ),
    ];
    for (route, body, expected) in cases {
        assert_eq!(
            client.post(&format!("{base}{route}"), &body).await.ok(),
            expected
        );
    }
    client
        .request(Method::PATCH, &base, r#"{"title":"New"}"#)
        .await
        .ok();
    assert_eq!(
        keeper.told(),
        [
            KeeperRequest::Input {
                text: "hello".into(),
                id: None,
                command: false,
                images: Vec::new(),
            },
            KeeperRequest::Raw {
                data: "Gwo=".into()
            },
            KeeperRequest::Answer {
                id: "q1".into(),
                answers: [("Which?".into(), "This".into())].into(),
            },
            KeeperRequest::Interrupt,
            KeeperRequest::SetModel {
                model: "haiku".into()
            },
            KeeperRequest::SetEffort {
                effort: "low".into()
            },
            KeeperRequest::SetDriver {
                driver: Driver::Tty
            },
            KeeperRequest::Resize {
                cols: 100,
                rows: 30
            },
            KeeperRequest::SetPermissionMode {
                mode: PermissionMode::AcceptEdits
            },
            KeeperRequest::SetTitle {
                title: "New".into()
            },
        ]
    );
}

#[tokio::test]
async fn what_a_keeper_refuses_is_answered_in_the_apis_own_words() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let input = format!("/api/sessions/{}/input", keeper.id);
    let cases = [
        (KeeperFault::WrongDriver, 409, "wrong_driver"),
        (KeeperFault::NoSuchQuestion, 404, "no_such_question"),
        (KeeperFault::Ending, 409, "session_ended"),
        (KeeperFault::Claude, 502, "claude_refused"),
        (KeeperFault::Busy, 503, "busy"),
        (KeeperFault::Journal, 503, "journal_unwritable"),
        (KeeperFault::BadRequest, 400, "bad_value"),
    ];
    for (code, status, name) in cases {
        keeper.answer(move |_| {
            let detail = "so it is".to_owned();
            Some(KeeperReply::Refused { code, detail })
        });
        let answer = server.client().post(&input, &json!({"data": "x"})).await;
        assert_eq!(answer.fault(status, name), "so it is");
    }
    keeper.end(State::Stopped);
    server
        .client()
        .post(&input, &json!({"data": "x"}))
        .await
        .fault(409, "session_ended");
}

#[tokio::test]
async fn an_input_is_taken_up_to_what_a_keeper_reads_and_no_further() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let input = format!("/api/sessions/{}/input", keeper.id);
    let fits = "x".repeat(cib_protocol::MAX_INPUT_LINE - 100);
    server
        .client()
        .post(&input, &json!({"data": fits}))
        .await
        .ok();
    let line = "x".repeat(cib_protocol::MAX_INPUT_LINE);
    server
        .client()
        .post(&input, &json!({"data": line}))
        .await
        .fault(413, "too_large");
    let body = "x".repeat(16 * 1024 * 1024);
    server
        .client()
        .post(&input, &json!({"data": body}))
        .await
        .fault(413, "too_large");
    let title = json!({"title": "x".repeat(1024 * 1024)});
    server
        .client()
        .post("/api/sessions", &title)
        .await
        .fault(413, "too_large");
    assert_eq!(keeper.told().len(), 1);
}

#[tokio::test]
async fn ending_a_session_waits_for_its_end_and_twice_is_as_once() {
    let world = World::new();
    let server = world.serve();
    let body = json!({"workdir": world.workspace()});
    let session = server.client().post("/api/sessions", &body).await.created();
    let path = format!(
        "/api/sessions/{}?signal=kill",
        session["id"].as_str().unwrap()
    );
    server
        .client()
        .delete(&path.replace("kill", "hup"))
        .await
        .fault(400, "bad_value");
    let init = &world;
    let ending = async {
        crate::common::until("the keeper is told to stop", async || {
            !init.init().keepers[0].told().is_empty()
        })
        .await;
        init.init().keepers[0].end(State::Stopped);
    };
    let client = server.client();
    let (answer, ()) = tokio::join!(client.delete(&path), ending);
    assert_eq!(answer.ok()["state"], "stopped");
    assert_eq!(
        world.init().keepers[0].told(),
        [KeeperRequest::Stop { kill: true }]
    );
    assert_eq!(server.client().delete(&path).await.ok()["state"], "stopped");
}
