//! The box as tools for another agent.

use serde_json::{Value, json};

use super::{data, token, with_claude};
use crate::common::client::Client;
use crate::common::until;
use crate::common::world::World;
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::State;
use cib_protocol::time::Timestamp;

/// Uses a tool, and answers with its text and whether it is an error.
async fn call(client: &Client, tool: &str, arguments: Value) -> (String, bool) {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    });
    let answer = client.post("/mcp", &body).await.ok();
    let result = &answer["result"];
    let text = result["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("{answer}"));
    (text.to_owned(), result["isError"] == true)
}

/// As [`call`], for a tool that does what it should and answers in JSON.
async fn done(client: &Client, tool: &str, arguments: Value) -> Value {
    let (text, is_error) = call(client, tool, arguments).await;
    assert!(!is_error, "{tool}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn an_agent_starts_a_session_talks_to_it_answers_it_and_reads_it() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let work = async {
        let made = done(&client, "create_session", json!({"title": "mine"})).await;
        let id = made["session"].as_str().unwrap();
        let listed = done(&client, "list_sessions", json!({"live": true})).await;
        assert_eq!(listed["sessions"][0]["session"], id);
        assert_eq!(listed["sessions"][0]["title"], "mine");
        let prompted = done(&client, "create_session", json!({"prompt": "first"})).await;
        assert_eq!(
            prompted["messages"][1]["text"], "You said first",
            "{prompted}"
        );
        let message = json!({"session": id, "message": "hello", "timeout_s": 30});
        let said = done(&client, "send_message", message).await;
        assert_eq!(said["messages"][1]["text"], "You said hello", "{said}");
        assert_eq!(said["stop"], "turn_end");
        let message = json!({"session": id, "message": "ask", "timeout_s": 30});
        let said = done(&client, "send_message", message).await;
        assert_eq!(said["question"], "q1", "{said}");
        let asked = done(&client, "wait", json!({"session": id})).await;
        assert_eq!(asked["open_questions"][0]["prompt"], "Which?", "{asked}");
        let answer = json!({"session": id, "answer": "Red"});
        let rest = done(&client, "answer_question", answer).await;
        let texts = rest["messages"].to_string();
        assert!(texts.contains("You said Red"), "{rest}");
        let since = rest["last_seq"].clone();
        let message = json!({"session": id, "message": "later", "timeout_s": 0});
        done(&client, "send_message", message).await;
        let told = done(&client, "wait", json!({"session": id, "since": since})).await;
        assert!(
            told["messages"].to_string().contains("You said later"),
            "{told}"
        );
        let read = done(&client, "read_transcript", json!({"session": id})).await;
        let texts = read["messages"].to_string();
        assert!(
            texts.contains("You said hello") && texts.contains("You said Red"),
            "{read}"
        );
        let told = || {
            let init = world.init();
            let keeper = init.keepers.iter().find(|one| one.id.to_string() == id);
            keeper.unwrap().told()
        };
        done(&client, "interrupt", json!({"session": id})).await;
        assert_eq!(told().last(), Some(&KeeperRequest::Interrupt));
        let ended = done(&client, "end_session", json!({"session": id})).await;
        assert_eq!(ended["session"], id);
        let last = told().pop();
        assert!(matches!(last, Some(KeeperRequest::Stop { .. })), "{last:?}");
    };
    with_claude(&world, work).await;
}

#[tokio::test]
async fn a_tool_does_what_its_callers_token_may_and_no_more() {
    let world = World::new();
    let server = world.serve();
    let reader = token(&server, &["sessions:read"]).await;
    let reader = server.stranger().with_token(&reader);
    done(&reader, "list_sessions", json!({})).await;
    let keeper = world.keeper();
    for (tool, arguments) in [
        ("create_session", json!({})),
        (
            "send_message",
            json!({"session": keeper.id, "message": "x"}),
        ),
        ("interrupt", json!({"session": keeper.id})),
        ("end_session", json!({"session": keeper.id})),
        (
            "answer_question",
            json!({"session": keeper.id, "question": "q", "refuse": true}),
        ),
    ] {
        let (text, is_error) = call(&reader, tool, arguments).await;
        assert!(
            is_error && text.starts_with("scope_missing"),
            "{tool}: {text}"
        );
    }
    let nothing = token(&server, &["prefs:read"]).await;
    let nothing = server.stranger().with_token(&nothing);
    let (text, is_error) = call(&nothing, "list_sessions", json!({})).await;
    assert!(is_error && text.starts_with("scope_missing"), "{text}");
    assert_eq!(keeper.told(), []);
    assert!(world.init().specs.is_empty());
}

#[tokio::test]
async fn who_loses_its_token_while_it_waits_learns_no_more() {
    let world = World::new();
    let server = world.serve();
    let mut keeper = world.keeper();
    keeper.become_state(State::Idle);
    let id = keeper.id;
    let client = server.client();
    let question = json!({
        "id": "q1", "prompt": "Which?", "options": [], "multiSelect": false, "questions": [],
    });
    keeper.append(&[data("ask.question", &question)]);
    let open = json!([{"id": "q1", "prompt": "Which?", "asked_at": Timestamp::now()}]);
    keeper.ask(serde_json::from_value(open).unwrap());
    let answer = json!({"session": id, "refuse": true, "timeout_s": 60});
    let message = json!({"session": id, "message": "x", "timeout_s": 60});
    for (n, (tool, arguments)) in [("answer_question", answer), ("send_message", message)]
        .into_iter()
        .enumerate()
    {
        let scopes = ["sessions:read", "sessions:input"];
        let body = json!({"label": "client", "scopes": scopes});
        let made = client.post("/api/tokens", &body).await.created();
        let eve = server
            .stranger()
            .with_token(made["plaintext"].as_str().unwrap());
        let waits = call(&eve, tool, arguments);
        let revoked = async {
            until("it is told", async || keeper.told().len() > n).await;
            let token = format!("/api/tokens/{}", made["token"]["id"].as_str().unwrap());
            client.delete(&token).await;
        };
        let ((text, is_error), ()) = tokio::join!(waits, revoked);
        assert!(
            is_error && text.starts_with("unauthorized"),
            "{tool}: {text}"
        );
    }
}

#[tokio::test]
async fn what_a_tool_cannot_do_is_told_in_words() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let mut keeper = world.keeper();
    keeper.become_state(State::Idle);
    let id = keeper.id;
    let nobody = cib_protocol::session::SessionId::new_v4();
    for (tool, arguments, code) in [
        ("wait", json!({"session": nobody}), "no_such_session"),
        ("wait", json!({"session": "x"}), "bad_value"),
        (
            "wait",
            json!({"session": id, "timeout_s": 301}),
            "bad_value",
        ),
        ("wait", json!({"session": id, "until": 1}), "unknown_field"),
        ("send_message", json!({"session": id}), "bad_value"),
        (
            "create_session",
            json!({"workdir": "/etc"}),
            "workdir_outside",
        ),
        (
            "answer_question",
            json!({"session": id, "answer": "x"}),
            "bad_value",
        ),
        (
            "answer_question",
            json!({"session": id, "answer": "x", "refuse": true}),
            "bad_value",
        ),
        (
            "answer_question",
            json!({"session": id, "question": "q", "answer": "x"}),
            "no_such_question",
        ),
    ] {
        let (text, is_error) = call(&client, tool, arguments.clone()).await;
        assert!(
            is_error && text.starts_with(code),
            "{tool} {arguments}: {text}"
        );
    }
    // A session at rest is not waited for.
    let told = done(&client, "wait", json!({"session": id, "timeout_s": 300})).await;
    assert_eq!(told["partial"], false);
}

#[tokio::test]
async fn a_stranger_is_told_in_the_protocols_words_that_it_is_one() {
    let world = World::new();
    let server = world.serve();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let answer = server.stranger().post("/mcp", &body).await;
    assert_eq!(answer.status.as_u16(), 401);
    assert!(answer.headers.contains_key("www-authenticate"));
    assert_eq!(answer.json()["error"]["data"]["code"], "unauthorized");
    // There is no stream to open and no session to end.
    let client = server.client();
    assert_eq!(client.get("/mcp").await.status.as_u16(), 405);
    assert_eq!(client.delete("/mcp").await.status.as_u16(), 405);
    let large = "x".repeat(1024 * 1024 + 1);
    let answer = client.request(http::Method::POST, "/mcp", large).await;
    assert_eq!(answer.status.as_u16(), 413);
    assert_eq!(answer.json()["error"]["data"]["code"], "too_large");
}
