//! Web Push, with a browser's end that opens what was pushed.

use cib_testkit::outside::browser::{Browser, vouched};
use cib_testkit::outside::{Answer, Receiver};
use http::Method;
use serde_json::{Value, json};

use super::{ask, comes, deliveries, question, serve, settled, watched};
use crate::common::client::Client;
use crate::common::page::{Page, account, sign_in};
use crate::common::until;
use crate::common::world::World;

async fn subscribe(client: &Client, browser: &Browser, endpoint: &str) -> Value {
    let mut body = browser.subscription(endpoint);
    body["label"] = "phone".into();
    client
        .post("/api/push/subscriptions", &body)
        .await
        .created()
}

#[tokio::test]
async fn a_browser_reads_what_is_pushed_and_its_button_answers_and_nobody_between_reads_it() {
    let world = World::new();
    let (service, browser) = (Receiver::start().unwrap(), Browser::new(7).unwrap());
    service.answer_always(Answer::status(201));
    let server = serve(&world);
    let client = server.client();
    let key = client.get("/api/push/key").await.ok()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let made = subscribe(&client, &browser, &service.url("/push/abc")).await;
    watched(&client, &world).await;
    let mut keeper = world.keeper();
    server.app.feed.begun(keeper.id);
    ask(
        &mut keeper,
        question("q1", "Which colour?", &["Red", "Blue"]),
    );
    let heard = comes(&service, 1).await;
    let push = &heard[0];
    assert_eq!(push.path, "/push/abc");
    assert_eq!(
        (push.header("ttl"), push.header("urgency")),
        ("3600", "high")
    );
    assert!(push.header("topic").len() <= 32);
    let claims = vouched(push, &key).unwrap();
    assert_eq!(claims["aud"], service.url(""));
    assert_eq!(claims["sub"], super::OUTSIDE);
    assert!(!String::from_utf8_lossy(&push.body).contains("colour"));
    assert!(Browser::new(8).unwrap().open(push).is_err());
    let told = browser.open(push).unwrap();
    assert_eq!(told["body"], "Which colour?");
    assert_eq!(told["options"], json!(["Red", "Blue"]));
    assert_eq!(told["where"], format!("/s/{}", keeper.id));
    let code = told["code"].as_str().unwrap();
    let path = format!("/a/{code}");
    let answer = server
        .stranger()
        .post(&path, &json!({"answer": "Blue"}))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(keeper.author().as_deref(), Some("link phone"));
    settled(&client).await;
    let path = format!(
        "/api/push/subscriptions/{}/test",
        made["id"].as_str().unwrap()
    );
    client.post(&path, &json!({})).await.ok();
    let heard = comes(&service, 2).await;
    assert_eq!(heard[1].header("urgency"), "normal");
    assert!(
        browser.open(&heard[1]).unwrap()["body"]
            .as_str()
            .unwrap()
            .contains("test")
    );
}

#[tokio::test]
async fn a_browser_that_the_service_does_not_know_any_more_is_forgotten() {
    for status in [404, 410] {
        let world = World::new();
        let (service, browser) = (Receiver::start().unwrap(), Browser::new(7).unwrap());
        service.answer_always(Answer::status(status));
        let server = serve(&world);
        let client = server.client();
        let made = subscribe(&client, &browser, &service.url("/push/abc")).await;
        let path = format!(
            "/api/push/subscriptions/{}/test",
            made["id"].as_str().unwrap()
        );
        client.post(&path, &json!({})).await.ok();
        until("it is forgotten", async || {
            let list = client.get("/api/push/subscriptions").await.ok();
            list["subscriptions"] == json!([])
        })
        .await;
    }
}

#[tokio::test]
async fn a_subscription_ends_with_the_token_the_account_or_the_sign_in_that_made_it() {
    let world = World::new();
    let service = Receiver::start().unwrap();
    let server = serve(&world);
    let master = server.client();
    let body = json!({"label": "phone", "scopes": ["sessions:read"]});
    let minted = master.post("/api/tokens", &body).await.created();
    let device = server
        .stranger()
        .with_token(minted["plaintext"].as_str().unwrap());
    account(&server, "ann", "correct horse", &["sessions:read"]).await;
    let ann = Page::of(&sign_in(&server, "ann", "correct horse").await).client(&server);
    let left = Page::of(&sign_in(&server, "ann", "correct horse").await).client(&server);
    for (number, client) in (1..).zip([&device, &ann, &left]) {
        let browser = Browser::new(number).unwrap();
        subscribe(client, &browser, &service.url(&format!("/{number}"))).await;
    }
    watched(&master, &world).await;
    let file = world.data().join("control/notices/subscriptions.json");
    let kept = || {
        std::fs::read_to_string(&file)
            .unwrap()
            .matches("\"endpoint\"")
            .count()
    };
    assert_eq!(kept(), 3);
    left.post("/api/auth/logout", &json!({})).await;
    until("the sign-in's ends", async || kept() == 2).await;
    let path = format!("/api/tokens/{}", minted["token"]["id"].as_str().unwrap());
    master.delete(&path).await;
    until("the token's ends", async || kept() == 1).await;
    master.delete("/api/auth/accounts/ann").await;
    until("the account's ends", async || kept() == 0).await;
    assert_eq!(service.heard().len(), 0);
}

#[tokio::test]
async fn who_may_only_read_is_told_without_what_answers() {
    let world = World::new();
    let (service, browser) = (Receiver::start().unwrap(), Browser::new(7).unwrap());
    let server = serve(&world);
    let client = server.client();
    let body = json!({"label": "tv", "scopes": ["sessions:read"]});
    let minted = client.post("/api/tokens", &body).await.created();
    let device = server
        .stranger()
        .with_token(minted["plaintext"].as_str().unwrap());
    subscribe(&device, &browser, &service.url("/x")).await;
    watched(&client, &world).await;
    let mut keeper = world.keeper();
    server.app.feed.begun(keeper.id);
    ask(&mut keeper, question("q1", "Which?", &["Red", "Blue"]));
    let told = browser.open(&comes(&service, 1).await[0]).unwrap();
    assert_eq!(
        (&told["code"], &told["options"]),
        (&Value::Null, &json!([]))
    );
}

#[tokio::test]
async fn what_is_no_subscription_or_leads_into_the_box_is_refused() {
    let world = World::new();
    // As a box is that nobody allowed to call private addresses.
    let server = world.serve();
    let client = server.client();
    let browser = Browser::new(7).unwrap();
    let good = browser.subscription("https://push.example/abc");
    let with = |path: &[&str], value: Value| {
        let mut body = good.clone();
        let mut at = &mut body;
        for name in path {
            at = &mut at[*name];
        }
        *at = value;
        body
    };
    for (body, word) in [
        (
            with(&["endpoint"], json!("http://127.0.0.1:8080/api")),
            "CIB_WEBHOOK_PRIVATE",
        ),
        (with(&["endpoint"], json!("javascript:1")), "http"),
        (with(&["keys", "p256dh"], json!("AAAA")), "p256dh"),
        (with(&["keys", "auth"], json!("AAAA")), "auth"),
        (with(&["events"], json!([])), "events"),
    ] {
        let refused = client.post("/api/push/subscriptions", &body).await;
        assert!(refused.fault(400, "bad_value").contains(word), "{word}");
    }
    let body = json!({"label": "shells", "scopes": ["shells:read"]});
    let minted = client.post("/api/tokens", &body).await.created();
    let device = server
        .stranger()
        .with_token(minted["plaintext"].as_str().unwrap());
    device
        .post("/api/push/subscriptions", &good)
        .await
        .fault(403, "scope_missing");
    // The same browser again takes its own place, and nobody sees or ends another's.
    let one = client
        .post("/api/push/subscriptions", &good)
        .await
        .created();
    let two = client
        .post("/api/push/subscriptions", &good)
        .await
        .created();
    assert_eq!(one["id"], two["id"]);
    let path = format!("/api/push/subscriptions/{}", one["id"].as_str().unwrap());
    device
        .delete(&path)
        .await
        .fault(404, "no_such_subscription");
    let list = device.get("/api/push/subscriptions").await.ok();
    assert_eq!(list["subscriptions"], json!([]));
    assert_eq!(client.request(Method::DELETE, &path, "").await.status, 204);
    assert_eq!(deliveries(&client).await, [] as [Value; 0]);
}
