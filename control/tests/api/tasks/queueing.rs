//! Many tasks at once: how many run, and where two meet.

use std::time::Duration;

use cib_protocol::forge::ForgeKind;
use cib_protocol::time::Timestamp;
use cib_testkit::forge::Fault;
use http::Method;
use serde_json::{Value, json};

use super::pulls::{add, forged, forged_with};
use super::steering::{later, limited};
use super::{comes_to, commit, end_turn, git, has_session, submit, task, turn, workdir, world};
use crate::common::client::Client;
use crate::common::keeper::Keeper;
use crate::common::until;
use crate::common::world::World;

async fn set_queue(client: &Client, max_running: u32, paused: bool) {
    let queue = json!({"max_running": max_running, "paused": paused});
    let path = "/api/tasks/queue";
    let put = client.request(Method::PUT, path, queue.to_string());
    put.await.ok();
}

async fn is_done(client: &Client, id: &str) -> bool {
    let task = task(client, id).await;
    assert_ne!(task["state"], "failed", "{task:#}");
    task["state"] == "completed"
}

/// Has every session that is there say that it is done.
fn all_end(world: &World, ended: &mut usize) {
    let mut init = world.init();
    for keeper in init.keepers.iter_mut().skip(*ended) {
        keeper.append(&turn("Done.", "turn_end"));
        *ended += 1;
    }
    init.keepers.iter_mut().for_each(Keeper::obey);
}

#[tokio::test]
async fn of_fifty_tasks_three_run_at_once_and_all_come_to_their_end_in_their_order() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    set_queue(&client, 3, true).await;
    let mut ids = Vec::new();
    for number in 0..50 {
        let body = json!({"prompt": format!("Mend api {number}"), "push": false});
        ids.push(submit(&client, &body).await);
    }
    world.init().says = turn("Done.", "turn_end");
    set_queue(&client, 3, false).await;
    let mut most = 0;
    // One after the other, so that each has its own time.
    for left in (0..ids.len() as u64).rev() {
        until("one more is done", async || {
            // Often enough, and not so often that they have no time for their work.
            tokio::time::sleep(Duration::from_millis(20)).await;
            world.init().keepers.iter_mut().for_each(Keeper::obey);
            let queue = client.get("/api/tasks/queue").await.ok();
            let running = queue["running"].as_u64().unwrap();
            most = most.max(running);
            running + queue["queued"].as_u64().unwrap() <= left
        })
        .await;
    }
    assert_eq!(most, 3);
    assert_eq!(world.init().specs.len(), 50, "each had one session");
    let list = client.get("/api/tasks?state=completed").await.ok();
    let mut begun: Vec<(Timestamp, Timestamp)> = Vec::new();
    for task in list["tasks"].as_array().unwrap() {
        let at = |field: &str| serde_json::from_value(task[field].clone()).unwrap();
        begun.push((at("started_at"), at("created_at")));
    }
    assert_eq!(begun.len(), 50);
    begun.sort_unstable();
    let is_in_order = begun.is_sorted_by_key(|(_, asked)| *asked);
    assert!(is_in_order, "the oldest came first");
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/tasks?limit=20{after}");
        let page = client.get(&path).await.ok();
        let tasks = page["tasks"].as_array().unwrap();
        assert!((1..=20).contains(&tasks.len()), "{page}");
        let id = |task: &Value| task["id"].as_str().unwrap().to_owned();
        listed.extend(tasks.iter().map(id));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    listed.sort_unstable();
    ids.sort_unstable();
    assert_eq!(listed, ids, "page by page each is listed once");
}

#[tokio::test]
async fn memory_that_tasks_ask_for_is_not_given_twice() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    set_queue(&client, 9, false).await;
    let most = server.app.tasks.memory;
    let body = |memory: u64| json!({"prompt": "Mend api", "limits": {"memory": memory}});
    let first = submit(&client, &body(most / 2 + 1)).await;
    let second = submit(&client, &body(most / 2 + 1)).await;
    let third = submit(&client, &json!({"prompt": "Mend api"})).await;
    has_session(&world, 1).await;
    comes_to(&world, &client, &first, "working").await;
    for id in [&second, &third] {
        assert_eq!(task(&client, id).await["state"], "queued");
    }
    end_turn(&world, 0, "Done.", "turn_end");
    comes_to(&world, &client, &first, "completed").await;
    for id in [&second, &third] {
        comes_to(&world, &client, id, "working").await;
    }
}

#[tokio::test]
async fn two_tasks_on_one_repository_have_each_its_branch_its_tree_and_its_pull_request() {
    let one = forged();
    let ids = [one.submit(json!({})).await, one.submit(json!({})).await];
    let mut heads = Vec::new();
    for id in &ids {
        let working = comes_to(&one.world, &one.client, id, "working").await;
        heads.push((workdir(&working), working["branch"]["branch"].clone()));
    }
    for (dir, _) in &heads {
        commit(dir, "same-name");
    }
    let mut ended = 0;
    for id in &ids {
        until("it is done", async || {
            all_end(&one.world, &mut ended);
            is_done(&one.client, id).await
        })
        .await;
    }
    let pulls = one.pulls().await;
    let seen: Vec<_> = pulls.iter().map(|pull| pull["head"].clone()).collect();
    assert_eq!(seen.len(), 2);
    for (dir, branch) in &heads {
        assert!(seen.contains(branch), "{seen:?}");
        let made = git(dir, &["rev-parse", "HEAD"]);
        let branch = branch.as_str().unwrap();
        assert_eq!(one.at("acme/api", branch), Some(made));
    }
    assert_ne!(heads[0].0, heads[1].0);
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_with_its_tree_and_what_is_nowhere_else_stays() {
    let one = forged();
    let done = one.submit(json!({})).await;
    let dir = one.works(&done).await;
    commit(&dir, "new");
    end_turn(&one.world, 0, "Done.", "turn_end");
    comes_to(&one.world, &one.client, &done, "completed").await;
    // This one's commits were never taken anywhere.
    let kept = one.submit(json!({"push": false})).await;
    let kept_dir = one.works(&kept).await;
    commit(&kept_dir, "new");
    let nth = one.world.init().keepers.len() - 1;
    end_turn(&one.world, nth, "Done.", "turn_end");
    comes_to(&one.world, &one.client, &kept, "completed").await;
    let copy = one.world.data().join("control/git");
    assert!(copy.exists());
    let (app, hour) = (&one.server.app, Duration::from_secs(3600));
    let later = |hours: i64| {
        let now = Timestamp::now().as_millis();
        Timestamp::from_millis(now + hours * 3_600_000)
    };
    let there = async |id: &str| {
        let answer = one.client.get(&format!("/api/tasks/{id}")).await;
        answer.status.as_u16() == 200
    };
    until("nobody is at work on them", async || {
        let entries = app.tasks.all();
        entries.iter().all(|entry| !entry.is_driven())
    })
    .await;
    cib_control::tasks::clean::pass(app, later(0), hour).await;
    assert!(there(&done).await, "it ended just now");
    cib_control::tasks::clean::pass(app, later(2), hour).await;
    assert!(!there(&done).await && !dir.exists());
    assert!(there(&kept).await && kept_dir.exists());
    let copies = |path: &std::path::Path| -> Vec<Value> {
        let hosts = std::fs::read_dir(path).unwrap().flatten();
        let owners = hosts.filter(|host| host.path().join("acme").exists());
        owners
            .map(|host| json!(host.path().join("acme/api.git").exists()))
            .collect()
    };
    assert_eq!(copies(&copy), [json!(true)], "a task is about it");
    let forge = app.tasks.get(&kept).unwrap().progress().repository.unwrap();
    let bare = app.publisher.bare(&forge.forge.unwrap()).unwrap();
    let path = format!("/api/tasks/{kept}?tree=true");
    assert_eq!(one.client.delete(&path).await.status, 204);
    // A person may publish there as well.
    for is_used in [true, false] {
        let id = one.submit(json!({})).await;
        one.works(&id).await;
        let nth = one.world.init().keepers.len() - 1;
        end_turn(&one.world, nth, "Done.", "turn_end");
        comes_to(&one.world, &one.client, &id, "completed").await;
        until("nobody is at work on it", async || {
            !app.tasks.get(&id).unwrap().is_driven()
        })
        .await;
        let person = is_used.then(|| app.publisher.using(&bare));
        cib_control::tasks::clean::pass(app, later(2), hour).await;
        assert!(!there(&id).await);
        assert_eq!(copies(&copy), [json!(is_used)]);
        drop(person);
    }
}

#[tokio::test]
async fn a_task_that_waits_for_a_forge_a_person_or_a_limit_is_cancelled_at_once() {
    for state in ["cloning", "opening", "needs_input", "waiting"] {
        // What is tried again is tried again in a while.
        let one = forged_with(ForgeKind::GitHub, |config| {
            config.pauses = vec![Duration::from_secs(600)];
        });
        let fails = |method: &str, path: &str| Fault {
            method: method.to_owned(),
            path: path.to_owned(),
            times: 1,
            status: 502,
            ..Fault::default()
        };
        let mut body = json!({});
        match state {
            "cloning" => one.forge.fail(fails("GET", "info/refs")),
            "opening" => one.forge.fail(fails("POST", "/pulls")),
            "needs_input" => {
                add(&one.forge, "me/api", &[]);
                body = json!({"prompt": "Mend api", "repo": null});
            }
            _ => {}
        }
        let id = one.submit(body).await;
        if state == "waiting" {
            one.works(&id).await;
            one.world.init().keepers[0].append(&[limited(later(3_600_000))]);
            end_turn(&one.world, 0, "No.", "api_error");
        }
        comes_to(&one.world, &one.client, &id, state).await;
        let path = format!("/api/tasks/{id}/cancel");
        one.client.post(&path, &json!({})).await.ok();
        let ended = comes_to(&one.world, &one.client, &id, "cancelled").await;
        assert_eq!(ended["error"]["kind"], "cancelled", "{state}");
        // One that has begun has its draft; what the forge refused is not asked for once more.
        let drafts = usize::from(state == "waiting");
        assert_eq!(one.pulls().await.len(), drafts, "{state}");
        let queue = one.client.get("/api/tasks/queue").await.ok();
        assert_eq!(queue["running"], 0, "{state}");
    }
}
