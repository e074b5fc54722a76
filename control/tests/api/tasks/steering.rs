//! What somebody does to tasks that there are: cancel, retry, message, queue, schedule.

use std::fs;
use std::time::Duration;

use cib_control::tasks::schedule::pass;
use cib_control::tasks::store::returns;
use cib_protocol::frame::{Data, Meta, Status, UsageLimit};
use cib_protocol::init::InitFault;
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{SessionId, State};
use cib_protocol::time::Timestamp;
use http::Method;
use serde_json::json;

use super::{begin, comes_to, commit, end_turn, git, has_session, submit, task, workdir, world};
use crate::common::client::Client;
use crate::common::init::Mood;
use crate::common::keeper::Keeper;
use crate::common::until;
use crate::common::world::{Server, World};

fn events_of(server: &Server, id: &str) -> String {
    let path = server
        .app
        .tasks
        .get(id)
        .unwrap()
        .folder()
        .join("transcript.jsonl");
    fs::read_to_string(path).unwrap()
}

/// Says how many tasks run at once, and whether any is begun.
async fn set_queue(client: &Client, max_running: u32, paused: bool) {
    let queue = json!({"max_running": max_running, "paused": paused});
    client
        .request(Method::PUT, "/api/tasks/queue", queue.to_string())
        .await
        .ok();
}

#[tokio::test]
async fn a_cancelled_task_ends_with_its_work_committed_wherever_it_stands() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    // Where it waits for its turn.
    set_queue(&client, 1, true).await;
    let queued = submit(&client, &json!({"prompt": "Mend api"})).await;
    client
        .post(&format!("/api/tasks/{queued}/cancel"), &json!({}))
        .await
        .ok();
    let cancelled = comes_to(&world, &client, &queued, "cancelled").await;
    assert_eq!(cancelled["error"]["kind"], "cancelled");
    assert_eq!(cancelled["error"]["detail"], "by master");
    set_queue(&client, 1, false).await;
    // In the middle of a setup command. Nobody is here who would end it, so it is waited for.
    let body = json!({"prompt": "Mend api", "setup": ["echo x > made; sleep 3"]});
    let preparing = submit(&client, &body).await;
    let stands = comes_to(&world, &client, &preparing, "preparing").await;
    until("the command runs", async || {
        workdir(&stands).join("made").exists()
    })
    .await;
    client
        .post(&format!("/api/tasks/{preparing}/cancel"), &json!({}))
        .await
        .ok();
    comes_to(&world, &client, &preparing, "cancelled").await;
    // While Claude works.
    let (working, stands) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    fs::write(workdir(&stands).join("half"), "done").unwrap();
    let path = format!("/api/tasks/{working}/cancel");
    client.post(&path, &json!({})).await.ok();
    comes_to(&world, &client, &working, "cancelled").await;
    let origin = world.workspace().join("api");
    for (id, file) in [(&preparing, "made"), (&working, "half")] {
        let branch = format!("claude/{id}");
        let saved = git(&origin, &["show", "--stat", "--format=%s", &branch]);
        assert!(saved.starts_with("WIP: the task was cancelled"), "{saved}");
        assert!(saved.contains(file), "{saved}");
    }
    client
        .post(&path, &json!({}))
        .await
        .fault(409, "task_ended");
}

#[tokio::test]
async fn time_that_is_over_ends_a_task_with_its_work_committed() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let body = json!({"prompt": "Mend api", "limits": {"duration_s": 2}});
    let (id, stands) = begin(&world, &client, &body).await;
    assert_eq!(world.init().specs[0].limits.max_duration, Some(122));
    fs::write(workdir(&stands).join("half"), "done").unwrap();
    until("it is told to hurry, and to end", async || {
        let told = world.init().keepers[0].told();
        let hurried = told.iter().position(|told| {
            matches!(told, KeeperRequest::Input { text, .. } if text.contains("Commit what you have"))
        });
        let ended = told.iter().position(|told| matches!(told, KeeperRequest::Stop { .. }));
        hurried.is_some() && ended > hurried
    })
    .await;
    let task = comes_to(&world, &client, &id, "failed").await;
    assert_eq!(task["error"]["kind"], "timeout");
    assert_eq!(task["commits"], 1);
}

#[tokio::test]
async fn a_message_reaches_the_session_or_the_one_that_comes() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    set_queue(&client, 1, true).await;
    let id = submit(&client, &json!({"prompt": "Mend api"})).await;
    let path = format!("/api/tasks/{id}/message");
    client
        .post(&path, &json!({"text": "And the tests."}))
        .await
        .ok();
    client
        .post(&path, &json!({"text": " "}))
        .await
        .fault(400, "bad_value");
    set_queue(&client, 1, false).await;
    let said = |words: &str| {
        let told = world.init().keepers.first().map(|keeper| keeper.told());
        told.unwrap_or_default()
            .iter()
            .filter(|told| matches!(told, KeeperRequest::Input { text, .. } if text == words))
            .count()
    };
    until("it is told", async || said("And the tests.") == 1).await;
    comes_to(&world, &client, &id, "working").await;
    client
        .post(&path, &json!({"text": "And the docs."}))
        .await
        .ok();
    until("it is told", async || said("And the docs.") == 1).await;
    assert_eq!(said("And the tests."), 1);
    let log = client.get(&format!("/api/tasks/{id}/logs?follow=0")).await;
    let log = String::from_utf8(log.body.to_vec()).unwrap();
    for words in ["master: And the tests.", "master: And the docs."] {
        assert_eq!(log.matches(words).count(), 1, "{words} in\n{log}");
    }
}

#[tokio::test]
async fn a_question_is_waited_for_and_told() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let (id, _) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    let question: Data = serde_json::from_value(json!({"kind": "ask.question", "data": {
        "id": "q1", "prompt": "Which\u{7} one?", "options": [], "multiSelect": false, "questions": [],
    }}))
    .unwrap();
    let waits = Data::Status(Status {
        state: State::WaitingForInput,
        elapsed_ms: 1,
    });
    world.init().keepers[0].append(&[question, waits]);
    let waiting = comes_to(&world, &client, &id, "waiting").await;
    assert_eq!(waiting["reason"], "an answer to: Which one?");
    end_turn(&world, 0, "Done.", "turn_end");
    comes_to(&world, &client, &id, "completed").await;
}

#[tokio::test]
async fn no_more_run_than_may_and_the_important_come_first() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    set_queue(&client, 1, true).await;
    let mut ids = Vec::new();
    for priority in [0, 0, 5] {
        let body = json!({"prompt": format!("Mend api {priority}"), "priority": priority});
        ids.push(submit(&client, &body).await);
    }
    let go = json!({"max_running": 1, "paused": false});
    let queue = client
        .request(Method::PUT, "/api/tasks/queue", go.to_string())
        .await
        .ok();
    assert_eq!(
        (&queue["running"], &queue["queued"]),
        (&json!(1), &json!(2))
    );
    for (nth, id) in [&ids[2], &ids[0], &ids[1]].into_iter().enumerate() {
        has_session(&world, nth + 1).await;
        let working = comes_to(&world, &client, id, "working").await;
        assert_eq!(json!(world.init().specs[nth].id), working["session"]);
        assert_eq!(client.get("/api/tasks/queue").await.ok()["running"], 1);
        end_turn(&world, nth, "Done.", "turn_end");
        comes_to(&world, &client, id, "completed").await;
    }
    for wrong in [json!({"max_running": 0}), json!({"max_running": 65})] {
        let answer = client
            .request(Method::PUT, "/api/tasks/queue", wrong.to_string())
            .await;
        answer.fault(400, "bad_value");
    }
}

#[tokio::test]
async fn a_key_makes_one_task_until_that_has_ended() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let body = json!({"prompt": "Mend api", "dedupe_key": "issue-7"});
    let (first, second) = tokio::join!(
        client.post("/api/tasks", &body),
        client.post("/api/tasks", &body)
    );
    let statuses = [first.status.as_u16(), second.status.as_u16()];
    assert!(
        statuses.contains(&201) && statuses.contains(&200),
        "{statuses:?}"
    );
    assert_eq!(first.json()["id"], second.json()["id"]);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    client
        .post(&format!("/api/tasks/{id}/cancel"), &json!({}))
        .await
        .ok();
    comes_to(&world, &client, &id, "cancelled").await;
    assert_ne!(client.post("/api/tasks", &body).await.created()["id"], *id);
}

#[tokio::test]
async fn a_task_is_retried_on_its_branch_and_removed_when_it_has_ended() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let (id, stands) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    let path = format!("/api/tasks/{id}");
    client.delete(&path).await.fault(409, "task_running");
    client
        .post(&format!("{path}/retry"), &json!({}))
        .await
        .fault(409, "task_running");
    commit(&workdir(&stands), "new");
    end_turn(&world, 0, "No.", "api_error");
    comes_to(&world, &client, &id, "failed").await;
    client.post(&format!("{path}/retry"), &json!({})).await.ok();
    has_session(&world, 2).await;
    let again = comes_to(&world, &client, &id, "working").await;
    assert_eq!(
        (&again["attempt"], &again["branch"]),
        (&json!(2), &stands["branch"])
    );
    assert!(again.get("error").is_none());
    assert_ne!(again["session"], stands["session"]);
    end_turn(&world, 1, "Yes.", "turn_end");
    comes_to(&world, &client, &id, "completed").await;
    client
        .post(&format!("{path}/retry"), &json!({}))
        .await
        .fault(409, "task_ended");
    let removed = client.delete(&format!("{path}?tree=true")).await;
    assert_eq!(removed.status, 204);
    client.get(&path).await.fault(404, "no_such_task");
    assert!(!workdir(&stands).exists());
    assert!(!world.data().join("control/tasks").join(&id).exists());
}

#[tokio::test]
async fn events_come_from_any_seq_on_and_end_with_the_task() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let id = submit(&client, &json!({"prompt": "Mend api", "repo": "none"})).await;
    comes_to(&world, &client, &id, "failed").await;
    let mut events = client
        .events(&format!("/api/tasks/{id}/events?from=1"))
        .await;
    let mut kinds = Vec::new();
    let mut last = 1;
    loop {
        let event = events.event().await;
        match event.id {
            Some(seq) => {
                assert_eq!(seq, last + 1);
                last = seq;
                kinds.push(event.event);
            }
            None => {
                assert_eq!(event.json()["reason"], "failed");
                break;
            }
        }
    }
    assert_eq!(kinds.last().unwrap(), "status");
    assert!(
        kinds.iter().filter(|kind| *kind == "task.state").count() >= 3,
        "{kinds:?}"
    );
    let text = events_of(&server, &id);
    assert_eq!(text.lines().count() as u64, last);
}

#[tokio::test]
async fn a_schedule_makes_a_task_each_time_and_none_twice() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let never = json!({"prompt": "Mend api", "schedule": "0 0 30 2 *"});
    let why = client
        .post("/api/tasks", &never)
        .await
        .fault(400, "bad_value");
    assert!(why.contains("never comes"), "{why}");
    let id = submit(
        &client,
        &json!({"prompt": "Mend api", "schedule": "*/5 * * * *"}),
    )
    .await;
    let scheduled = task(&client, &id).await;
    assert_eq!(scheduled["state"], "scheduled");
    let first: Timestamp = serde_json::from_value(scheduled["next_at"].clone()).unwrap();
    let after = |minutes: i64| Timestamp::from_millis(first.as_millis() + minutes * 60_000);
    let made = async || {
        let list = client.get("/api/tasks").await.ok();
        list["tasks"].as_array().unwrap().len() - 1
    };
    pass(&server.app, after(-1)).await;
    assert_eq!(made().await, 0);
    pass(&server.app, after(0)).await;
    // The clock steps back, and what has come does not come again.
    pass(&server.app, after(-1)).await;
    pass(&server.app, after(0)).await;
    assert_eq!(made().await, 1);
    // The last one has not ended.
    pass(&server.app, after(5)).await;
    assert_eq!(made().await, 1);
    has_session(&world, 1).await;
    end_turn(&world, 0, "Done.", "turn_end");
    let list = client.get("/api/tasks?q=mend").await.ok();
    let child = list["tasks"][0]["id"].as_str().unwrap().to_owned();
    comes_to(&world, &client, &child, "completed").await;
    // Hours are missed, and one comes.
    pass(&server.app, after(600)).await;
    assert_eq!(made().await, 2);
    client
        .post(&format!("/api/tasks/{id}/cancel"), &json!({}))
        .await
        .ok();
    comes_to(&world, &client, &id, "cancelled").await;
    pass(&server.app, after(605)).await;
    assert_eq!(made().await, 2);
}

#[tokio::test]
async fn what_waits_is_there_after_a_restart_and_half_a_task_is_not() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    set_queue(&client, 3, true).await;
    let id = submit(&client, &json!({"prompt": "Mend api"})).await;
    drop(server);
    // As it is left by who dies before a task is answered.
    let half = world.data().join("control/tasks/0000000a");
    fs::create_dir(&half).unwrap();
    let server = world.serve();
    let client = server.client();
    let queue = client.get("/api/tasks/queue").await.ok();
    let wanted = json!({"max_running": 3, "paused": true, "queued": 1, "running": 0});
    assert_eq!(queue, wanted);
    assert_eq!(task(&client, &id).await["prompt"], "Mend api");
    assert!(!half.exists());
}

#[tokio::test]
async fn a_login_that_does_not_hold_fails_one_task_and_pauses_the_queue_for_the_others() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    set_queue(&client, 1, false).await;
    let first = submit(&client, &json!({"prompt": "Mend api"})).await;
    let second = submit(&client, &json!({"prompt": "Mend api too"})).await;
    has_session(&world, 1).await;
    comes_to(&world, &client, &first, "working").await;
    let why = "the API failed: authentication_failed (401); retry 10 of 10".to_owned();
    world.init().keepers[0].append(&[Data::Meta(Meta {
        note: Some(why),
        ..Meta::default()
    })]);
    end_turn(&world, 0, "No.", "api_error");
    let failed = comes_to(&world, &client, &first, "failed").await;
    assert_eq!(failed["error"]["kind"], "auth_expired");
    until("the queue is paused", async || {
        client.get("/api/tasks/queue").await.ok()["paused"] == true
    })
    .await;
    assert_eq!(task(&client, &second).await["state"], "queued");
    set_queue(&client, 1, false).await;
    has_session(&world, 2).await;
    comes_to(&world, &client, &second, "working").await;
}

#[tokio::test]
async fn a_task_that_neither_says_nor_does_anything_is_interrupted_and_fails_as_stuck() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let body = json!({"prompt": "Mend api", "limits": {"quiet_s": 2}});
    let id = submit(&client, &body).await;
    has_session(&world, 1).await;
    world.init().keepers[0].append(&[Data::Status(Status {
        state: State::Working,
        elapsed_ms: 1,
    })]);
    let failed = comes_to(&world, &client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "stuck");
    let told = world.init().keepers[0].told();
    assert!(told.contains(&KeeperRequest::Interrupt), "{told:?}");
}

/// What a keeper writes of a usage limit that is reset then.
pub(super) fn limited(resets_at: Timestamp) -> Data {
    Data::Meta(Meta {
        usage_limit: Some(UsageLimit {
            kind: Some("five_hour".to_owned()),
            resets_at: Some(resets_at),
        }),
        ..Meta::default()
    })
}

/// When so many milliseconds have gone by.
pub(super) fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(Timestamp::now().as_millis() + millis)
}

/// Has the first session's turn end at a limit that is reset in so many milliseconds; when that is.
pub(crate) fn hit_limit(world: &World, millis: i64) -> Timestamp {
    let resets_at = later(millis);
    world.init().keepers[0].append(&[limited(resets_at)]);
    end_turn(world, 0, "You've hit your limit", "api_error");
    resets_at
}

#[tokio::test]
async fn a_usage_limit_is_waited_for_until_its_reset_and_the_queue_waits_with_it() {
    let world = world();
    let mut config = world.config();
    // The first where this machine is so slow that the reset is over when it is seen.
    config.claude_pauses = [3, 60].map(Duration::from_secs).to_vec();
    let server = world.serve_with(&config);
    let client = server.client();
    set_queue(&client, 2, false).await;
    let (id, _) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    let resets_at = hit_limit(&world, 5000);
    let waiting = comes_to(&world, &client, &id, "waiting").await;
    let until_then: Timestamp = serde_json::from_value(waiting["until"].clone()).unwrap();
    assert!(until_then >= resets_at, "{waiting:#}");
    let reason = waiting["reason"].as_str().unwrap();
    assert!(reason.starts_with("the reset of a usage limit"), "{reason}");
    let next = submit(&client, &json!({"prompt": "Mend api too"})).await;
    // Its session is ended meanwhile, and resumed then.
    until("both go on", async || {
        world.init().keepers.iter_mut().for_each(Keeper::obey);
        let state = task(&client, &next).await["state"].clone();
        let begun = world.init().specs.len();
        if Timestamp::now() < until_then {
            assert_eq!((state, begun), (json!("queued"), 1), "it is too early");
        }
        begun >= 3
    })
    .await;
    let specs = world.init().specs.clone();
    assert_eq!(specs[1].id, specs[0].id);
    assert!(specs[1].resume.is_some(), "the conversation goes on");
    let going_on = comes_to(&world, &client, &id, "working").await;
    assert!(going_on.get("until").is_none());
    let nth = |id: SessionId| {
        let keepers = &world.init().keepers;
        keepers.iter().position(|keeper| keeper.id == id).unwrap()
    };
    end_turn(&world, nth(specs[0].id), "Done.", "turn_end");
    let done = comes_to(&world, &client, &id, "completed").await;
    assert!(done["result"].as_str().unwrap().ends_with("Done."));
    comes_to(&world, &client, &next, "working").await;
}

#[tokio::test]
async fn others_wait_with_a_limit_that_an_agent_tells_of_for_so_long_and_then_one_finds_out() {
    let world = world();
    let mut config = world.config();
    config.claude_pauses = vec![Duration::from_secs(1)];
    let server = world.serve_with(&config);
    let client = server.client();
    set_queue(&client, 1, false).await;
    let (first, _) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    // It says that it was eight days.
    hit_limit(&world, 8 * 24 * 3_600_000 - 60_000);
    comes_to(&world, &client, &first, "waiting").await;
    // It gives its place back, and all others come to their end.
    let mut ids = Vec::new();
    for number in 0..2 {
        let body = json!({"prompt": format!("Mend api {number}"), "push": false});
        ids.push(submit(&client, &body).await);
    }
    comes_to(&world, &client, &ids[0], "working").await;
    let entry = server.app.tasks.get(&first).unwrap();
    let has_place = async || returns(&server.app, &entry).await;
    assert!(!has_place().await, "another has its place");
    for (nth, id) in (1..).zip(&ids) {
        has_session(&world, nth + 1).await;
        comes_to(&world, &client, id, "working").await;
        let waiting = task(&client, &first).await;
        assert!(waiting["until"].is_string(), "{waiting:#}");
        end_turn(&world, nth, "Done.", "turn_end");
        comes_to(&world, &client, id, "completed").await;
    }
    until("it has its place again", has_place).await;
}

#[tokio::test]
async fn the_queue_goes_on_with_one_that_had_to_wait_for_room_when_its_limit_was_over() {
    let world = world();
    let mut config = world.config();
    config.claude_pauses = [3, 60].map(Duration::from_secs).to_vec();
    let server = world.serve_with(&config);
    let client = server.client();
    set_queue(&client, 2, false).await;
    let (id, _) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    world.init().mood = Mood::Refusing(InitFault::NotNow);
    hit_limit(&world, 3000);
    comes_to(&world, &client, &id, "waiting").await;
    let next = submit(&client, &json!({"prompt": "Mend api too"})).await;
    until("there is no room", async || {
        world.init().keepers.iter_mut().for_each(Keeper::obey);
        task(&client, &id).await["reason"] == "the box is not ready"
    })
    .await;
    world.init().mood = Mood::Willing;
    comes_to(&world, &client, &id, "working").await;
    comes_to(&world, &client, &next, "working").await;
}

#[tokio::test]
async fn a_usage_limit_ends_a_task_that_is_not_to_wait_for_it() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let body = json!({"prompt": "Mend api", "on_limit": "fail"});
    let (id, _) = begin(&world, &client, &body).await;
    hit_limit(&world, 3_600_000);
    let failed = comes_to(&world, &client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "capacity_reached");
}

#[tokio::test]
async fn an_api_that_is_away_is_tried_again_and_then_named() {
    let world = world();
    let mut config = world.config();
    config.claude_pauses = vec![Duration::from_millis(100); 2];
    let server = world.serve_with(&config);
    let client = server.client();
    let id = submit(&client, &json!({"prompt": "Mend api"})).await;
    for tried in 1..=3 {
        has_session(&world, tried).await;
        until("its session works", async || {
            task(&client, &id).await["state"] == "working"
        })
        .await;
        let why = "the API failed: unknown; retry 10 of 10".to_owned();
        world.init().keepers[0].append(&[Data::Meta(Meta {
            note: Some(why),
            ..Meta::default()
        })]);
        end_turn(&world, 0, "No.", "api_error");
        until("it is tried again, or given up", async || {
            world.init().keepers.iter_mut().for_each(Keeper::obey);
            world.init().specs.len() > tried || task(&client, &id).await["state"] == "failed"
        })
        .await;
    }
    let failed = comes_to(&world, &client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "api_down", "{failed:#}");
    assert_eq!(world.init().specs.len(), 3);
}
