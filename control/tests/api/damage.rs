//! What is wrong with one session's files is that session's trouble and nobody else's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::keeper::text;
use crate::common::world::World;
use serde_json::{Value, json};

/// Longer than an answer takes that waits for nothing.
const AT_ONCE: Duration = Duration::from_secs(20);

fn replace(journal: &Path, with: impl FnOnce(&Path)) {
    fs::remove_file(journal).unwrap();
    with(journal);
}

fn sparse(journal: &Path, len: u64, end: &[u8]) {
    let mut file = File::create_new(journal).unwrap();
    file.set_len(len).unwrap();
    OpenOptions::new()
        .append(true)
        .open(journal)
        .unwrap()
        .write_all(end)
        .unwrap();
    file.flush().unwrap();
}

#[tokio::test]
async fn a_damaged_session_is_in_the_list_with_a_reason_and_holds_nobody_up() {
    type Damage = Box<dyn FnOnce(&Path)>;
    let damages: [(&str, Damage); 6] = [
        (
            "pipe",
            Box::new(|path| {
                let made = std::process::Command::new("mkfifo")
                    .arg(path)
                    .status()
                    .unwrap();
                assert!(made.success());
            }),
        ),
        ("folder", Box::new(|path| fs::create_dir(path).unwrap())),
        (
            "link",
            Box::new(|path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap()),
        ),
        ("hole", Box::new(|path| sparse(path, 1 << 41, b""))),
        (
            "hole and newline",
            Box::new(|path| sparse(path, 2 << 30, b"\n")),
        ),
        (
            "garbage",
            Box::new(|path| fs::write(path, "no frame\n").unwrap()),
        ),
    ];
    let world = World::new();
    let mut good = world.keeper();
    good.append(&[text("still here")]);
    let mut bad = Vec::new();
    for (name, damage) in damages {
        let keeper = world.keeper();
        replace(&keeper.dir().join("transcript.jsonl"), damage);
        bad.push((name, keeper));
    }
    let server = world.serve();
    let client = server.client();
    let begun = Instant::now();
    let list = loop {
        let list = client.get("/api/sessions").await.ok();
        if list["incomplete"] != json!(true) {
            break list;
        }
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    };
    let sessions = list["sessions"].as_array().unwrap();
    let find = |id: &dyn ToString| {
        let id = json!(id.to_string());
        sessions.iter().find(|session| session["id"] == id)
    };
    assert_eq!(find(&good.id).unwrap()["damage"], Value::Null);
    for (name, keeper) in &bad {
        let shown = find(&keeper.id).unwrap_or_else(|| panic!("{name} is not in the list"));
        assert!(shown["damage"].is_string(), "{name}: {shown}");
        for route in ["", "/transcript", "/chat"] {
            let path = format!("/api/sessions/{}{route}", keeper.id);
            client.get(&path).await.fault(500, "journal_unreadable");
        }
    }
    let path = format!("/api/sessions/{}/transcript", good.id);
    let page = client.get(&path).await.ok();
    assert_eq!(page["frames"][0]["data"]["text"], "still here");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_line_that_would_forge_an_event_is_passed_on_to_nobody() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("one")]);
    let id = keeper.id;
    let forged = format!(
        "{{\"session\":\"{id}\",\"seq\":2,\"ts\":\"2026-01-01T00:00:00.000Z\",\"kind\":\"raw\",\"data\":1}}\rid: 99\n\
         {{\"session\":\"{id}\",\"seq\":3,\"ts\":\"2026-01-01T00:00:00.000Z\",\"kind\":\"a\\nid: 9\",\"data\":1}}\n\
         {{\"session\":\"{id}\",\"seq\":4,\"ts\":\"2026-01-01T00:00:00.000Z\",\"kind\":\"raw\",\"data\":}}\n\
         {{\"session\":\"00000000-0000-0000-0000-000000000000\",\"seq\":5,\"ts\":\"2026-01-01T00:00:00.000Z\",\"kind\":\"raw\",\"data\":1}}\n"
    );
    keeper.append_bytes(forged.as_bytes());
    for _ in 2..=5 {
        keeper.next_line(&text("was forged"));
    }
    keeper.append(&[text("six")]);
    let server = world.serve();
    // Twice: what was found unfit is not forgotten.
    for _ in 0..2 {
        let page = server
            .client()
            .get(&format!("/api/sessions/{id}/transcript"))
            .await
            .ok();
        let seqs: Vec<_> = page["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| frame["seq"].clone())
            .collect();
        assert_eq!(seqs, [json!(1), json!(6)]);
    }
    let session = server
        .client()
        .get(&format!("/api/sessions/{id}"))
        .await
        .ok();
    assert!(session["damage"].is_string(), "{session}");
}

#[tokio::test]
async fn a_long_conversation_comes_in_parts_and_nothing_of_it_is_lost() {
    let world = World::new();
    let mut keeper = world.keeper();
    let piece = "x".repeat(100_000);
    let frames: Vec<_> = (0..120).map(|_| text(piece.as_str())).collect();
    keeper.append(&frames);
    let server = world.serve();
    let (mut since, mut bytes, mut parts) = (0, 0, 0);
    loop {
        let path = format!("/api/sessions/{}/chat?since={since}", keeper.id);
        let part = server.client().get(&path).await.ok();
        let messages = part["messages"].as_array().unwrap();
        let size: usize = messages
            .iter()
            .filter_map(|message| message["text"].as_str())
            .map(str::len)
            .sum();
        assert!(size < 6 << 20, "{size} bytes at once");
        bytes += size;
        parts += 1;
        since = part["last_seq"].as_u64().unwrap();
        if part["partial"] != json!(true) {
            break;
        }
    }
    assert_eq!((bytes, since), (120 * piece.len(), 120));
    assert!(parts > 1);
}
