//! Sessions in front of which a model's API stands.

use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{SessionId, State};
use futures_util::StreamExt as _;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{inputs, token, with_claude};
use crate::common::client::Client;
use crate::common::until;
use crate::common::world::{MASTER, World};

const MESSAGES: &str = "/v1/messages";
const CHAT: &str = "/openai/v1/chat/completions";

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

/// A request of either protocol.
fn request(messages: &[Value]) -> Value {
    json!({"model": "claude-in-box", "max_tokens": 100, "messages": messages})
}

fn ended(world: &World) -> usize {
    let init = world.init();
    let stop = |request: &KeeperRequest| matches!(request, KeeperRequest::Stop { .. });
    init.keepers
        .iter()
        .filter(|keeper| keeper.told().iter().any(stop))
        .count()
}

#[tokio::test]
async fn a_message_is_answered_by_a_session_of_its_own_that_ends_with_it() {
    let world = World::new();
    let server = world.serve();
    let client = server.stranger().with_header("x-api-key", MASTER);
    let work = async {
        let answer = client.post(MESSAGES, &request(&[user("hello")])).await;
        let body = answer.ok();
        assert_eq!(
            body["content"],
            json!([{"type": "text", "text": "You said hello"}])
        );
        assert_eq!(body["stop_reason"], "end_turn");
        assert_eq!(
            (&body["type"], &body["role"]),
            (&json!("message"), &json!("assistant"))
        );
        assert_eq!(body["usage"]["output_tokens"], 7);
        let id = answer.headers["x-cib-session"].to_str().unwrap();
        assert_eq!(world.init().specs[0].id.to_string(), id);
        until("the session ends", async || ended(&world) == 1).await;
        let client = server.client();
        let answer = client.post(CHAT, &request(&[user("hello")])).await.ok();
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["content"], "You said hello");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert_eq!(answer["usage"]["prompt_tokens"], 24);
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn a_conversation_goes_on_in_its_session_and_another_is_told_to_a_new_one() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let work = async {
        let first = [user("one")];
        client.post(CHAT, &request(&first)).await.ok();
        let then = [user("one"), assistant("You said one"), user("two")];
        client.post(CHAT, &request(&then)).await.ok();
        let specs: Vec<_> = world.init().specs.iter().map(|spec| spec.id).collect();
        assert_eq!(specs.len(), 2);
        assert_eq!(specs[0], specs[1], "the session is resumed");
        assert!(world.init().specs[1].resume.is_some());
        assert_eq!(inputs(&world), ["two"], "it knows the rest");
        // What the client has made of it is another conversation.
        let other = [user("one"), assistant("You said won"), user("three")];
        client.post(CHAT, &request(&other)).await.ok();
        assert_eq!(world.init().specs.len(), 3);
        let told = inputs(&world).pop().unwrap();
        assert!(
            told.contains("You: You said won") && told.ends_with("three"),
            "{told}"
        );
        // And what is somebody else's is not found by saying the same.
        let eve = token(
            &server,
            &["sessions:read", "sessions:write", "sessions:input"],
        )
        .await;
        let eve = server.stranger().with_token(&eve);
        let then = [
            user("one"),
            assistant("You said one"),
            user("two"),
            assistant("You said two"),
            user("four"),
        ];
        eve.post(CHAT, &request(&then)).await.ok();
        let specs: Vec<_> = world.init().specs.iter().map(|spec| spec.id).collect();
        assert!(!specs[..3].contains(&specs[3]));
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn a_session_that_is_named_gets_the_last_message_and_lives_on() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let work = async {
        let made = client.post("/api/sessions", &json!({})).await.created();
        let id = made["id"].as_str().unwrap();
        let named = client.clone().with_header("x-cib-session", id);
        let all = [user("one"), assistant("whatever"), user("two")];
        let answer = named.post(MESSAGES, &request(&all)).await.ok();
        assert_eq!(answer["content"][0]["text"], "You said two");
        let mut by_model = request(&[user("three")]);
        by_model["model"] = format!("session/{id}").into();
        let answer = client.post(CHAT, &by_model).await.ok();
        assert_eq!(answer["choices"][0]["message"]["content"], "You said three");
        assert_eq!(inputs(&world), ["two", "three"]);
        assert_eq!(ended(&world), 0);
        let models = client.get("/openai/v1/models").await.ok();
        assert!(models["data"].to_string().contains(id), "{models}");
        let nobody = SessionId::new_v4().to_string();
        let nobody = client.clone().with_header("x-cib-session", &nobody);
        let refused = nobody.post(MESSAGES, &request(&[user("x")])).await;
        assert_eq!(refused.status.as_u16(), 404);
        assert_eq!(refused.json()["error"]["type"], "not_found_error");
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn a_question_is_an_answer_and_the_next_message_answers_it() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let work = async {
        let answer = client.post(MESSAGES, &request(&[user("ask")])).await.ok();
        let text = answer["content"][0]["text"].as_str().unwrap();
        assert_eq!(text, "I wonder.\n\nWhich?\n1. Red: like blood\n2. Blue");
        assert_eq!(ended(&world), 0, "it waits");
        let then = [user("ask"), assistant(text), user("2")];
        let answer = client.post(MESSAGES, &request(&then)).await.ok();
        assert_eq!(answer["content"][0]["text"], "You said Blue");
        assert_eq!(world.init().specs.len(), 1);
    };
    with_claude(&world, work).await;
}

/// A stream of events, all of it.
async fn stream(client: &Client, path: &str, body: &Value) -> Vec<(String, String)> {
    let answer = client.post(path, body).await;
    assert_eq!(
        answer.headers["content-type"], "text/event-stream",
        "{answer:?}"
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let events = text
        .split("\n\n")
        .filter(|event| !event.is_empty() && !event.starts_with(':'));
    let field = |event: &str, name: &str| {
        let mut lines = event.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_default().to_owned()
    };
    events
        .map(|event| (field(event, "event"), field(event, "data")))
        .collect()
}

#[tokio::test]
async fn an_answer_comes_as_a_stream_with_what_claude_does_shown_in_it() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let mut body = request(&[user("tool")]);
    body["stream"] = true.into();
    let work = async {
        let events = stream(&client, MESSAGES, &body).await;
        let names: Vec<_> = events.iter().map(|(name, _)| &**name).collect();
        let block = [
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
        ];
        let whole = ["content_block_start", "content_block_stop"];
        let two = [block[0], block[1], block[1], block[2]];
        let expected = [
            &["message_start", "ping"][..],
            &block,
            &whole,
            &whole,
            &two,
            &["message_delta", "message_stop"],
        ]
        .concat();
        assert_eq!(names, expected);
        let all: Vec<Value> = events
            .iter()
            .map(|(_, data)| serde_json::from_str(data).unwrap())
            .collect();
        for (name, data) in names.iter().zip(&all) {
            assert_eq!(data["type"], *name);
        }
        let call = &all[5]["content_block"];
        assert_eq!(call["type"], "mcp_tool_use");
        assert_eq!(call["input"], json!({"command": "ls"}));
        let usage = &all[all.len() - 2]["usage"];
        assert_eq!(usage["output_tokens"], 7);
        body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        let events = stream(&client, MESSAGES, &body).await;
        assert!(
            events
                .iter()
                .any(|(_, data)| data.contains("thinking_delta"))
        );
        body["stream_options"] = json!({"include_usage": true});
        let events = stream(&client, CHAT, &body).await;
        let (last, rest) = events.split_last().unwrap();
        assert_eq!(last.1, "[DONE]");
        let (mut said, mut thought, mut reasons) = (String::new(), String::new(), Vec::new());
        for (_, data) in rest {
            let chunk: Value = serde_json::from_str(data).unwrap();
            assert_eq!(chunk["object"], "chat.completion.chunk");
            let delta = &chunk["choices"][0]["delta"];
            said.push_str(delta["content"].as_str().unwrap_or_default());
            thought.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
            reasons.extend(
                chunk["choices"][0]["finish_reason"]
                    .as_str()
                    .map(str::to_owned),
            );
        }
        assert_eq!(said, "I look.\n\nIt is there.");
        assert!(
            thought.contains("let me see") && thought.contains("[Bash]"),
            "{thought}"
        );
        assert_eq!(reasons, ["stop"]);
        assert!(rest.last().unwrap().1.contains("completion_tokens"));
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_session_with_it() {
    let world = World::new();
    let server = world.serve();
    let mut body = request(&[user("hang")]);
    body["stream"] = true.into();
    let work = async {
        let client = server.client();
        let answer = client
            .send(Method::POST, MESSAGES, body.to_string().into())
            .await;
        let mut pieces = answer.unwrap().into_body().into_data_stream();
        let mut said = Vec::new();
        while !said.windows(7).any(|piece| piece == b"I begin") {
            said.extend_from_slice(&pieces.next().await.unwrap().unwrap());
        }
        drop(pieces);
        until("the session ends", async || ended(&world) == 1).await;
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn a_client_that_goes_away_while_its_session_starts_leaves_none_behind() {
    let world = World::new();
    let server = world.serve();
    let mut body = request(&[user("hang")]);
    body["stream"] = true.into();
    let work = async {
        for n in 1..=4 {
            let client = server.client();
            let asks = client.post(MESSAGES, &body);
            let begun = async {
                while world.init().specs.len() < n {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = begun => {}
                answer = asks => panic!("it ended: {answer:?}"),
            }
            drop(client);
            until("the session ends", async || ended(&world) == n).await;
        }
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn what_fails_is_told_in_the_protocols_words() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let work = async {
        let refused = client.post(MESSAGES, &request(&[user("fail")])).await;
        assert_eq!(refused.status.as_u16(), 502);
        assert_eq!(refused.json()["error"]["type"], "api_error");
        let mut body = request(&[user("fail")]);
        body["stream"] = true.into();
        let events = stream(&client, MESSAGES, &body).await;
        let (name, data) = events.last().unwrap();
        assert_eq!(name, "error");
        assert!(data.contains("the API is overloaded"), "{data}");
        let events = stream(&client, CHAT, &body).await;
        assert!(
            events
                .last()
                .unwrap()
                .1
                .contains("\"code\":\"claude_refused\"")
        );
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn what_a_session_cannot_do_is_refused_with_the_reason() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let with = |name: &str, value: Value| {
        let mut body = request(&[user("x")]);
        body[name] = value;
        body
    };
    let said = |content: Value| request(&[json!({"role": "user", "content": content})]);
    let tool = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    for (path, body, reason) in [
        (
            MESSAGES,
            with("tools", tool.clone()),
            "takes none of a client's",
        ),
        (CHAT, with("tools", tool), "takes none of a client's"),
        (CHAT, with("n", 2.into()), "`n` is 1"),
        (
            CHAT,
            with("response_format", json!({"type": "json_object"})),
            "in text",
        ),
        (MESSAGES, with("messages", json!([])), "not the user's"),
        (
            MESSAGES,
            request(&[user("x"), assistant("y")]),
            "not the user's",
        ),
        (
            MESSAGES,
            request(&[json!({"role": "system", "content": "x"})]),
            "no role",
        ),
        (
            CHAT,
            request(&[json!({"role": "tool", "content": "x"})]),
            "no role",
        ),
        (MESSAGES, said(json!([{"type": "document"}])), "`document`"),
        (
            MESSAGES,
            said(json!([{"type": "image", "source": {"type": "url", "url": "https://x"}}])),
            "base64",
        ),
        (
            CHAT,
            said(json!([{"type": "image_url", "image_url": {"url": "https://x"}}])),
            "`data:` URL",
        ),
        (MESSAGES, json!({"messages": []}), "model"),
    ] {
        let refused = client.post(path, &body).await;
        assert_eq!(refused.status.as_u16(), 400, "{body}");
        let error = &refused.json()["error"];
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(reason), "{reason}: {message}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert!(world.init().specs.is_empty(), "nothing was begun");
}

#[tokio::test]
async fn a_talker_needs_the_scopes_of_what_it_has_done() {
    let world = World::new();
    let server = world.serve();
    let body = request(&[user("x")]);
    let stranger = server.stranger();
    let refused = stranger.post(MESSAGES, &body).await;
    assert_eq!(refused.status.as_u16(), 401);
    assert_eq!(refused.json()["error"]["type"], "authentication_error");
    let refused = stranger.post(CHAT, &body).await;
    assert_eq!(refused.json()["error"]["code"], "unauthorized");
    let wrong = server.stranger().with_header("x-api-key", "wrong");
    assert_eq!(wrong.post(MESSAGES, &body).await.status.as_u16(), 401);
    // The key is a token in front of this API and nowhere else.
    let key = server.stranger().with_header("x-api-key", MASTER);
    assert_eq!(key.get("/api/sessions").await.status.as_u16(), 401);
    assert_eq!(key.post(CHAT, &body).await.status.as_u16(), 401);
    for (scopes, status) in [
        (&["sessions:read"][..], 403),
        // A new session is somebody's who may start one.
        (&["sessions:input"], 403),
        (&["sessions:input", "sessions:read"], 403),
    ] {
        let token = token(&server, scopes).await;
        let refused = server
            .stranger()
            .with_token(&token)
            .post(MESSAGES, &body)
            .await;
        assert_eq!(refused.status.as_u16(), status, "{scopes:?}");
        assert_eq!(refused.json()["error"]["type"], "permission_error");
    }
    assert!(world.init().specs.is_empty());
    let mut keeper = world.keeper();
    keeper.become_state(State::Idle);
    let reader = token(&server, &["sessions:read"]).await;
    let reader = server.stranger().with_token(&reader);
    let named = reader.with_header("x-cib-session", &keeper.id.to_string());
    assert_eq!(named.post(MESSAGES, &body).await.status.as_u16(), 403);
    assert_eq!(keeper.told(), []);
}
