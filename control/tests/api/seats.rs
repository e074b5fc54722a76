//! How many sessions and shells may be live at once.

use crate::common::world::World;
use cib_protocol::session::State;
use serde_json::json;

#[tokio::test]
async fn one_session_too_many_is_refused_with_a_reason_also_among_many_at_once() {
    let mut world = World::new();
    world.options.max_sessions = Some(3);
    let server = world.serve();
    let body = json!({"workdir": world.workspace()});
    let client = server.client();
    let asked = (0..12).map(|_| client.post("/api/sessions", &body));
    let answers = futures_util::future::join_all(asked).await;
    let mut started = Vec::new();
    for answer in answers {
        if answer.status.as_u16() == 201 {
            started.push(answer.json()["id"].as_str().unwrap().to_owned());
        } else {
            let detail = answer.fault(409, "too_many_sessions");
            assert!(
                detail.starts_with("3 sessions") && detail.contains("CIB_MAX_SESSIONS"),
                "{detail}"
            );
        }
    }
    assert_eq!((started.len(), world.init().specs.len()), (3, 3));
    // A shell has a seat of its own.
    client
        .post("/api/shells", &json!({"workdir": world.workspace()}))
        .await
        .created();
    let ended = started.remove(0);
    let keeper = {
        let mut init = world.init();
        let at = init
            .keepers
            .iter()
            .position(|keeper| keeper.id.to_string() == ended);
        init.keepers.remove(at.unwrap())
    };
    let mut keeper = keeper;
    keeper.end(State::Stopped);
    client.post("/api/sessions", &body).await.created();
    let again = json!({"resume": ended});
    client
        .post("/api/sessions", &again)
        .await
        .fault(409, "too_many_sessions");
}

#[tokio::test]
async fn shells_have_a_limit_of_their_own() {
    let world = World::new();
    let server = world.serve();
    let body = json!({"workdir": world.workspace()});
    for _ in 0..cib_control::sessions::seats::SHELLS {
        server.client().post("/api/shells", &body).await.created();
    }
    let refused = server.client().post("/api/shells", &body).await;
    refused.fault(409, "too_many_shells");
    server.client().post("/api/sessions", &body).await.created();
}
