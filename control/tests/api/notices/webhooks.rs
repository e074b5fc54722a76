//! Webhooks: signed, sent again, and never lost.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_testkit::outside::{Answer, Heard, Receiver};
use nix::sys::signal::Signal;
use ring::hmac;
use serde_json::{Value, json};

use super::{channel, comes, deliveries, ends_turn, serve, settled, watched, webhook};
use crate::common::process::{Process, command, free_address};
use crate::common::until;
use crate::common::world::World;
use crate::tasks::{begin, comes_to, hit_limit, submit};

/// Whether one of a request's signatures is of this secret, as a receiver checks it.
fn is_signed(heard: &Heard, secret: &str) -> bool {
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let mut signed = format!(
        "{}.{}.",
        heard.header("webhook-id"),
        heard.header("webhook-timestamp")
    )
    .into_bytes();
    signed.extend_from_slice(&heard.body);
    let mut signatures = heard.header("webhook-signature").split(' ');
    signatures.any(|signature| {
        let tag = signature
            .strip_prefix("v1,")
            .map(|tag| STANDARD.decode(tag).unwrap());
        tag.is_some_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    })
}

async fn test(client: &crate::common::client::Client, id: &str) -> Value {
    let path = format!("/api/notices/channels/{id}/test");
    client.post(&path, &json!({})).await.ok()
}

#[tokio::test]
async fn a_webhook_is_signed_and_a_new_secret_signs_beside_the_old_one() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    let server = serve(&world);
    let client = server.client();
    let body =
        json!({"label": "mine", "target": {"kind": "webhook", "url": receiver.url("/hook?x=1")}});
    let made = client.post("/api/notices/channels", &body).await.created();
    let old = made["secret"].as_str().unwrap().to_owned();
    let id = made["channel"]["id"].as_str().unwrap().to_owned();
    test(&client, &id).await;
    let heard = comes(&receiver, 1).await;
    assert_eq!(heard[0].path, "/hook?x=1");
    assert_eq!(heard[0].header("content-type"), "application/json");
    assert!(is_signed(&heard[0], &old));
    assert!(!is_signed(
        &heard[0],
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
    ));
    let path = format!("/api/notices/channels/{id}/rotate");
    let new = client.post(&path, &json!({})).await.ok()["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    test(&client, &id).await;
    let heard = comes(&receiver, 2).await;
    assert_ne!(new, old);
    assert!(is_signed(&heard[1], &old) && is_signed(&heard[1], &new));
    assert_ne!(heard[0].header("webhook-id"), heard[1].header("webhook-id"));
}

#[tokio::test]
async fn a_webhook_that_is_not_taken_comes_again_with_the_same_id_and_body() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    receiver.answer([Answer::status(500)]);
    let server = serve(&world);
    let client = server.client();
    let id = webhook(&client, &receiver).await;
    test(&client, &id).await;
    // After five seconds, by the specification.
    let heard = comes(&receiver, 2).await;
    assert_eq!(heard[0].header("webhook-id"), heard[1].header("webhook-id"));
    assert_eq!(heard[0].body, heard[1].body);
    assert_ne!(
        heard[0].header("webhook-timestamp"),
        heard[1].header("webhook-timestamp")
    );
    let told = settled(&client).await;
    let outcomes: Vec<_> = told[0]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["outcome"].clone())
        .collect();
    assert_eq!(json!(outcomes), json!(["it answered 500", "delivered"]));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_410_ends_the_channel() {
    let world = World::new();
    let (receiver, other) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    let server = serve(&world);
    let client = server.client();
    let id = webhook(&client, &receiver).await;
    receiver.answer([
        Answer {
            headers: vec![("location", other.url("/"))],
            ..Answer::status(307)
        },
        Answer::status(410),
    ]);
    test(&client, &id).await;
    until("it is tried", async || {
        deliveries(&client).await[0]["attempts"][0]["outcome"] == "it answered 307"
    })
    .await;
    test(&client, &id).await;
    until("it ends", async || {
        let list = client.get("/api/notices/channels").await.ok();
        list["channels"][0]["enabled"] == false
    })
    .await;
    let list = client.get("/api/notices/channels").await.ok();
    assert_eq!(list["channels"][0]["disabled_by"], "it answered 410: gone");
    assert_eq!(other.heard().len(), 0);
    // A person switches it on again.
    let path = format!("/api/notices/channels/{id}");
    let on = json!({"enabled": true}).to_string();
    let on = client.request(http::Method::PATCH, &path, on).await.ok();
    assert_eq!(
        (&on["enabled"], &on["disabled_by"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn what_was_told_is_told_again_by_request_with_the_id_that_it_had() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    let server = serve(&world);
    let client = server.client();
    let id = webhook(&client, &receiver).await;
    let delivery = test(&client, &id).await;
    comes(&receiver, 1).await;
    settled(&client).await;
    let path = format!(
        "/api/notices/deliveries/{}/replay",
        delivery["id"].as_str().unwrap()
    );
    client.post(&path, &json!({})).await.ok();
    let heard = comes(&receiver, 2).await;
    assert_eq!(heard[0].header("webhook-id"), heard[1].header("webhook-id"));
    assert_eq!(
        heard[0].header("webhook-id"),
        delivery["id"].as_str().unwrap()
    );
    let missing = client
        .post("/api/notices/deliveries/msg_0/replay", &json!({}))
        .await;
    missing.fault(404, "no_such_delivery");
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_called() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    // Without leave to call private addresses; the channel is there from when there was.
    let id = {
        let server = serve(&world);
        let url = format!("http://localhost:{}/", receiver.addr().port());
        channel(&server.client(), json!({"kind": "webhook", "url": url})).await
    };
    let server = world.serve();
    let client = server.client();
    test(&client, &id).await;
    until("it is tried", async || {
        let outcome = deliveries(&client).await[0]["attempts"][0]["outcome"].clone();
        outcome
            .as_str()
            .is_some_and(|why| why.contains("CIB_WEBHOOK_PRIVATE"))
    })
    .await;
    assert_eq!(receiver.heard().len(), 0);
}

fn process(world: &World, address: std::net::SocketAddr) -> Process {
    let mut command = command(world, address);
    command.args(["--webhook-private", "--public-url", "https://box.example"]);
    Process::from_command(command, address)
}

#[tokio::test]
async fn a_webhook_outlives_kill_9_while_the_receiver_is_away() {
    let world = World::new();
    let away = free_address();
    let address = free_address();
    let mut control = process(&world, address);
    let client = control.client();
    let target = json!({"kind": "webhook", "url": format!("http://{away}/")});
    let id = channel(&client, target).await;
    watched(&client, &world).await;
    let mut keeper = world.keeper();
    client.get("/api/sessions").await.ok();
    ends_turn(&mut keeper, "kept", "turn_end");
    // Nothing says to this control that the session has begun, so its own look finds it at a restart.
    control.kill();
    let mut control = process(&world, address);
    until("it was tried", async || {
        let all = deliveries(&client).await;
        all.first()
            .is_some_and(|one| one["attempts"][0].is_object())
    })
    .await;
    let known = deliveries(&client).await;
    assert_eq!((known.len(), &known[0]["channel"]), (1, &json!(id)));
    for _ in 0..3 {
        control.kill();
        control = process(&world, address);
    }
    let receiver = Receiver::at(away).unwrap();
    let replay = format!(
        "/api/notices/deliveries/{}/replay",
        known[0]["id"].as_str().unwrap()
    );
    client.post(&replay, &json!({})).await.ok();
    let heard = comes(&receiver, 1).await;
    assert_eq!(
        heard[0].header("webhook-id"),
        known[0]["id"].as_str().unwrap()
    );
    assert_eq!(heard[0].json()["data"]["text"], "kept");
    settled(&client).await;
    control.kill();
    let control = process(&world, address);
    settled(&client).await;
    // It is not told once more after it was delivered.
    let mut other = world.keeper();
    client.get("/api/sessions").await.ok();
    ends_turn(&mut other, "next", "turn_end");
    control.signal(Signal::SIGKILL);
    drop(control);
    let _control = process(&world, address);
    let heard = comes(&receiver, 2).await;
    assert_eq!(heard[1].json()["data"]["text"], "next");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let world = World::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = serve(&world);
    let client = server.client();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let id = channel(&client, json!({"kind": "webhook", "url": url})).await;
    let begun = Instant::now();
    test(&client, &id).await;
    until("it is given up", async || {
        deliveries(&client).await[0]["attempts"][0].is_object()
    })
    .await;
    let told = deliveries(&client).await;
    assert_eq!(told[0]["attempts"][0]["outcome"], "no answer within 15 s");
    assert!(begun.elapsed() >= Duration::from_secs(14));
}

#[tokio::test]
async fn a_task_tells_its_own_webhook_how_it_ended_and_nothing_of_others() {
    let world = crate::tasks::world();
    let receiver = Receiver::start().unwrap();
    let server = serve(&world);
    let client = server.client();
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let body = json!({
        "prompt": "Do it", "repo": "nowhere",
        "webhook": {"url": receiver.url("/task"), "secret": secret, "events": ["finished", "failed"]},
    });
    let id = submit(&client, &body).await;
    submit(&client, &json!({"prompt": "Another", "repo": "nowhere"})).await;
    comes_to(&world, &client, &id, "failed").await;
    let heard = comes(&receiver, 1).await;
    assert!(is_signed(&heard[0], secret));
    let told = heard[0].json();
    assert_eq!(
        (&told["type"], &told["data"]["task"]),
        (&json!("task.failed"), &json!(id))
    );
    assert!(
        told["data"]["text"].as_str().unwrap().contains("no_repo"),
        "{told}"
    );
    // A retry is told of again.
    client
        .post(&format!("/api/tasks/{id}/retry"), &json!({}))
        .await
        .ok();
    until("it is told again", async || receiver.heard().len() == 2).await;
}

#[tokio::test]
async fn a_task_that_waits_for_a_limit_tells_until_when_and_that_once() {
    let world = crate::tasks::world();
    let receiver = Receiver::start().unwrap();
    let server = serve(&world);
    let client = server.client();
    let body = json!({"prompt": "Mend api", "webhook": {"url": receiver.url("/task")}});
    let (id, _) = begin(&world, &client, &body).await;
    hit_limit(&world, 2 * 3_600_000);
    let waiting = comes_to(&world, &client, &id, "waiting").await;
    let told = comes(&receiver, 1).await[0].json();
    assert_eq!(
        (&told["type"], &told["data"]["event"]),
        (&json!("task.limit"), &json!("limit"))
    );
    assert_eq!(told["data"]["until"], waiting["until"]);
    let text = told["data"]["text"].as_str().unwrap();
    let until = waiting["until"].as_str().unwrap();
    assert!(text.contains("the reset of a usage limit"), "{text}");
    assert!(text.contains(until), "{text}");
    // What ends it is told without a time, and the wait is not told again.
    let cancel = format!("/api/tasks/{id}/cancel");
    client.post(&cancel, &json!({})).await.ok();
    comes_to(&world, &client, &id, "cancelled").await;
    let retry = format!("/api/tasks/{id}/retry");
    client.post(&retry, &json!({})).await.ok();
    until_works(&world, &client, &id).await;
    ends_turn(&mut world.init().keepers[1], "No.", "api_error");
    comes_to(&world, &client, &id, "failed").await;
    let told = comes(&receiver, 2).await[1].json();
    assert_eq!(
        (&told["type"], &told["data"]["until"]),
        (&json!("task.failed"), &Value::Null)
    );
}

/// Waits until the second session of a box works on a task.
async fn until_works(world: &World, client: &crate::common::client::Client, id: &str) {
    until("the second session works", async || {
        world.init().keepers.len() > 1
            && client.get(&format!("/api/tasks/{id}")).await.ok()["state"] == "working"
    })
    .await;
}
