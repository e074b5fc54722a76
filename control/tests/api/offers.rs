//! Models and commands over the API: what a session's Claude says, and what is known when none does.

use crate::common::keeper::{self, Keeper};
use crate::common::world::World;
use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use cib_protocol::offers::{Command, Model, Offers};
use cib_protocol::session::State;
use serde_json::json;

pub(crate) fn says(keeper: &Keeper, model: &str, command: &str) {
    let offers = Offers {
        models: vec![Model {
            value: model.to_owned(),
            name: model.to_uppercase(),
            ..Model::default()
        }],
        commands: vec![Command {
            name: command.to_owned(),
            ..Command::default()
        }],
        claude_version: Some("2.1.330".to_owned()),
    };
    keeper.answer(move |request| {
        Some(match request {
            KeeperRequest::Offers => KeeperReply::Offers(Box::new(offers.clone())),
            _ => KeeperReply::Done,
        })
    });
}

#[tokio::test]
async fn models_are_those_that_a_session_tells_and_are_known_when_none_lives() {
    let world = World::new();
    let server = world.serve();
    let nothing = server.client().get("/api/models").await.ok();
    assert_eq!(nothing, json!({"models": []}));
    let mut keeper = world.keeper();
    says(&keeper, "opus", "compact");
    let told = server.client().get("/api/models").await.ok();
    assert_eq!(told["models"][0]["value"], "opus");
    assert_eq!(told["models"][0]["name"], "OPUS");
    assert_eq!(told["claude_version"], "2.1.330");
    keeper.end(State::Stopped);
    drop(server);
    let server = world.serve();
    let kept = server.client().get("/api/models").await.ok();
    assert_eq!(kept, told);
}

#[tokio::test]
async fn commands_are_the_sessions_own_where_it_tells_them() {
    let world = World::new();
    let server = world.serve();
    let keeper = world.keeper();
    says(&keeper, "opus", "compact");
    let path = format!("/api/sessions/{}/commands", keeper.id);
    let own = server.client().get(&path).await.ok();
    assert_eq!(own, json!({"commands": [{"name": "compact"}], "own": true}));
    let mut spec = keeper::spec();
    spec.driver = cib_protocol::session::Driver::Tty;
    let terminal = world.keeper_of(&spec);
    says(&terminal, "other", "other");
    let path = format!("/api/sessions/{}/commands", terminal.id);
    let of_another = server.client().get(&path).await.ok();
    assert_eq!(
        of_another,
        json!({"commands": [{"name": "compact"}], "own": false})
    );
    let path = format!(
        "/api/sessions/{}/commands",
        cib_protocol::session::Uuid::nil()
    );
    server
        .client()
        .get(&path)
        .await
        .fault(404, "no_such_session");
}

#[tokio::test]
async fn a_keeper_that_does_not_know_or_does_not_answer_takes_nothing_away() {
    let world = World::new();
    let server = world.serve();
    let silent = world.keeper();
    silent.answer(|_| None);
    let old = world.keeper();
    old.answer(|_| {
        Some(KeeperReply::Refused {
            code: KeeperFault::BadRequest,
            detail: "what is that?".to_owned(),
        })
    });
    let knows = world.keeper();
    says(&knows, "opus", "compact");
    let told = server.client().get("/api/models").await.ok();
    assert_eq!(told["models"][0]["value"], "opus");
    for id in [silent.id, old.id] {
        let path = format!("/api/sessions/{id}/commands");
        let told = server.client().get(&path).await.ok();
        assert_eq!(told["own"], false);
        assert_eq!(told["commands"][0]["name"], "compact");
    }
}
