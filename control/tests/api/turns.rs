//! Conversations: a message and its answer, and turns that a restart cut short.

use crate::common::keeper::{Keeper, text};
use crate::common::until;
use crate::common::world::World;
use cib_control::sessions::revive::{boot_name, revive};
use cib_protocol::frame::{By, Data, Role, Stop, Text};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::State;
use serde_json::json;

fn from_user(words: &str) -> Data {
    Data::Text(Text {
        text: words.to_owned(),
        role: Role::User,
        ..Text::default()
    })
}

fn turn_end() -> Data {
    Data::Stop(Stop {
        reason: "turn_end".to_owned(),
        ..Stop::default()
    })
}

/// The end of a turn of somebody, with the messages that it answered.
fn turn_of(by: By, messages: &[&str]) -> Data {
    Data::Stop(Stop {
        reason: "turn_end".to_owned(),
        by: Some(by),
        messages: messages.iter().map(|id| (*id).to_owned()).collect(),
        ..Stop::default()
    })
}

fn send(keeper: &Keeper) -> String {
    format!("/api/sessions/{}/send", keeper.id)
}

#[tokio::test]
async fn a_message_is_answered_by_its_turn_and_nothing_before_it() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("long ago"), turn_end()]);
    let server = world.serve();
    let client = server.client();
    let path = send(&keeper);
    let body = json!({"prompt": "go"});
    let turn = async {
        until("the keeper is told", async || !keeper.told().is_empty()).await;
        keeper.append(&[from_user("go"), text("I "), text("went")]);
        keeper.append(&[turn_end(), text("afterwards")]);
    };
    let (answer, ()) = tokio::join!(client.post(&path, &body), turn);
    let chat = answer.ok();
    assert_eq!(chat["stop"], "turn_end");
    assert_eq!(
        chat["messages"][0],
        json!({"seq": 3, "role": "user", "text": "go"})
    );
    assert_eq!(chat["messages"][1]["text"], "I went");
    assert_eq!(chat["last_seq"], 6);
    assert!(chat.get("partial").is_none());
    let told = keeper.told();
    let [
        KeeperRequest::Input {
            text, id, command, ..
        },
    ] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    assert_eq!((text.as_str(), id.is_some(), *command), ("go", true, false));
}

#[tokio::test]
async fn a_message_is_answered_by_the_turn_that_names_it_and_by_no_other() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let client = server.client();
    let path = send(&keeper);
    let body = json!({"prompt": "go"});
    let turn = async {
        until("the keeper is told", async || !keeper.told().is_empty()).await;
        let told = keeper.told();
        let [KeeperRequest::Input { id: Some(id), .. }] = told.as_slice() else {
            panic!("{told:?}");
        };
        let id = id.to_string();
        keeper.append(&[text("something ended"), turn_of(By::Claude, &[])]);
        keeper.append(&[text("for another"), turn_of(By::User, &["another"])]);
        keeper.append(&[text("for you"), turn_of(By::User, &["one more", &id])]);
    };
    let (answer, ()) = tokio::join!(client.post(&path, &body), turn);
    let chat = answer.ok();
    assert_eq!(chat["stop"], "turn_end");
    assert_eq!(chat["last_seq"], 6);
}

#[tokio::test]
async fn a_turn_that_asks_is_answered_with_the_question() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let question: Data = serde_json::from_value(json!({"kind": "ask.question", "data": {
        "id": "q1", "prompt": "Which?", "options": [], "multiSelect": false, "questions": [],
    }}))
    .unwrap();
    let client = server.client();
    let path = send(&keeper);
    let body = json!({"prompt": "go"});
    let turn = async {
        until("the keeper is told", async || !keeper.told().is_empty()).await;
        keeper.append(&[question]);
    };
    let (answer, ()) = tokio::join!(client.post(&path, &body), turn);
    assert_eq!(answer.ok()["question"], "q1");
}

#[tokio::test]
async fn a_turn_that_takes_too_long_is_answered_in_part() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    keeper.answer(|_| Some(cib_protocol::keeper::KeeperReply::Done));
    keeper.append(&[text("before")]);
    let body = json!({"prompt": "go", "timeout_ms": 50});
    let answer = server.client().post(&send(&keeper), &body).await;
    assert_eq!(answer.status.as_u16(), 408);
    let chat = answer.json();
    assert_eq!(
        (&chat["partial"], &chat["messages"]),
        (&json!(true), &json!([]))
    );
    let body = json!({"prompt": "go", "timeout_ms": 300_001});
    server
        .client()
        .post(&send(&keeper), &body)
        .await
        .fault(400, "bad_value");
}

#[tokio::test]
async fn a_chat_is_read_from_where_the_client_was() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[from_user("hi"), text("hello"), turn_end(), from_user("bye")]);
    let server = world.serve();
    let path = format!("/api/sessions/{}/chat", keeper.id);
    let chat = server.client().get(&path).await.ok();
    assert_eq!(chat["messages"].as_array().unwrap().len(), 3);
    assert_eq!(chat["last_seq"], 4);
    let chat = server.client().get(&format!("{path}?since=2")).await.ok();
    assert_eq!(
        chat["messages"],
        json!([{"seq": 4, "role": "user", "text": "bye"}])
    );
}

#[tokio::test]
async fn what_a_restart_of_the_box_interrupted_is_resumed_once() {
    let world = World::new();
    let workdir = world.workspace();
    let ended = |state, ended_in| {
        let mut keeper = world.keeper();
        let workdir = workdir.clone();
        keeper.set_meta(|meta| {
            meta.ended_in = ended_in;
            meta.workdir = workdir;
        });
        keeper.end(state);
        keeper
    };
    let working = ended(State::Interrupted, Some(State::Working));
    let _idle = ended(State::Interrupted, Some(State::Idle));
    let _stopped = ended(State::Stopped, Some(State::Working));
    let server = world.serve();
    let mark = world.path().join("boot");
    revive(server.app.clone(), "first boot", &mark).await;
    let specs: Vec<_> = world.init().specs.iter().map(|spec| spec.id).collect();
    assert_eq!(specs, [working.id]);
    assert!(world.init().specs[0].prompt.is_some());
    // It is interrupted again, but the box has not been restarted.
    world.init().keepers[0].become_state(State::Working);
    world.init().keepers[0].end(State::Interrupted);
    revive(server.app.clone(), "first boot", &mark).await;
    assert_eq!(world.init().specs.len(), 1);
    revive(server.app.clone(), "second boot", &mark).await;
    assert_eq!(world.init().specs.len(), 2);
}

#[test]
fn a_boot_has_one_name() {
    let name = boot_name().unwrap();
    assert_eq!(name, boot_name().unwrap());
    assert!(name.split(' ').count() == 2 && name.len() > 37, "{name}");
}
