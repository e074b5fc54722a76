//! Tasks over the API, with real git and keepers that are false.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

mod killed;
mod large;
mod person;
mod publishing;
mod pulls;
mod queueing;
mod runner;
mod seeking;
mod steering;
mod times;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use steering::hit_limit;

use crate::common::client::Client;
use crate::common::keeper::Keeper;
use crate::common::world::World;
use crate::common::{files, until};
use crate::offers::says;
use cib_protocol::frame::{By, Data, Role, Status, Stop, Text};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::State;
use serde_json::{Value, json};

/// A box with a repository `api` in its workspace.
pub(crate) fn world() -> World {
    let world = World::new();
    files::serve(&world);
    repository(&world.workspace().join("api"));
    world
}

pub(crate) fn git(dir: &Path, words: &[&str]) -> String {
    let ran = Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@b"])
        .args(words)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{words:?}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

fn repository(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    git(dir, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(dir.join("file"), "one\n").unwrap();
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message", "first"]);
}

pub(crate) async fn submit(client: &Client, body: &Value) -> String {
    let task = client.post("/api/tasks", body).await.created();
    task["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn task(client: &Client, id: &str) -> Value {
    client.get(&format!("/api/tasks/{id}")).await.ok()
}

/// Waits until the task stands there; keepers end when they are asked to.
pub(crate) async fn comes_to(world: &World, client: &Client, id: &str, state: &str) -> Value {
    let is_bad = matches!(state, "failed" | "cancelled");
    until(state, async || {
        world.init().keepers.iter_mut().for_each(Keeper::obey);
        let task = task(client, id).await;
        assert!(
            is_bad || !matches!(task["state"].as_str(), Some("failed" | "cancelled")),
            "{task:#}"
        );
        task["state"] == state
    })
    .await;
    task(client, id).await
}

/// The session of the task has begun, `nth` of all.
pub(crate) async fn has_session(world: &World, count: usize) {
    until("the session is started", async || {
        world.init().specs.len() >= count
    })
    .await;
}

/// Submits a task whose session is the first of the box, and waits until that works; the task's id,
/// and how it stands.
pub(crate) async fn begin(world: &World, client: &Client, body: &Value) -> (String, Value) {
    let id = submit(client, body).await;
    has_session(world, 1).await;
    let working = comes_to(world, client, &id, "working").await;
    (id, working)
}

/// What a keeper writes when Claude has said something and ended its turn.
pub(crate) fn turn(text: &str, reason: &str) -> Vec<Data> {
    let status = |state| {
        Data::Status(Status {
            state,
            elapsed_ms: 1,
        })
    };
    vec![
        status(State::Working),
        Data::Text(Text {
            text: text.to_owned(),
            role: Role::Assistant,
            message_id: Some("m1".to_owned()),
            ..Text::default()
        }),
        Data::Stop(Stop {
            reason: reason.to_owned(),
            by: Some(By::User),
            ..Stop::default()
        }),
        status(State::Idle),
    ]
}

pub(crate) fn end_turn(world: &World, keeper: usize, text: &str, reason: &str) {
    world.init().keepers[keeper].append(&turn(text, reason));
}

pub(crate) fn workdir(task: &Value) -> PathBuf {
    task["branch"]["workdir"].as_str().unwrap().into()
}

pub(crate) fn commit(dir: &Path, name: &str) -> String {
    fs::write(dir.join(name), "x\n").unwrap();
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message", name]);
    git(dir, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn a_prompt_comes_to_a_branch_with_its_commits_pushed() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let (id, working) = begin(
        &world,
        &client,
        &json!({"prompt": "Mend the api", "setup": ["echo ready > ../ready"]}),
    )
    .await;
    let branch = format!("claude/{id}");
    let dir = workdir(&working);
    assert_eq!(dir, world.workspace().join("tasks").join(&id).join("api"));
    assert!(dir.join("../ready").exists(), "the setup command ran");
    let spec = world.init().specs[0].clone();
    assert_eq!(spec.workdir, dir);
    assert_eq!(json!(spec.id), working["session"]);
    let prompt = spec.prompt.unwrap();
    assert!(
        prompt.ends_with("Mend the api\n") && prompt.contains(&branch),
        "{prompt}"
    );
    // The branch is there before anything is done on it.
    let origin = world.workspace().join("api");
    assert_eq!(
        git(&origin, &["rev-parse", &branch]),
        working["branch"]["commit"].as_str().unwrap()
    );
    let made = commit(&dir, "new");
    until("the commit is pushed", async || {
        git(&origin, &["rev-parse", &branch]) == made
    })
    .await;
    end_turn(&world, 0, "It is mended.", "turn_end");
    let done = comes_to(&world, &client, &id, "completed").await;
    assert_eq!(done["result"], "It is mended.");
    assert_eq!((&done["commits"], &done["head"]), (&json!(1), &json!(made)));
    assert_eq!(done["push"], json!({"commit": made}));
    assert!(done.get("error").is_none());
    let told = world.init().keepers[0].told();
    assert!(
        matches!(told.last(), Some(KeeperRequest::Stop { .. })),
        "{told:?}"
    );
    let log = client.get(&format!("/api/tasks/{id}/logs")).await;
    let log = String::from_utf8(log.body.to_vec()).unwrap();
    for part in ["setup done", "It is mended.", &made, "] completed"] {
        assert!(log.contains(part), "{part} is missing in\n{log}");
    }
    let list = client.get("/api/tasks?state=completed&q=MEND").await.ok();
    assert_eq!(list["tasks"][0]["id"], *id);
    let list = client.get("/api/tasks?state=failed").await.ok();
    assert_eq!(list["tasks"], json!([]));
}

/// A box whose Claude has said that it has one model.
fn world_of_opus() -> World {
    let world = world();
    let offers = json!({"at": "2026-11-30T00:00:00Z", "offers": {
        "models": [{"value": "opus", "name": "Opus"}], "commands": [],
    }});
    let own = world.data().join("control");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("offers.json"), offers.to_string()).unwrap();
    world
}

#[tokio::test]
async fn a_model_of_any_name_is_taken_where_a_gateway_or_a_provider_has_it() {
    let body = json!({"prompt": "Mend api", "model": "gpt-5"});
    let world = world_of_opus();
    let mut config = world.config();
    config.gateway = true;
    let server = world.serve_with(&config);
    submit(&server.client(), &body).await;
    has_session(&world, 1).await;
    assert_eq!(world.init().specs[0].model.as_deref(), Some("gpt-5"));
    drop(server);
    let world = world_of_opus();
    let server = world.serve();
    let client = server.client();
    let why = client
        .post("/api/tasks", &body)
        .await
        .fault(400, "bad_value");
    assert!(why.contains("`provider_id`"), "{why}");
    let provider =
        json!({"label": "Another", "base_url": "https://models.example", "api_key": "sk-1"});
    let provider = client.post("/api/providers", &provider).await.created()["id"].clone();
    let with = |id: &Value| {
        let mut body = body.clone();
        body["provider_id"] = id.clone();
        body
    };
    client
        .post("/api/tasks", &with(&json!("p_none")))
        .await
        .fault(404, "no_such_provider");
    let token = json!({"label": "phone", "scopes": ["tasks:write"]});
    let token = client.post("/api/tokens", &token).await.created();
    let phone = server
        .stranger()
        .with_token(token["plaintext"].as_str().unwrap());
    phone
        .post("/api/tasks", &with(&provider))
        .await
        .fault(403, "scope_missing");
    submit(&client, &with(&provider)).await;
    has_session(&world, 1).await;
    let spec = world.init().specs[0].clone();
    assert_eq!(json!(spec.provider_id), provider);
    let address = spec.env["ANTHROPIC_BASE_URL"].expose();
    assert_eq!(address, "https://models.example");
}

#[tokio::test]
async fn a_model_that_claude_does_not_list_is_refused_with_those_that_it_has() {
    for is_over in [false, true] {
        let world = world();
        let server = world.serve();
        let client = server.client();
        let (first, _) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
        let other = json!({"prompt": "Mend api", "model": "gpt-5"});
        // Nobody has said anything yet: these are what each Claude Code takes.
        let refused = client.post("/api/tasks", &other).await;
        assert!(refused.fault(400, "bad_value").contains("opusplan"));
        says(&world.init().keepers[0], "opus", "compact");
        if is_over {
            // What has worked is known of, though nobody has asked for it.
            end_turn(&world, 0, "Done.", "turn_end");
            comes_to(&world, &client, &first, "completed").await;
        }
        let refused = client.post("/api/tasks", &other).await;
        let why = refused.fault(400, "bad_value");
        assert!(why.contains("opus or the id"), "{why}");
        submit(
            &client,
            &json!({"prompt": "Mend api", "model": "claude-opus-9[1m]"}),
        )
        .await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_by_the_field_and_begins_nothing() {
    let world = world_of_opus();
    let server = world.serve();
    let client = server.client();
    for (body, word) in [
        (json!({"prompt": ""}), "prompt"),
        (json!({"prompt": "x", "repo": "ext::sh -c x"}), "repo"),
        (
            json!({"prompt": "x", "repo": "https://a:b@example.com/r"}),
            "credential",
        ),
        (json!({"prompt": "x", "branch": "-x"}), "branch"),
        (json!({"prompt": "x", "model": "--x"}), "model"),
        (
            json!({"prompt": "x", "model": "gpt-5"}),
            "opus or the id of a Claude",
        ),
        (json!({"prompt": "x", "effort": "huge"}), "effort"),
        (
            json!({"prompt": "x", "repo": "https://"}),
            "names no repository",
        ),
        (json!({"prompt": "x", "repo": "../../etc"}), "`..`"),
        (
            json!({"prompt": "x", "schedule": "0 0 30 2 *"}),
            "never comes",
        ),
        (
            json!({"prompt": "x", "on_limit": "never"}),
            "`wait` or `fail`",
        ),
        (
            json!({"prompt": "x", "webhook": {"url": "http://192.168.0.1/"}}),
            "CIB_WEBHOOK_PRIVATE",
        ),
        (
            json!({"prompt": "x", "limits": {"turns": 0}}),
            "limits.turns",
        ),
    ] {
        let why = client
            .post("/api/tasks", &body)
            .await
            .fault(400, "bad_value");
        assert!(why.contains(word), "{word}: {why}");
    }
    let unknown = json!({"prompt": "x", "webhooks": {}});
    client
        .post("/api/tasks", &unknown)
        .await
        .fault(400, "unknown_field");
    let huge = json!({"prompt": "x".repeat(2 << 20)});
    let why = client
        .post("/api/tasks", &huge)
        .await
        .fault(413, "too_large");
    assert!(why.contains("bytes"), "{why}");
    for model in [
        "opus",
        "opus[1m]",
        "haiku",
        "us.anthropic.claude-opus-5-5-v1:0",
    ] {
        let body = json!({"prompt": "x", "model": model, "repo": "none"});
        let id = submit(&client, &body).await;
        comes_to(&world, &client, &id, "failed").await;
        let path = format!("/api/tasks/{id}");
        assert_eq!(client.delete(&path).await.status, 204);
    }
    assert_eq!(client.get("/api/tasks").await.ok()["tasks"], json!([]));
    client
        .get("/api/tasks/nothing")
        .await
        .fault(404, "no_such_task");
    client
        .get("/api/tasks?state=odd")
        .await
        .fault(400, "bad_value");
    client
        .get("/api/tasks?after=odd")
        .await
        .fault(400, "bad_value");
}

#[tokio::test]
async fn a_task_that_cannot_be_done_says_why_and_what_helps() {
    let world = world();
    repository(&world.workspace().join("web"));
    let server = world.serve();
    let client = server.client();
    for (body, kind, word) in [
        (
            json!({"prompt": "Mend it"}),
            "no_repo",
            "names no repository",
        ),
        (
            json!({"prompt": "Mend api and web"}),
            "ambiguous_repo",
            "/web",
        ),
        (json!({"prompt": "x", "repo": "none"}), "no_repo", "none"),
        (
            json!({"prompt": "x", "repo": "api", "base": "none"}),
            "clone_failed",
            "none",
        ),
        (
            json!({"prompt": "x", "repo": "api", "branch": "main"}),
            "clone_failed",
            "main",
        ),
        (
            json!({"prompt": "x", "repo": "api", "setup": ["true", "echo oh no; exit 3"]}),
            "setup_failed",
            "setup command 2: exit 3\noh no",
        ),
    ] {
        let id = submit(&client, &body).await;
        comes_to(&world, &client, &id, "failed").await;
        let error = task(&client, &id).await["error"].clone();
        assert_eq!(error["kind"], kind, "{error}");
        assert!(error["detail"].as_str().unwrap().contains(word), "{error}");
        assert!(error["remedy"].as_str().unwrap().ends_with('.'), "{error}");
    }
    assert!(world.init().specs.is_empty(), "no session was started");
}

#[tokio::test]
async fn a_push_that_is_refused_is_told_and_the_work_stays() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let hook = world.workspace().join("api/.git/hooks/pre-receive");
    fs::write(&hook, "#!/bin/sh\necho not today >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (id, working) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    let made = commit(&workdir(&working), "new");
    end_turn(&world, 0, "Done.", "turn_end");
    let done = comes_to(&world, &client, &id, "completed").await;
    assert!(
        done["push"]["refused"]
            .as_str()
            .unwrap()
            .contains("not today"),
        "{done:#}"
    );
    assert_eq!(
        (&done["head"], &done["push"]["commit"]),
        (&json!(made), &json!(made))
    );
}
