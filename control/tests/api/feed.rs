//! The stream of the whole box: what changes, for whom, and from where on.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;

use crate::common::client::{Client, Events, Socket};
use crate::common::keeper::text;
use crate::common::soon;
use crate::common::world::{Server, World};
use cib_protocol::frame::{AskAnswer, AskQuestion, Data, Stop, Todo, TodoUpdate};
use cib_protocol::limits::{Resources, Usage};
use cib_protocol::session::State;
use serde_json::{Value, json};

/// The next event of the box that is no comment, checked against its envelope.
async fn next(stream: &mut Events) -> Value {
    let (id, event, data) = soon(stream.raw()).await;
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (data["cursor"].as_str(), data["event"].as_str()),
        (Some(&*id), Some(&*event))
    );
    data
}

/// Events until one of a session is as wanted.
async fn until(stream: &mut Events, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let event = next(stream).await;
        if event["event"] == "session" && wanted(&event["data"]["session"]) {
            return event;
        }
    }
}

async fn listen(client: &Client, query: &str) -> Events {
    client.events(&format!("/api/events?{query}")).await
}

async fn token(server: &Server, scopes: &[&str]) -> Client {
    let body = json!({"label": "x", "scopes": scopes});
    let made = server.client().post("/api/tokens", &body).await.created();
    server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap())
}

fn question(id: &str, prompt: &str) -> Data {
    Data::AskQuestion(AskQuestion {
        id: id.to_owned(),
        prompt: prompt.to_owned(),
        options: Vec::new(),
        multi_select: false,
        questions: Vec::new(),
        tool: None,
        tool_use_id: None,
    })
}

#[tokio::test]
async fn everything_is_told_first_and_then_what_changes_and_nothing_for_mere_text() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut stream = listen(&server.client(), "").await;
    let first = next(&mut stream).await;
    assert_eq!(first["event"], "snapshot");
    assert_eq!(
        first["data"]["sessions"][0]["session"]["id"],
        json!(keeper.id)
    );
    assert_eq!(first["data"]["sessions"][0]["session"]["state"], "idle");
    assert!(first["data"]["box"]["phase"].is_string());
    keeper.append(&[text("a"), text("b")]);
    keeper.become_state(State::Working);
    let told = until(&mut stream, |session| session["state"] == "working").await;
    assert_eq!(told["data"]["session"]["last_seq"], 3);
    let list = TodoUpdate {
        items: vec![
            Todo {
                id: "1".to_owned(),
                subject: "Write it".to_owned(),
                status: "in_progress".to_owned(),
                active_form: Some("Writing it".to_owned()),
            },
            Todo {
                id: "2".to_owned(),
                subject: "Test it".to_owned(),
                status: "pending".to_owned(),
                active_form: None,
            },
        ],
    };
    keeper.append(&[Data::TodoUpdate(list)]);
    let told = until(&mut stream, |session| session.get("todo").is_some()).await;
    let todo = json!({"doing": "Writing it", "done": 0, "total": 2});
    assert_eq!(told["data"]["session"]["todo"], todo);
    keeper.append(&[Data::Usage(Usage {
        input: 7,
        ..Usage::default()
    })]);
    until(&mut stream, |session| session["usage"]["input"] == 7).await;
    keeper.end(State::Stopped);
    until(&mut stream, |session| session["state"] == "stopped").await;
}

#[tokio::test]
async fn open_questions_are_told_until_each_of_them_is_answered() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut stream = listen(&server.client(), "").await;
    next(&mut stream).await;
    keeper.append(&[question("q1", "One?"), question("q2", &"é".repeat(900))]);
    keeper.become_state(State::WaitingForInput);
    let open = |count: usize| {
        move |session: &Value| {
            let open = session["open_questions"].as_array();
            open.map_or(0, Vec::len) == count
        }
    };
    let told = until(&mut stream, open(2)).await;
    let asked = &told["data"]["session"]["open_questions"];
    assert_eq!(
        (&asked[0]["id"], &asked[0]["prompt"]),
        (&json!("q1"), &json!("One?"))
    );
    assert_eq!(asked[1]["prompt"], "é".repeat(200));
    keeper.append(&[Data::AskAnswer(AskAnswer {
        id: "q1".to_owned(),
        answers: Some(BTreeMap::new()),
        by: Some("ann".to_owned()),
    })]);
    let told = until(&mut stream, open(1)).await;
    assert_eq!(told["data"]["session"]["open_questions"][0]["id"], "q2");
    let listed = server.client().get("/api/sessions").await.ok();
    assert_eq!(listed["sessions"][0]["open_questions"][0]["id"], "q2");
    // Journals of old say no more than that nobody is waited for.
    keeper.become_state(State::Working);
    until(&mut stream, open(0)).await;
}

#[tokio::test]
async fn who_was_away_gets_what_changed_meanwhile_and_everything_if_that_is_not_known() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut other = listen(&server.client(), "").await;
    next(&mut other).await;
    let mut stream = listen(&server.client(), "").await;
    let cursor = next(&mut stream).await["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    drop(stream);
    keeper.become_state(State::Working);
    until(&mut other, |session| session["state"] == "working").await;
    let client = server.client();
    let mut again = listen(&client, &format!("cursor={cursor}")).await;
    let told = next(&mut again).await;
    assert_eq!(
        (&told["event"], &told["data"]["session"]["state"]),
        (&json!("session"), &json!("working"))
    );
    let mut again = listen(&client.clone().with_header("last-event-id", &cursor), "").await;
    assert_eq!(next(&mut again).await["event"], "session");
    for nonsense in ["x", "0-0", "ffffffffffffffffffffffffffffffff-3"] {
        let mut again = listen(&client, &format!("cursor={nonsense}")).await;
        assert_eq!(next(&mut again).await["event"], "snapshot", "{nonsense}");
    }
}

#[tokio::test]
async fn each_caller_is_told_what_it_may_read_and_no_more() {
    let world = World::new();
    let mut session = world.keeper();
    let server = world.serve();
    let shells = token(&server, &["shells:read"]).await;
    let sessions = token(&server, &["sessions:read"]).await;
    let nothing = token(&server, &["fs:read"]).await;
    let (mut a, mut b, mut c) = (
        listen(&shells, "").await,
        listen(&sessions, "").await,
        listen(&nothing, "").await,
    );
    assert_eq!(next(&mut a).await["data"]["sessions"], json!([]));
    assert_eq!(
        next(&mut b).await["data"]["sessions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let told = next(&mut c).await;
    assert_eq!(
        (&told["data"]["sessions"], &told["data"]["shells"]),
        (&json!([]), &json!([]))
    );
    session.become_state(State::Working);
    until(&mut b, |session| session["state"] == "working").await;
    server
        .stranger()
        .get("/api/events")
        .await
        .fault(401, "unauthorized");
    server.app.begin_shutdown();
    for stream in [&mut a, &mut c] {
        let left = stream.rest_raw().await;
        assert!(left.iter().all(|(event, _)| event != "session"), "{left:?}");
        assert_eq!(left.last().unwrap().0, "end");
    }
}

#[tokio::test]
async fn sessions_that_begin_are_seen_and_those_that_are_purged_are_gone() {
    let world = World::new();
    let server = world.serve();
    let mut stream = listen(&server.client(), "").await;
    assert_eq!(next(&mut stream).await["data"]["sessions"], json!([]));
    let made = server
        .client()
        .post("/api/sessions", &json!({}))
        .await
        .created();
    let id = made["id"].clone();
    until(&mut stream, |session| session["id"] == id).await;
    let mut old = world.keeper();
    old.end(State::Stopped);
    let path = format!("/api/sessions/{}?purge=true", old.id);
    server.client().delete(&path).await.ok();
    loop {
        let event = next(&mut stream).await;
        if event["event"] == "gone" {
            assert_eq!(event["data"]["id"], json!(old.id));
            break;
        }
    }
}

#[tokio::test]
async fn a_keeper_that_dies_without_a_word_is_noticed() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut stream = listen(&server.client(), "").await;
    next(&mut stream).await;
    keeper.vanish();
    until(&mut stream, |session| session["state"] == "interrupted").await;
}

#[tokio::test]
async fn who_looks_at_a_session_is_counted_and_named() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let mut stream = listen(&server.client(), "").await;
    assert_eq!(next(&mut stream).await["data"]["sessions"][0]["viewers"], 0);
    let path = format!("/api/sessions/{}/events", keeper.id);
    let viewer = server.client().events(&path).await;
    // What changes twice before it is read is told once.
    let mut watched = async |count: u64, names: &[&str]| loop {
        let seen = next(&mut stream).await;
        let told = seen["data"].get("viewer_names").cloned();
        let told = told.unwrap_or_else(|| serde_json::json!([]));
        if seen["data"]["viewers"] == count {
            assert_eq!(told, serde_json::json!(names));
            break;
        }
    };
    watched(1, &["master"]).await;
    let request = serde_json::json!({"label": "phone", "scopes": ["sessions:read"]});
    let made = server.client().post("/api/tokens", &request).await;
    let text = made.created()["plaintext"].as_str().unwrap().to_owned();
    let phone = server.stranger().with_token(&text);
    let again = server.client().events(&path).await;
    watched(2, &["master"]).await;
    let second = phone.events(&path).await;
    watched(3, &["master", "device phone"]).await;
    drop((viewer, again));
    watched(1, &["device phone"]).await;
    drop(second);
    watched(0, &[]).await;
}

#[tokio::test]
async fn the_socket_says_the_same_and_that_it_lives() {
    let world = World::new();
    let mut keeper = world.keeper();
    let mut config = world.config();
    config.heartbeat = std::time::Duration::from_millis(300);
    let server = world.serve_with(&config);
    let client = server.client();
    for (protocol, path) in [("json", "/api/stream"), ("jsonl", "/ws/events")] {
        let path = format!("{path}?keepalive=1");
        let mut socket: Socket = client.socket_with(protocol, &path).await.unwrap();
        assert_eq!(socket.next().await.unwrap()["event"], "snapshot");
        let state = if protocol == "json" {
            State::Working
        } else {
            State::Idle
        };
        keeper.become_state(state);
        let (mut seen, mut alive) = (false, false);
        while !(seen && alive) {
            let said = socket.next().await.unwrap();
            seen |= said["data"]["session"]["state"] == state.as_str();
            alive |= said["keepalive"].is_string();
        }
    }
    let mut socket = client.socket("/api/stream").await.unwrap();
    socket.next().await.unwrap();
    server.app.begin_shutdown();
    let closed = loop {
        match socket.next().await {
            Ok(_) => {}
            Err(closed) => break closed,
        }
    };
    assert_eq!(closed, Some((1001, "shutting_down".to_owned())));
}

#[tokio::test]
async fn a_revoked_token_hears_nothing_more() {
    let world = World::new();
    let server = world.serve();
    let body = json!({"label": "x", "scopes": ["sessions:read"]});
    let made = server.client().post("/api/tokens", &body).await.created();
    let client = server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap());
    let mut stream = listen(&client, "").await;
    next(&mut stream).await;
    let path = format!("/api/tokens/{}", made["token"]["id"].as_str().unwrap());
    server.client().delete(&path).await;
    let (event, data) = stream.rest_raw().await.pop().unwrap();
    assert_eq!(event, "end");
    assert!(data.contains("token_revoked"), "{data}");
}

#[tokio::test]
async fn what_a_session_uses_is_told_while_it_works_and_as_its_journal_says_afterwards() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let mut stream = listen(&server.client(), "").await;
    next(&mut stream).await;
    let now = Resources {
        cpus: Some(1.5),
        memory: Some(7),
        ..Resources::default()
    };
    keeper.become_state(State::Working);
    keeper.say_fresh(|meta| meta.resources = now);
    until(&mut stream, |session| {
        session["resources"]["cpus"] == 1.5 && session["state"] == "working"
    })
    .await;
    // Text neither asks for it again nor takes it away.
    keeper.append(&[text("a")]);
    let last = Resources {
        cpus: Some(0.5),
        ..Resources::default()
    };
    keeper.append(&[Data::Stop(Stop {
        reason: "turn_end".to_owned(),
        resources: Some(last),
        ..Stop::default()
    })]);
    keeper.become_state(State::Idle);
    let told = until(&mut stream, |session| session["state"] == "idle").await;
    assert_eq!(told["data"]["session"]["resources"]["cpus"], 0.5);
}
