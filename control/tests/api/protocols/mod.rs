//! Protocols that others' clients speak: `docs/spec/protocols.md`.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod agentapi;
mod mcp;
mod sdks;
mod talk;
mod ttyd;

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use cib_protocol::frame::{By, Data, Role, Stop, Text};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{SessionId, State};
use cib_protocol::time::Timestamp;
use serde_json::{Value, json};

use crate::common::keeper::Keeper;
use crate::common::world::{Server, World};

fn data(kind: &str, data: &Value) -> Data {
    serde_json::from_value(json!({"kind": kind, "data": data})).unwrap()
}

/// A token with these scopes.
async fn token(server: &Server, scopes: &[&str]) -> String {
    let body = json!({"label": "client", "scopes": scopes});
    let made = server.client().post("/api/tokens", &body).await.created();
    made["plaintext"].as_str().unwrap().to_owned()
}

/// Does some work in a box whose sessions answer what they are told, as Claude would: words with the
/// same words, `tool` with a use of one, `ask` with a question, `hang` with nothing but a beginning,
/// and `fail` with an error of the API's.
async fn with_claude<T>(world: &World, work: impl Future<Output = T>) -> T {
    world.init().go_on = true;
    tokio::select! {
        never = claude(world) => never,
        done = work => done,
    }
}

async fn claude<T>(world: &World) -> T {
    // How many requests of each keeper were answered. One that is resumed begins anew.
    let mut answered: HashMap<SessionId, usize> = HashMap::new();
    loop {
        for keeper in &mut world.init().keepers {
            let told = keeper.told();
            let count = answered.entry(keeper.id).or_default();
            *count = (*count).min(told.len());
            for request in &told[*count..] {
                *count += 1;
                answer(keeper, request);
            }
            let is_over = told
                .iter()
                .any(|request| matches!(request, KeeperRequest::Stop { .. }));
            keeper.obey();
            if is_over {
                *count = 0;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn answer(keeper: &mut Keeper, request: &KeeperRequest) {
    match request {
        KeeperRequest::Input { text, id, .. } => {
            let id = id.map(|id| id.to_string());
            let messages = id.iter().cloned().collect();
            keeper.become_state(State::Working);
            keeper.append(&[Data::Text(Text {
                text: text.clone(),
                role: Role::User,
                message_id: id,
                ..Text::default()
            })]);
            turn(keeper, text, messages);
        }
        KeeperRequest::Answer { id, answers } => {
            let said = answers.values().cloned().collect::<Vec<_>>().join(", ");
            keeper.append(&[data("ask.answer", &json!({"id": id, "answers": answers}))]);
            keeper.ask(Vec::new());
            turn(keeper, &said, Vec::new());
        }
        _ => {}
    }
}

fn say(text: &str, message: &str) -> Data {
    data("text.delta", &json!({"text": text, "message_id": message}))
}

/// What Claude says to a text, piece by piece.
fn turn(keeper: &mut Keeper, text: &str, messages: Vec<String>) {
    let last = text.lines().last().unwrap_or_default();
    match last {
        "hang" => return keeper.append(&[say("I begin", "m1")]),
        "ask" => {
            let question = json!({
                "id": "q1", "prompt": "Which?", "options": [], "multiSelect": false,
                "questions": [{"question": "Which?", "header": "", "options": [
                    {"label": "Red", "description": "like blood"}, {"label": "Blue"},
                ], "multiSelect": false}],
            });
            keeper.append(&[say("I wonder.", "m1"), data("ask.question", &question)]);
            let open = json!([{"id": "q1", "prompt": "Which?", "asked_at": Timestamp::now()}]);
            keeper.ask(serde_json::from_value(open).unwrap());
            return keeper.become_state(State::WaitingForInput);
        }
        "tool" => {
            let start = json!({"tool_use_id": "t1", "tool": "Bash", "input": {"command": "ls"}});
            let result = json!({"tool_use_id": "t1", "output": "a\nb", "is_error": false});
            keeper.append(&[
                data(
                    "thinking",
                    &json!({"text": "let me see", "message_id": "m1"}),
                ),
                say("I look.", "m1"),
                data("tool.use.start", &start),
                data("tool.use.result", &result),
                say("It is ", "m2"),
                say("there.", "m2"),
            ]);
        }
        _ => keeper.append(&[say("You said ", "m1"), say(last, "m1")]),
    }
    let usage = json!({"input": 3, "output": 7, "cache_read": 20, "cache_write": 1});
    let reason = if last == "fail" {
        "api_error"
    } else {
        "turn_end"
    };
    keeper.append(&[
        data("usage", &usage),
        Data::Stop(Stop {
            reason: reason.to_owned(),
            detail: (last == "fail").then(|| "the API is overloaded".to_owned()),
            by: Some(By::User),
            messages,
            ..Stop::default()
        }),
    ]);
    keeper.become_state(State::Idle);
}

/// The texts that the sessions of the box were given, session by session.
fn inputs(world: &World) -> Vec<String> {
    let init = world.init();
    let told = init.keepers.iter().flat_map(Keeper::told);
    told.filter_map(|request| match request {
        KeeperRequest::Input { text, .. } => Some(text),
        _ => None,
    })
    .collect()
}
