//! Purging: what has ended, and what ended long ago.

use std::fs;
use std::time::Duration;

use crate::common::init::Mood;
use crate::common::keeper::{Keeper, spec, text};
use crate::common::world::World;
use cib_control::sessions::retention;
use cib_protocol::frame::{Data, Frame, Status};
use cib_protocol::init::InitFault;
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Program, SessionSpec, State};
use cib_protocol::time::Timestamp;
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn shell(world: &World) -> Keeper {
    world.keeper_of(&SessionSpec {
        program: Program::Shell,
        ..spec()
    })
}

#[tokio::test]
async fn of_a_purged_session_there_is_nothing_any_more_anywhere() {
    for (kind, name) in [("sessions", "no_such_session"), ("shells", "no_such_shell")] {
        let world = World::new();
        let mut keeper = match kind {
            "sessions" => world.keeper(),
            _ => shell(&world),
        };
        let other = world.keeper();
        keeper.append(&[text("a secret")]);
        keeper.end(State::Stopped);
        let server = world.serve();
        let client = server.client();
        let path = format!("/api/{kind}/{}", keeper.id);
        let other_kind = if kind == "shells" {
            "sessions"
        } else {
            "shells"
        };
        let wrong = format!("/api/{other_kind}/{}?purge=true", keeper.id);
        let answer = client.delete(&wrong).await;
        assert!(
            answer
                .fault(404, &name_of(other_kind))
                .contains("there is no")
        );
        assert!(world.init().purged.is_empty());
        let kept = client.delete(&format!("{path}?purge=false")).await.ok();
        assert_eq!(kept.get("purged"), None);
        let answer = client.delete(&format!("{path}?purge=true")).await.ok();
        assert_eq!(answer["id"], json!(keeper.id));
        assert_eq!(answer["state"], "stopped");
        assert_eq!(answer["purged"], json!({"freed": 4096}));
        assert_eq!(world.init().purged, [keeper.id]);
        for rest in ["", "/transcript", "/events"] {
            client.get(&format!("{path}{rest}")).await.fault(404, name);
        }
        let list = client.get(&format!("/api/{kind}")).await.ok();
        assert!(!list.to_string().contains(&keeper.id.to_string()), "{list}");
        for query in ["", "?purge=true", "?purge=true&signal=kill"] {
            client
                .delete(&format!("{path}{query}"))
                .await
                .fault(404, name);
        }
        client
            .get(&format!("/api/sessions/{}", other.id))
            .await
            .ok();
    }
}

fn name_of(kind: &str) -> String {
    format!("no_such_{}", kind.trim_end_matches('s'))
}

#[tokio::test]
async fn what_lives_is_ended_first_and_who_follows_it_sees_its_end() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let client = server.client();
    let path = format!("/api/sessions/{}", keeper.id);
    let mut events = client.events(&format!("{path}/events")).await;
    let purge = format!("{path}?purge=true");
    let ending = async {
        crate::common::until("the keeper is told to stop", async || {
            !keeper.told().is_empty()
        })
        .await;
        assert!(world.init().purged.is_empty(), "not while it lives");
        keeper.end(State::Stopped);
    };
    let (answer, ()) = tokio::join!(client.delete(&purge), ending);
    let answer = answer.ok();
    assert_eq!(answer["state"], "stopped");
    assert!(answer["purged"]["freed"].is_u64());
    assert_eq!(keeper.told(), [KeeperRequest::Stop { kill: false }]);
    let rest = crate::common::soon(events.rest()).await;
    let last = rest.last().unwrap().json();
    let reason = last["reason"].as_str().unwrap();
    assert!(["stopped", "gone"].contains(&reason), "{reason}");
    client.get(&path).await.fault(404, "no_such_session");
}

#[tokio::test]
async fn what_init_does_not_purge_is_still_there_and_the_code_says_why() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.end(State::Stopped);
    let server = world.serve();
    let client = server.client();
    let path = format!("/api/sessions/{}", keeper.id);
    for (refusal, status, name) in [
        (InitFault::PurgeLate, 504, "purge_late"),
        (InitFault::SessionExists, 409, "session_running"),
        (InitFault::NotNow, 503, "not_now"),
        (InitFault::Internal, 500, "internal"),
    ] {
        world.init().mood = Mood::Refusing(refusal);
        client
            .delete(&format!("{path}?purge=true"))
            .await
            .fault(status, name);
        client.get(&path).await.ok();
    }
    client
        .delete(&format!("{path}?purge=yes"))
        .await
        .fault(400, "bad_value");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_not_purged_and_can_be_asked_for_again() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let client = server.client();
    let path = format!("/api/sessions/{}", keeper.id);
    let purge = format!("{path}?purge=true");
    let answer = client.delete(&purge).await;
    assert!(answer.fault(504, "purge_late").contains("signal=kill"));
    assert!(world.init().purged.is_empty());
    assert_eq!(client.get(&path).await.ok()["state"], "idle");
    keeper.end(State::Stopped);
    client.delete(&purge).await.ok();
    assert_eq!(world.init().purged, [keeper.id]);
}

#[tokio::test]
async fn one_whose_journal_is_damaged_is_purged_when_somebody_asks_for_it() {
    let world = World::new();
    let keeper = world.keeper();
    let journal = keeper.dir().join("transcript.jsonl");
    drop(keeper);
    fs::remove_file(&journal).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &journal).unwrap();
    let id = journal.parent().unwrap().file_name().unwrap();
    let server = world.serve();
    let client = server.client();
    let path = format!("/api/sessions/{}", id.to_str().unwrap());
    client.get(&path).await.fault(500, "journal_unreadable");
    client.delete(&path).await.fault(500, "journal_unreadable");
    let answer = client.delete(&format!("{path}?purge=true")).await.ok();
    assert!(answer["damage"].is_string(), "{answer}");
    client.get(&path).await.fault(404, "no_such_session");
}

#[tokio::test]
async fn a_pass_purges_what_ended_before_and_nothing_that_lives_or_is_damaged() {
    let world = World::new();
    let (mut old, mut old_shell) = (world.keeper(), shell(&world));
    let live = world.keeper();
    let mut damaged = world.keeper();
    let mut seen = world.keeper();
    damaged.append_bytes(b"nonsense\n");
    for keeper in [&mut old, &mut old_shell, &mut damaged] {
        keeper.end(State::Stopped);
    }
    let server = world.serve();
    let now = Timestamp::now();
    let later = |time: Duration| {
        let millis = i64::try_from(time.as_millis()).unwrap();
        Timestamp::from_millis(now.as_millis() + millis)
    };
    let young = retention::pass(&server.app, later(DAY / 2), DAY).await;
    assert_eq!(young, retention::Outcome::default());
    // Its keeper is gone and has said nothing of an end.
    seen.vanish();
    let outcome = retention::pass(&server.app, later(DAY * 2), DAY).await;
    let expected = retention::Outcome {
        purged: 2,
        freed: 2 * 4096,
        ..retention::Outcome::default()
    };
    assert_eq!(outcome, expected);
    let mut purged = world.init().purged.clone();
    purged.sort();
    let mut ended = [old.id, old_shell.id];
    ended.sort();
    assert_eq!(purged, ended);
    for keeper in [&live, &damaged, &seen] {
        assert!(keeper.dir().is_dir());
    }
}

#[tokio::test]
async fn a_pass_ends_when_init_does_not_answer_and_says_so() {
    let world = World::new();
    for _ in 0..3 {
        world.keeper().end(State::Stopped);
    }
    world.init().mood = Mood::Refusing(InitFault::NotNow);
    let server = world.serve();
    let later = Timestamp::from_millis(Timestamp::now().as_millis() + 7_200_000);
    let outcome = retention::pass(&server.app, later, Duration::from_secs(3600)).await;
    assert_eq!((outcome.purged, outcome.failed), (0, 1));
    assert!(outcome.why.unwrap().starts_with("not_now: "));
}

#[tokio::test]
async fn what_ended_long_ago_by_its_journal_is_purged_when_control_starts() {
    let world = World::new();
    let (mut old, mut new) = (world.keeper(), world.keeper());
    let now = Timestamp::now().as_millis();
    let ended = Timestamp::from_millis(now - 48 * 3_600_000);
    let mut line = Vec::new();
    let state = State::Stopped;
    let end = Data::Status(Status {
        state,
        elapsed_ms: 1,
    });
    Frame::write_line(&mut line, old.id, old.last_seq() + 1, ended, &end).unwrap();
    old.append_bytes(&line);
    old.vanish();
    new.end(State::Stopped);
    fs::create_dir_all(world.data().join("control")).unwrap();
    let mark = world.data().join("control/retention");
    fs::write(&mark, (now - 3_600_000).to_string()).unwrap();
    let server = world.serve();
    let keeping = tokio::spawn(retention::keep(server.app.clone(), DAY, world.data()));
    crate::common::until("the old one is purged", async || {
        world.init().purged == [old.id]
    })
    .await;
    keeping.abort();
    let believed: i64 = fs::read_to_string(&mark).unwrap().parse().unwrap();
    assert!(believed >= now, "{believed}");
    let path = |keeper: &Keeper| format!("/api/sessions/{}", keeper.id);
    let client = server.client();
    client.get(&path(&old)).await.fault(404, "no_such_session");
    client.get(&path(&new)).await.ok();
}
