//! A journal read from its end: what is in front of a frame, page by page.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use crate::common::keeper::{Keeper, text};
use crate::common::world::{Server, World};
use cib_protocol::frame::{Data, TodoUpdate};
use serde_json::{Value, json};

/// Above every seq.
const END: u64 = u64::MAX;

async fn page(server: &Server, keeper: &Keeper, query: &str) -> (Vec<u64>, Value) {
    let path = format!("/api/sessions/{}/transcript?{query}", keeper.id);
    let page = server.client().get(&path).await.ok();
    let frames = page["frames"].as_array().unwrap();
    let seqs = frames
        .iter()
        .map(|frame| frame["seq"].as_u64().unwrap())
        .collect();
    (seqs, page)
}

#[tokio::test]
async fn the_last_frames_come_first_and_the_pages_in_front_make_the_journal_whole() {
    let world = World::new();
    let mut keeper = world.keeper();
    let frames: Vec<Data> = (0..2500).map(|i| text(format!("piece {i}"))).collect();
    keeper.append(&frames);
    let server = world.serve();
    let (seqs, last) = page(&server, &keeper, &format!("before={END}&limit=700")).await;
    assert_eq!(seqs, (1801..=2500).collect::<Vec<_>>());
    assert_eq!(
        (&last["last_seq"], &last["next"]),
        (&json!(2500), &json!(2500))
    );
    let mut all = seqs;
    let mut before = last["previous"].as_u64().unwrap();
    while before > 0 {
        let (seqs, body) = page(&server, &keeper, &format!("before={before}&limit=700")).await;
        assert_eq!(body["next"], before - 1);
        all.splice(0..0, seqs);
        before = body["previous"].as_u64().unwrap();
    }
    assert_eq!(all, (1..=2500).collect::<Vec<_>>());
    let (seqs, body) = page(&server, &keeper, "before=1").await;
    assert_eq!((seqs, &body["previous"]), (vec![], &json!(0)));
    let forward = page(&server, &keeper, "from=2400").await.1;
    assert_eq!(forward.get("previous"), None);
}

#[tokio::test]
async fn frames_read_backwards_are_those_that_stand_in_the_journal() {
    let world = World::new();
    let mut keeper = world.keeper();
    // Lines longer than what is read at a time, and lines over its edges.
    for size in [10, 70_000, 1, 200_000, 65_536, 65_300, 3, 131_072, 9] {
        keeper.append(&[text("x".repeat(size))]);
    }
    let server = world.serve();
    let written: Vec<Value> = keeper
        .journal()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .filter(|frame: &Value| frame["seq"] != 0)
        .collect();
    for before in 1..=10_usize {
        let (_, body) = page(&server, &keeper, &format!("before={before}")).await;
        assert_eq!(body["frames"].as_array().unwrap(), &written[..before - 1]);
        let (_, body) = page(&server, &keeper, &format!("before={before}&limit=2")).await;
        let from = before.saturating_sub(3);
        assert_eq!(
            body["frames"].as_array().unwrap(),
            &written[from..before - 1]
        );
    }
}

#[tokio::test]
async fn a_page_read_backwards_has_as_many_frames_of_the_wanted_kinds_as_are_asked_for() {
    let world = World::new();
    let mut keeper = world.keeper();
    for _ in 0..300 {
        keeper.append(&[text("a"), text("b"), text("c")]);
        keeper.append(&[Data::TodoUpdate(TodoUpdate::default())]);
    }
    let server = world.serve();
    let (seqs, body) = page(
        &server,
        &keeper,
        &format!("before={END}&kinds=todo.*&limit=3"),
    )
    .await;
    assert_eq!(
        (seqs, &body["previous"]),
        (vec![1192, 1196, 1200], &json!(1192))
    );
    let (seqs, body) = page(&server, &keeper, "before=9&kinds=todo.update").await;
    assert_eq!((seqs, &body["previous"]), (vec![4, 8], &json!(0)));
    let (seqs, body) = page(&server, &keeper, &format!("before={END}&kinds=none")).await;
    assert_eq!((seqs, &body["previous"]), (vec![], &json!(0)));
}

#[tokio::test]
async fn a_page_read_backwards_is_no_larger_than_anybody_wants_to_hold() {
    let world = World::new();
    let mut keeper = world.keeper();
    for _ in 0..12 {
        keeper.append(&[text("x".repeat(1024 * 1024))]);
    }
    let server = world.serve();
    let (seqs, body) = page(&server, &keeper, &format!("before={END}")).await;
    assert_eq!((seqs, &body["previous"]), (vec![9, 10, 11, 12], &json!(9)));
}

#[tokio::test]
async fn lines_that_are_no_frames_are_passed_over_backwards_too() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a")]);
    keeper.append_bytes(b"no frame\n{\"session\":\"x\",\"seq\":9}\n\n");
    keeper.append(&[text("b")]);
    keeper.append_bytes(b"not yet whole");
    let server = world.serve();
    let (seqs, body) = page(&server, &keeper, &format!("before={END}")).await;
    assert_eq!((seqs, &body["previous"]), (vec![1, 2], &json!(0)));
}

#[tokio::test]
async fn backwards_goes_with_nothing_that_reads_forwards() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a")]);
    let server = world.serve();
    for query in [
        "before=1&from=1",
        "before=1&wait_ms=1",
        "before=0",
        "before=x",
    ] {
        let path = format!("/api/sessions/{}/transcript?{query}", keeper.id);
        server.client().get(&path).await.fault(400, "bad_value");
    }
}
