//! Bridges, each to a server that speaks what it is to speak.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_protocol::keeper::KeeperRequest;
use cib_testkit::outside::Receiver;
use cib_testkit::outside::chat::Chats;
use cib_testkit::outside::mail::Mails;
use serde_json::{Value, json};

use super::{ask, channel, comes, config, deliveries, question, serve, settled, watched};
use crate::common::keeper::Keeper;
use crate::common::until;
use crate::common::world::World;

fn answers(keeper: &Keeper) -> Vec<String> {
    let told = keeper.told();
    let answers = told.iter().filter_map(|request| match request {
        KeeperRequest::Answer { answers, .. } => Some(answers.values().cloned().collect()),
        _ => None,
    });
    answers.collect()
}

#[tokio::test]
async fn a_button_of_ntfy_answers() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    let server = serve(&world);
    let client = server.client();
    channel(
        &client,
        json!({"kind": "ntfy", "url": receiver.url("/topic"), "token": "tk_1"}),
    )
    .await;
    watched(&client, &world).await;
    let mut keeper = world.keeper();
    server.app.feed.begun(keeper.id);
    ask(
        &mut keeper,
        question("q1", "Which colour?", &["Red", "Blue"]),
    );
    let heard = comes(&receiver, 1).await;
    assert_eq!(
        (&*heard[0].path, heard[0].header("authorization")),
        ("/", "Bearer tk_1")
    );
    let told = heard[0].json();
    assert_eq!(
        (&told["topic"], &told["message"]),
        (&json!("topic"), &json!("Which colour?"))
    );
    // As the phone does it.
    let button = &told["actions"][1];
    let path = button["url"]
        .as_str()
        .unwrap()
        .strip_prefix(super::OUTSIDE)
        .unwrap();
    let phone = server
        .stranger()
        .with_header("content-type", "application/json");
    let body = button["body"].as_str().unwrap().to_owned();
    let answer = phone.request(http::Method::POST, path, body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answers(&keeper), ["Blue"]);
}

#[tokio::test]
async fn a_button_and_a_reply_in_a_chat_answer_and_other_chats_are_not_heard() {
    let world = World::new();
    let chats = Chats::start("12:token").unwrap();
    let server = serve(&world);
    let client = server.client();
    let target = json!({"kind": "telegram", "token": "12:token", "chat": 5, "server": chats.url()});
    channel(&client, target).await;
    watched(&client, &world).await;
    let mut keeper = world.keeper();
    server.app.feed.begun(keeper.id);
    ask(
        &mut keeper,
        question("q1", "Which colour?", &["Red", "Blue"]),
    );
    let sent = async |count: usize| {
        until("it is said", async || {
            chats
                .calls()
                .iter()
                .filter(|(method, _)| method == "sendMessage")
                .count()
                >= count
        })
        .await;
        settled(&client).await;
        let calls = chats.calls().into_iter();
        let sent: Vec<Value> = calls
            .filter(|(method, _)| method == "sendMessage")
            .map(|(_, body)| body)
            .collect();
        sent[count - 1].clone()
    };
    let message = sent(1).await;
    assert_eq!(
        (&message["chat_id"], message.get("parse_mode")),
        (&json!(5), None)
    );
    let data = message["reply_markup"]["inline_keyboard"][1][0]["callback_data"]
        .as_str()
        .unwrap();
    chats.press(6, data);
    chats.reply(6, 1, "Green");
    chats.press(5, data);
    until("it is answered", async || !answers(&keeper).is_empty()).await;
    until("the chat is told", async || {
        chats
            .calls()
            .iter()
            .any(|(method, body)| method == "answerCallbackQuery" && body["text"] == "✅")
    })
    .await;
    assert_eq!(answers(&keeper), ["Blue"]);

    super::answered(&mut keeper, "q1");
    ask(&mut keeper, question("q2", "And what else?", &[]));
    sent(2).await;
    chats.reply(5, 2, "my own words");
    until("it is answered", async || answers(&keeper).len() == 2).await;
    assert_eq!(answers(&keeper), ["Blue", "my own words"]);

    // What a permission is about stands behind the link. It may be denied unseen.
    sent(3).await;
    super::answered(&mut keeper, "q2");
    let mut may = question("q3", "Allow Bash?", &["Allow", "Deny"]);
    may.tool = Some("Bash".to_owned());
    ask(&mut keeper, may);
    sent(4).await;
    chats.reply(5, 4, "Allow");
    until("the chat is told", async || {
        let told = |(_, body): &(String, Value)| {
            let text = body["text"].as_str().unwrap_or_default();
            text.contains("a permission is given by its link")
        };
        chats.calls().iter().any(told)
    })
    .await;
    assert_eq!(answers(&keeper).len(), 2);
    chats.reply(5, 4, "too risky");
    until("it is denied", async || answers(&keeper).len() == 3).await;
    assert_eq!(answers(&keeper)[2], "too risky");
}

#[tokio::test]
async fn slack_is_told_with_the_link() {
    let world = World::new();
    let receiver = Receiver::start().unwrap();
    let server = serve(&world);
    let client = server.client();
    channel(
        &client,
        json!({"kind": "slack", "url": receiver.url("/services/x")}),
    )
    .await;
    watched(&client, &world).await;
    let mut keeper = world.keeper();
    server.app.feed.begun(keeper.id);
    ask(&mut keeper, question("q1", "<!channel> Which?", &["Red"]));
    let told = comes(&receiver, 1).await[0].json();
    let text = told["text"].as_str().unwrap();
    assert!(
        text.contains("&lt;!channel&gt; Which?\n<https://box.example/a/"),
        "{text}"
    );
}

#[tokio::test]
async fn mail_goes_over_tls_with_a_password_and_without_tls_no_password_goes() {
    let world = World::new();
    let (mails, open) = (Mails::start(true).unwrap(), Mails::start(false).unwrap());
    let bundle = world.path().join("trusted.pem");
    std::fs::write(&bundle, mails.certificate()).unwrap();
    let mut config = config(&world);
    config.notices.bundle = bundle;
    let server = world.serve_with(&config);
    let client = server.client();
    let target = |login: &str, port: u16| json!({"kind": "mail", "server": format!("smtp://{login}localhost:{port}"), "from": "box@x.example", "to": "ann@x.example"});
    let id = channel(&client, target("me%40x:pass%20word@", mails.port())).await;
    let refused = channel(&client, target("me:password@", open.port())).await;
    let plain = channel(&client, target("", open.port())).await;
    for id in [&id, &refused, &plain] {
        client
            .post(&format!("/api/notices/channels/{id}/test"), &json!({}))
            .await
            .ok();
    }
    until("the letters come", async || {
        mails.letters().len() + open.letters().len() == 2
    })
    .await;
    let letter = &mails.letters()[0];
    assert!(letter.is_tls);
    assert_eq!(
        letter.login,
        format!("AUTH PLAIN {}", STANDARD.encode("\0me@x\0pass word"))
    );
    assert_eq!(letter.from, "MAIL FROM:<box@x.example>");
    assert_eq!(letter.to, ["RCPT TO:<ann@x.example>"]);
    let (headers, body) = letter.text.split_once("\r\n\r\n").unwrap();
    let subject = STANDARD.encode("✅ claude-in-box");
    assert!(
        headers.contains(&format!("Subject: =?UTF-8?B?{subject}?=")),
        "{headers}"
    );
    let body = STANDARD.decode(body.replace("\r\n", "")).unwrap();
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("This is a test. 这是一条测试消息。")
    );
    assert!(!open.letters()[0].is_tls && open.letters()[0].login.is_empty());
    until("the other is tried", async || {
        let path = format!("/api/notices/deliveries?channel={refused}");
        let all = client.get(&path).await.ok();
        let why = all["deliveries"][0]["attempts"][0]["outcome"].clone();
        why.as_str()
            .is_some_and(|why| why.contains("a password is not sent without it"))
    })
    .await;
    assert_eq!(deliveries(&client).await.len(), 3);
}

#[tokio::test]
async fn a_mail_server_that_nobody_vouches_for_gets_nothing() {
    let world = World::new();
    let mails = Mails::start(true).unwrap();
    let server = serve(&world);
    let client = server.client();
    let target = json!({"kind": "mail", "server": format!("smtp://localhost:{}", mails.port()), "from": "a@b.example", "to": "c@d.example"});
    let id = channel(&client, target).await;
    client
        .post(&format!("/api/notices/channels/{id}/test"), &json!({}))
        .await
        .ok();
    until("it is tried", async || {
        deliveries(&client).await[0]["attempts"][0]["outcome"]
            .as_str()
            .is_some_and(|why| why.contains("TLS"))
    })
    .await;
    assert_eq!(mails.letters(), []);
}
