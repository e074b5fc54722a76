//! Notices: who is told of what, and what answers from there.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod bridges;
mod links;
mod push;
mod webhooks;

use cib_control::config::Config;
use cib_control::notices::Setup;
use cib_protocol::frame::{
    AskAnswer, AskOption, AskQuestion, By, Data, Question, Role, Stop, Text,
};
use cib_protocol::session::State;
use cib_testkit::outside::{Heard, Receiver};
use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::keeper::Keeper;
use crate::common::until;
use crate::common::world::{Server, World};

/// The box's own address, as those outside reach it.
const OUTSIDE: &str = "https://box.example";

/// A box that may call private addresses, which all of a test's are.
fn config(world: &World) -> Config {
    let mut config = world.config();
    config.notices = Setup {
        public_url: Some(OUTSIDE.to_owned()),
        allows_private: true,
        ..config.notices
    };
    config
}

fn serve(world: &World) -> Server {
    world.serve_with(&config(world))
}

/// Makes a channel, and says its id.
async fn channel(client: &Client, target: Value) -> String {
    let body = json!({"label": "mine", "target": target});
    let made = client.post("/api/notices/channels", &body).await.created();
    made["channel"]["id"].as_str().unwrap().to_owned()
}

/// A webhook to a receiver.
async fn webhook(client: &Client, receiver: &Receiver) -> String {
    channel(
        client,
        json!({"kind": "webhook", "url": receiver.url("/hook")}),
    )
    .await
}

/// Waits until so many requests came, and no more for now.
async fn comes(receiver: &Receiver, count: usize) -> Vec<Heard> {
    until("it is told", async || receiver.heard().len() >= count).await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), count, "{heard:#?}");
    heard
}

/// What the deliveries came to, the newest first.
async fn deliveries(client: &Client) -> Vec<Value> {
    let list = client.get("/api/notices/deliveries").await.ok();
    list["deliveries"].as_array().unwrap().clone()
}

/// Waits until no delivery is on its way, and gives them.
async fn settled(client: &Client) -> Vec<Value> {
    until("all is told", async || {
        let all = deliveries(client).await;
        !all.is_empty() && all.iter().all(|one| one["state"] != "pending")
    })
    .await;
    deliveries(client).await
}

/// The whole chain looks at a new thing: what was there before is known to be old.
async fn watched(client: &Client, world: &World) {
    let told = world.data().join("control/notices/told.json");
    until("somebody looks", async || told.exists()).await;
    client.get("/api/health").await.ok();
}

fn question(id: &str, text: &str, options: &[&str]) -> AskQuestion {
    let options: Vec<_> = options
        .iter()
        .map(|label| AskOption {
            label: (*label).to_owned(),
            description: format!("what {label} means"),
        })
        .collect();
    let only = Question {
        question: text.to_owned(),
        header: "Q".to_owned(),
        options: options.clone(),
        multi_select: false,
    };
    AskQuestion {
        id: id.to_owned(),
        prompt: text.to_owned(),
        options,
        multi_select: false,
        questions: vec![only],
        tool: None,
        tool_use_id: None,
    }
}

/// Claude asks.
fn ask(keeper: &mut Keeper, asked: AskQuestion) {
    keeper.append(&[Data::AskQuestion(asked)]);
    keeper.become_state(State::WaitingForInput);
}

/// Somebody answered at the keeper.
fn answered(keeper: &mut Keeper, id: &str) {
    keeper.append(&[Data::AskAnswer(AskAnswer {
        id: id.to_owned(),
        answers: None,
        by: None,
    })]);
    keeper.become_state(State::Working);
}

/// Claude says something and its turn ends.
fn ends_turn(keeper: &mut Keeper, text: &str, reason: &str) {
    keeper.append(&[
        Data::Text(Text {
            text: text.to_owned(),
            role: Role::Assistant,
            message_id: Some(format!("m{}", keeper.last_seq())),
            ..Text::default()
        }),
        Data::Stop(Stop {
            reason: reason.to_owned(),
            by: Some(By::User),
            ..Stop::default()
        }),
    ]);
    keeper.become_state(State::Idle);
}

#[tokio::test]
async fn who_wants_to_know_is_told_of_questions_ends_failures_and_limits_once_each() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    let mut old = world.keeper();
    ends_turn(&mut old, "before anybody wanted to know", "turn_end");
    let server = serve(&world);
    let client = server.client();
    webhook(&client, &receiver).await;
    watched(&client, &world).await;

    let mut keeper = world.keeper();
    client.get("/api/sessions").await.ok();
    server.app.feed.begun(keeper.id);
    keeper.become_state(State::Working);
    ask(
        &mut keeper,
        question("q1", "Which colour?", &["Red", "Blue"]),
    );
    let heard = comes(&receiver, 1).await;
    let told = heard[0].json();
    assert_eq!(told["type"], "session.waiting");
    assert_eq!(told["data"]["text"], "Which colour?");
    assert_eq!(told["data"]["options"], json!(["Red", "Blue"]));
    assert_eq!(told["data"]["session"], keeper.id.to_string());
    let url = format!("{OUTSIDE}/s/{}", keeper.id);
    assert_eq!(told["data"]["url"], url);
    let link = told["data"]["answer_url"].as_str().unwrap();
    assert!(
        link.starts_with("https://box.example/a/") && link.len() == 22 + 20,
        "{link}"
    );

    answered(&mut keeper, "q1");
    ends_turn(&mut keeper, "All is done.", "turn_end");
    let told = comes(&receiver, 2).await[1].json();
    assert_eq!(
        (&told["type"], &told["data"]["text"]),
        (&json!("session.finished"), &json!("All is done."))
    );
    // Who interrupts a turn knows that it is over.
    keeper.become_state(State::Working);
    ends_turn(&mut keeper, "Half", "interrupted");
    keeper.become_state(State::Working);
    ends_turn(&mut keeper, "", "api_error");
    let told = comes(&receiver, 3).await[2].json();
    assert_eq!(told["type"], "session.failed");
    keeper.append(&[Data::Stop(Stop {
        reason: "limit max_cost_usd".to_owned(),
        last: true,
        ..Stop::default()
    })]);
    keeper.become_state(State::Failed);
    keeper.vanish();
    let told = comes(&receiver, 4).await[3].json();
    assert_eq!(told["type"], "session.limit");
    settled(&client).await;
}

#[tokio::test]
async fn what_happens_while_control_is_away_is_told_when_it_is_back_and_nothing_twice() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    let mut server = serve(&world);
    let client = server.client();
    webhook(&client, &receiver).await;
    watched(&client, &world).await;
    let mut keeper = world.keeper();
    server.app.feed.begun(keeper.id);
    ends_turn(&mut keeper, "first", "turn_end");
    comes(&receiver, 1).await;
    settled(&client).await;
    server.end().await;
    drop(server);

    keeper.become_state(State::Working);
    ends_turn(&mut keeper, "second", "turn_end");
    let server = serve(&world);
    let told = comes(&receiver, 2).await[1].json();
    assert_eq!(told["data"]["text"], "second");
    ask(&mut keeper, question("q", "Third?", &[]));
    assert_eq!(
        comes(&receiver, 3).await[2].json()["data"]["text"],
        "Third?"
    );
    drop(server);
}

#[tokio::test]
async fn nobody_is_told_what_happened_while_nobody_wanted_to_know() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    let server = serve(&world);
    let client = server.client();
    let id = webhook(&client, &receiver).await;
    watched(&client, &world).await;
    client.delete(&format!("/api/notices/channels/{id}")).await;
    let told = world.data().join("control/notices/told.json");
    until("nobody looks any more", async || {
        std::fs::read_to_string(&told).is_ok_and(|text| text.contains(r#""rests":true"#))
    })
    .await;
    let mut keeper = world.keeper();
    ends_turn(&mut keeper, "unheard", "turn_end");
    client.get("/api/sessions").await.ok();
    webhook(&client, &receiver).await;
    until("somebody looks again", async || {
        std::fs::read_to_string(&told).is_ok_and(|text| text.contains(r#""rests":false"#))
    })
    .await;
    keeper.become_state(State::Working);
    server.app.feed.begun(keeper.id);
    ends_turn(&mut keeper, "heard", "turn_end");
    assert_eq!(comes(&receiver, 1).await[0].json()["data"]["text"], "heard");
}

#[tokio::test]
async fn a_channel_is_told_what_it_wants_and_nothing_when_it_is_off() {
    let world = World::new();
    let (receiver, other) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    let server = serve(&world);
    let client = server.client();
    let id = webhook(&client, &receiver).await;
    webhook(&client, &other).await;
    let path = format!("/api/notices/channels/{id}");
    let body = json!({"events": ["waiting"], "answers": false}).to_string();
    let changed = client.request(http::Method::PATCH, &path, body).await.ok();
    assert_eq!(
        (&changed["events"], &changed["answers"]),
        (&json!(["waiting"]), &json!(false))
    );
    watched(&client, &world).await;
    let mut keeper = world.keeper();
    server.app.feed.begun(keeper.id);
    ends_turn(&mut keeper, "not wanted", "turn_end");
    keeper.become_state(State::Working);
    ask(&mut keeper, question("q", "Wanted?", &["Yes", "No"]));
    let told = comes(&receiver, 1).await[0].json();
    assert_eq!(told["data"]["text"], "Wanted?");
    assert_eq!(told["data"]["answer_url"], Value::Null);
    settled(&client).await;
    let body = json!({"enabled": false}).to_string();
    client.request(http::Method::PATCH, &path, body).await.ok();
    answered(&mut keeper, "q");
    ask(&mut keeper, question("r", "Off?", &[]));
    // Another channel is told of it, and this one is not.
    until("the other is told", async || {
        let heard = other.heard();
        heard
            .iter()
            .any(|heard| heard.json()["data"]["text"] == "Off?")
    })
    .await;
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test]
async fn channels_are_an_administrators_and_their_secrets_are_shown_once() {
    let world = World::new();
    let server = serve(&world);
    let client = server.client();
    let body = json!({"label": "phone", "scopes": ["sessions:read", "prefs:write", "tasks:write"]});
    let minted = client.post("/api/tokens", &body).await.created();
    let device = server
        .stranger()
        .with_token(minted["plaintext"].as_str().unwrap());
    for answer in [
        device.get("/api/notices/channels").await,
        device.get("/api/notices/deliveries").await,
        device
            .post("/api/notices/channels", &json!({"label": "x"}))
            .await,
        device.delete("/api/notices/channels/x").await,
    ] {
        answer.fault(403, "scope_missing");
    }
    let body =
        json!({"label": "hook", "target": {"kind": "webhook", "url": "https://h.example/x"}});
    let made = client.post("/api/notices/channels", &body).await.created();
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    for target in [
        json!({"kind": "telegram", "token": "12:telegram-token", "chat": 5}),
        json!({"kind": "slack", "url": "https://hooks.example/services/slack-secret"}),
        json!({"kind": "mail", "server": "smtps://u:mail-secret@m.example", "from": "a@b.example", "to": "c@d.example"}),
        json!({"kind": "ntfy", "url": "https://n.example/topic", "token": "ntfy-token"}),
    ] {
        channel(&client, target).await;
    }
    let shown = client.get("/api/notices/channels").await.ok();
    let text = shown.to_string();
    for secret in [
        secret,
        "telegram-token",
        "slack-secret",
        "mail-secret",
        "ntfy-token",
    ] {
        assert!(!text.contains(secret), "{text}");
    }
    let places: Vec<_> = shown["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["place"].clone())
        .collect();
    assert_eq!(
        json!(places),
        json!([
            "https://h.example/x",
            "5",
            "hooks.example",
            "c@d.example",
            "https://n.example/topic"
        ])
    );
    let file = world.data().join("control/notices/channels.json");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_channel_that_cannot_be_one_is_refused_with_the_reason() {
    let world = World::new();
    // As a box is that nobody allowed to call private addresses.
    let server = world.serve();
    let client = server.client();
    for (target, word) in [
        (
            json!({"kind": "webhook", "url": "http://127.0.0.1:8080/"}),
            "CIB_WEBHOOK_PRIVATE",
        ),
        (
            json!({"kind": "webhook", "url": "http://[fd00::1]/"}),
            "CIB_WEBHOOK_PRIVATE",
        ),
        (
            json!({"kind": "webhook", "url": "ftp://h.example/"}),
            "http",
        ),
        (
            json!({"kind": "webhook", "url": "https://h.example/", "secret": "whsec_AAAA"}),
            "24 to 64",
        ),
        (json!({"kind": "ntfy", "url": "https://n.example"}), "topic"),
        (json!({"kind": "slack", "url": "nowhere"}), "http"),
        (
            json!({"kind": "telegram", "token": "a/b", "chat": 1}),
            "token",
        ),
        (
            json!({"kind": "mail", "server": "smtps://m.example", "from": "a@b>\r\nDATA", "to": "c@d"}),
            "from",
        ),
        (
            json!({"kind": "mail", "server": "smtp://localhost", "from": "a@b", "to": "c@d"}),
            "CIB_WEBHOOK_PRIVATE",
        ),
        (json!({"kind": "pigeon"}), "pigeon"),
    ] {
        let body = json!({"label": "x", "target": target});
        let refused = client.post("/api/notices/channels", &body).await;
        let detail = refused.fault(400, "bad_value");
        assert!(detail.contains(word), "{word}: {detail}");
    }
    let task = json!({"prompt": "x", "webhook": {"url": "http://169.254.169.254/latest"}});
    let detail = client
        .post("/api/tasks", &task)
        .await
        .fault(400, "bad_value");
    assert!(
        detail.contains("webhook") && detail.contains("CIB_WEBHOOK_PRIVATE"),
        "{detail}"
    );
    let nothing = json!({"label": "x", "events": [], "target": {"kind": "slack", "url": "https://h.example"}});
    client
        .post("/api/notices/channels", &nothing)
        .await
        .fault(400, "bad_value");
}
