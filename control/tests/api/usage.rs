//! What was used, over the API.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use crate::common::keeper::Keeper;
use crate::common::world::World;
use cib_protocol::frame::{Data, Meta, Stop};
use cib_protocol::limits::Usage;
use cib_protocol::session::State;
use cib_protocol::time::Timestamp;
use serde_json::{Value, json};

fn used(input: u64, cost_usd: f64) -> Data {
    Data::Usage(Usage {
        input,
        cost_usd,
        ..Usage::default()
    })
}

fn model(name: &str) -> Data {
    Data::Meta(Meta {
        model: Some(name.to_owned()),
        ..Meta::default()
    })
}

/// A turn as it stands in a journal of another day.
fn on(keeper: &mut Keeper, day: &str, data: &Data) {
    let line = keeper.next_line(data);
    let text = String::from_utf8(line).unwrap();
    let (head, rest) = text.split_once(r#""ts":""#).unwrap();
    let (_, rest) = rest.split_once('"').unwrap();
    let line = format!(r#"{head}"ts":"{day}T12:00:00.000Z"{rest}"#);
    keeper.append_bytes(line.as_bytes());
}

fn rows(report: &Value) -> Vec<(&str, u64, u64)> {
    let rows = report["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        let input = row["usage"]["input"].as_u64().unwrap();
        (
            row["key"].as_str().unwrap(),
            input,
            row["turns"].as_u64().unwrap(),
        )
    })
    .collect()
}

#[tokio::test]
async fn what_was_used_is_told_by_day_session_and_model() {
    let world = World::new();
    let server = world.serve();
    let (mut one, mut other) = (world.keeper(), world.keeper());
    on(&mut one, "2026-11-01", &model("opus"));
    on(&mut one, "2026-11-01", &used(1, 0.5));
    on(&mut one, "2026-11-02", &used(2, 0.5));
    on(&mut one, "2026-11-02", &model("haiku"));
    on(&mut one, "2026-11-02", &used(4, 0.5));
    on(&mut other, "2026-11-02", &model("opus"));
    on(&mut other, "2026-11-02", &used(8, 9.0));
    on(&mut other, "2026-11-09", &used(16, 1.0));
    other.append(&[Data::Stop(Stop::default())]);
    let get = async |query: &str| {
        let path = format!("/api/usage?since=2026-11-01&until=2026-11-08{query}");
        server.client().get(&path).await.ok()
    };
    let days = get("").await;
    assert_eq!(rows(&days), [("2026-11-01", 1, 1), ("2026-11-02", 14, 3)]);
    assert_eq!(
        (&days["since"], &days["until"]),
        (&json!("2026-11-01"), &json!("2026-11-08"))
    );
    assert_eq!(days["total"]["input"], 15);
    assert_eq!(
        (&days["turns"], &days["incomplete"]),
        (&json!(4), &json!(false))
    );
    let (first, second) = (one.id.to_string(), other.id.to_string());
    let sessions = get("&group_by=session").await;
    assert_eq!(rows(&sessions), [(&*second, 8, 1), (&*first, 7, 3)]);
    let models = get("&group_by=model").await;
    assert_eq!(rows(&models), [("opus", 11, 3), ("haiku", 4, 1)]);
    // A live session's next turn is there with the next question.
    on(&mut one, "2026-11-03", &used(32, 0.0));
    assert_eq!(get("").await["total"]["input"], 47);
}

#[tokio::test]
async fn what_was_used_outlives_a_restart_of_control_without_a_journal_being_read() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[model("opus"), used(3, 0.1)]);
    keeper.end(State::Stopped);
    let today = &Timestamp::now().to_string()[..10];
    let server = world.serve();
    let told = server.client().get("/api/usage").await.ok();
    server.app.store.save().await;
    let kept = std::fs::read_to_string(world.data().join("control/sessions.jsonl")).unwrap();
    assert!(kept.contains(r#""m":"opus""#), "{kept}");
    drop(server);
    let server = world.serve();
    let again = server.client().get("/api/usage").await.ok();
    assert_eq!(again, told);
    assert!(
        again["rows"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["key"] == today)
    );
}

#[tokio::test]
async fn a_misspelt_day_is_refused_and_so_is_a_caller_without_the_scope() {
    let world = World::new();
    let server = world.serve();
    for wrong in [
        "since=monday",
        "until=2026-02-30",
        "group_by=year",
        "since=2026-11-02&until=2026-11-01",
    ] {
        let path = format!("/api/usage?{wrong}");
        server.client().get(&path).await.fault(400, "bad_value");
    }
    let request = json!({"label": "x", "scopes": ["sessions:read"]});
    let made = server
        .client()
        .post("/api/tokens", &request)
        .await
        .created();
    let reader = server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap());
    reader.get("/api/usage").await.fault(403, "scope_missing");
}
