//! Sessions that go on: in the same journal, or as a copy.

use crate::common::world::World;
use cib_protocol::session::{Driver, SessionId, State};
use serde_json::json;

#[tokio::test]
async fn resuming_continues_the_same_session_as_it_was() {
    let world = World::new();
    let mut keeper = world.keeper();
    let claude = SessionId::new_v4();
    let workdir = world.workspace();
    keeper.set_meta(|meta| {
        meta.workdir.clone_from(&workdir);
        meta.claude_session = Some(claude);
        meta.driver = Driver::Tty;
        meta.title = Some("Old".into());
        meta.model = Some("opus".into());
    });
    let server = world.serve();
    let resume = json!({"resume": keeper.id});
    let client = server.client();
    client
        .post("/api/sessions", &resume)
        .await
        .fault(409, "session_running");
    keeper.end(State::Stopped);
    let session = client.post("/api/sessions", &resume).await.created();
    assert_eq!(session["id"], json!(keeper.id));
    let spec = world.init().specs[0].clone();
    let conversation = spec.resume.unwrap();
    assert_eq!(
        (conversation.claude_session, conversation.fork),
        (claude, false)
    );
    assert_eq!(
        (spec.id, spec.workdir, spec.driver),
        (keeper.id, workdir, Driver::Tty)
    );
    assert_eq!(
        (spec.title.as_deref(), spec.model.as_deref()),
        (Some("Old"), Some("opus"))
    );
}

#[tokio::test]
async fn resuming_from_a_session_makes_a_copy_under_a_new_id() {
    let world = World::new();
    let mut keeper = world.keeper();
    let workdir = world.workspace();
    keeper.set_meta(|meta| meta.workdir.clone_from(&workdir));
    let server = world.serve();
    let client = server.client();
    let from = json!({"resume_from": keeper.id});
    let session = client.post("/api/sessions", &from).await.created();
    assert_ne!(session["id"], json!(keeper.id));
    assert!(world.init().specs[0].resume.as_ref().unwrap().fork);
    let foreign = SessionId::new_v4();
    let from = json!({"resume_from": foreign, "workdir": workdir});
    client.post("/api/sessions", &from).await.created();
    let conversation = world.init().specs[1].resume.clone().unwrap();
    assert_eq!(
        (conversation.claude_session, conversation.fork),
        (foreign, true)
    );
}

#[tokio::test]
async fn a_session_without_a_conversation_cannot_be_resumed() {
    let world = World::new();
    let mut keeper = world.keeper();
    let workdir = world.workspace();
    keeper.set_meta(|meta| {
        meta.workdir = workdir;
        meta.claude_session = None;
    });
    keeper.end(State::Failed);
    let server = world.serve();
    let client = server.client();
    let resume = json!({"resume": keeper.id});
    client
        .post("/api/sessions", &resume)
        .await
        .fault(409, "nothing_to_resume");
    let unknown = json!({"resume": SessionId::new_v4()});
    client
        .post("/api/sessions", &unknown)
        .await
        .fault(404, "no_such_session");
    let both = json!({"resume": keeper.id, "resume_from": keeper.id});
    client
        .post("/api/sessions", &both)
        .await
        .fault(400, "bad_value");
}
