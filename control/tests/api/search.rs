//! Looking for words over the API.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use crate::common::keeper::{self, Keeper};
use crate::common::world::{Server, World};
use cib_protocol::frame::{Agent, Data, Role, Text};
use cib_protocol::session::State;
use serde_json::{Value, json};

fn said(role: Role, message: &str, text: &str) -> Data {
    Data::Text(Text {
        text: text.to_owned(),
        role,
        message_id: Some(message.to_owned()),
        ..Text::default()
    })
}

fn titled(world: &World, title: &str) -> Keeper {
    let mut spec = keeper::spec();
    spec.title = Some(title.to_owned());
    world.keeper_of(&spec)
}

async fn find(server: &Server, query: &str) -> Value {
    server
        .client()
        .get(&format!("/api/search?{query}"))
        .await
        .ok()
}

fn sessions(found: &Value) -> Vec<&str> {
    let hits = found["hits"].as_array().unwrap().iter();
    hits.map(|hit| hit["session"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn words_are_found_in_titles_and_in_messages_whatever_pieces_they_came_in() {
    let world = World::new();
    let server = world.serve();
    let named = titled(&world, "Mend the fence");
    let mut talked = titled(&world, "Something else");
    talked.append(&[
        said(Role::User, "u1", "Please look at the gate"),
        said(Role::Assistant, "a1", "The fen"),
        // What a subagent says in between is a message of its own.
        Data::Text(Text {
            text: "nothing here".to_owned(),
            message_id: Some("s1".to_owned()),
            agent: Some(Agent {
                parent_tool_use_id: "t".to_owned(),
                agent_id: None,
                subagent_type: None,
            }),
            ..Text::default()
        }),
        said(
            Role::Assistant,
            "a1",
            "CE leans, <b>and</b> the post is rotten",
        ),
        said(Role::Assistant, "a2", "no more"),
    ]);
    let found = find(&server, "q=fence").await;
    let (one, other) = (named.id.to_string(), talked.id.to_string());
    let mut both = sessions(&found);
    both.sort_unstable();
    let mut expected = [&*one, &*other];
    expected.sort_unstable();
    assert_eq!(both, expected);
    let hits = found["hits"].as_array().unwrap();
    let hit = hits.iter().find(|hit| hit["session"] == other).unwrap();
    assert_eq!(hit["name"], false);
    assert_eq!(
        hit["places"],
        json!([{
            "seq": 2,
            "at": hit["places"][0]["at"],
            "role": "assistant",
            "snippet": {
                "before": "The ",
                "found": "fenCE",
                "after": " leans, <b>and</b> the post is rotten",
            },
        }])
    );
    assert_eq!(
        find(&server, "q=ROTTEN+fence").await["hits"][0]["session"],
        other
    );
    // Words of two messages are in neither.
    assert_eq!(find(&server, "q=rotten+gate").await["hits"], json!([]));
    assert_eq!(sessions(&find(&server, "q=fence&in=names").await), [&*one]);
}

#[tokio::test]
async fn a_search_goes_on_where_it_stopped_and_ends() {
    let world = World::new();
    let server = world.serve();
    let mut keepers = Vec::new();
    for n in 0..5 {
        let mut keeper = titled(&world, &format!("n{n}"));
        keeper.append(&[said(Role::User, "u", "the same word")]);
        keeper.end(State::Stopped);
        keepers.push(keeper);
    }
    let mut seen = Vec::new();
    let mut query = "q=same&limit=2".to_owned();
    loop {
        let found = find(&server, &query).await;
        seen.extend(sessions(&found).into_iter().map(str::to_owned));
        let Some(next) = found["next"].as_str() else {
            break;
        };
        query = format!("q=same&limit=2&after={next}");
        assert!(seen.len() <= 5, "{seen:?}");
    }
    seen.sort_unstable();
    let mut all: Vec<_> = keepers.iter().map(|keeper| keeper.id.to_string()).collect();
    all.sort_unstable();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn what_is_damaged_or_another_sessions_is_passed_over() {
    let world = World::new();
    let server = world.serve();
    let mut keeper = titled(&world, "one");
    keeper.append_bytes(b"needle, and no frame\n{\"text\":\"needle\"}\n\xff needle\n");
    let mut other = titled(&world, "two");
    let foreign = other.next_line(&said(Role::User, "u", "a needle of another"));
    keeper.append_bytes(&foreign);
    keeper.append_bytes(br#"{"session":"torn needle"#);
    assert_eq!(find(&server, "q=needle").await["hits"], json!([]));
    std::fs::remove_file(keeper.dir().join("transcript.jsonl")).unwrap();
    assert_eq!(find(&server, "q=needle").await["hits"], json!([]));
}

#[tokio::test]
async fn a_search_for_nothing_and_one_without_the_scope_are_refused() {
    let world = World::new();
    let server = world.serve();
    let long = format!("q={}", "x".repeat(201));
    for wrong in [
        "",
        "q=",
        "q=+",
        "q=a&in=tools",
        "q=a&limit=101",
        "q=a&after=x",
        &long,
    ] {
        let path = format!("/api/search?{wrong}");
        server.client().get(&path).await.fault(400, "bad_value");
    }
    let request = json!({"label": "x", "scopes": ["usage:read"]});
    let made = server
        .client()
        .post("/api/tokens", &request)
        .await
        .created();
    let other = server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap());
    other
        .get("/api/search?q=a")
        .await
        .fault(403, "scope_missing");
}
