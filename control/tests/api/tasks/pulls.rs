//! The pull request of a task, from its first commit to its end, at a forge that speaks what was
//! recorded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_control::config::Config;
use cib_protocol::forge::ForgeKind;
use cib_protocol::frame::Data;
use cib_testkit::forge::{Fault, ForgeStandIn, NewRepository};
use serde_json::{Value, json};

use super::publishing::shell;
use super::{comes_to, commit, end_turn, git, submit, task, workdir};
use crate::common::client::Client;
use crate::common::forge::{self, TOKEN};
use crate::common::keeper::Keeper;
use crate::common::process::{Process, free_address};
use crate::common::world::{Server, World};
use crate::common::{files, until};

pub(super) struct Forged {
    pub(super) world: World,
    pub(super) forge: ForgeStandIn,
    pub(super) server: Server,
    pub(super) client: Client,
    /// The forge, as a test sees it.
    eye: Client,
}

pub(super) fn forged() -> Forged {
    forged_as(ForgeKind::GitHub)
}

pub(super) fn forged_as(kind: ForgeKind) -> Forged {
    forged_with(kind, |_| {})
}

pub(super) fn forged_with(kind: ForgeKind, change: impl FnOnce(&mut Config)) -> Forged {
    let world = World::new();
    files::serve(&world);
    let forge = ForgeStandIn::start().unwrap();
    forge.token(TOKEN, "me", Some(&["repo"]));
    add(&forge, "acme/api", &["me"]);
    let mut config = forge::config(&world, vec![forge::account(kind, &forge.url())]);
    config.public_url = Some("https://box.example.com".to_owned());
    config.claude_pauses = vec![Duration::from_secs(3)];
    change(&mut config);
    let server = world.serve_with(&config);
    let client = server.client();
    let eye = Client::new(forge.addr());
    Forged {
        world,
        forge,
        server,
        client,
        eye,
    }
}

pub(super) fn add(forge: &ForgeStandIn, slug: &str, writers: &[&str]) {
    add_with(forge, slug, writers, |_| {});
}

pub(super) fn add_with(
    forge: &ForgeStandIn,
    slug: &str,
    writers: &[&str],
    change: impl FnOnce(&mut NewRepository),
) {
    let mut new = NewRepository {
        slug: slug.to_owned(),
        writers: writers.iter().map(|one| (*one).to_owned()).collect(),
        files: BTreeMap::from([("file".to_owned(), "one\n".to_owned())]),
        ..NewRepository::default()
    };
    change(&mut new);
    forge.repository(&new).unwrap();
}

impl Forged {
    pub(super) async fn pulls(&self) -> Vec<Value> {
        let found = self.eye.get("/_kit/pulls").await.ok();
        found["pulls"].as_array().unwrap().clone()
    }

    /// The one pull request that there is.
    async fn pull(&self) -> Value {
        match &*self.pulls().await {
            [one] => one.clone(),
            other => panic!("{other:#?}"),
        }
    }

    pub(super) async fn submit(&self, more: Value) -> String {
        let mut body = json!({
            "prompt": "Mend the login.\nIt closes #5, says @somebody.",
            "repo": format!("{}/acme/api", self.forge.url()),
        });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        submit(&self.client, &body).await
    }

    /// Waits until Claude works on it; where the tree is.
    pub(super) async fn works(&self, id: &str) -> PathBuf {
        let working = comes_to(&self.world, &self.client, id, "working").await;
        let dir = workdir(&working);
        until("its session is started", async || {
            let init = self.world.init();
            init.specs.iter().any(|spec| spec.workdir == dir)
        })
        .await;
        dir
    }

    pub(super) fn at(&self, slug: &str, branch: &str) -> Option<String> {
        let dir = self.forge.dir(slug)?;
        let ran = std::process::Command::new("git")
            .args(["rev-parse", "--quiet", "--verify", branch])
            .current_dir(dir)
            .output()
            .unwrap();
        ran.status
            .success()
            .then(|| String::from_utf8(ran.stdout).unwrap().trim().to_owned())
    }
}

/// Removes everything of a task's journal from the first frame on that has this in it.
fn cut(world: &World, id: &str, from: &str) {
    let path = world
        .data()
        .join("control/tasks")
        .join(id)
        .join("transcript.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<_> = text
        .lines()
        .take_while(|line| !line.contains(from))
        .collect();
    assert!(
        kept.len() < text.lines().count(),
        "{from} is not in\n{text}"
    );
    fs::write(&path, kept.join("\n") + "\n").unwrap();
}

#[tokio::test]
async fn a_draft_is_there_before_the_work_says_how_it_goes_and_is_ready_at_the_end() {
    let one = forged();
    let id = one.submit(json!({"draft": false})).await;
    let dir = one.works(&id).await;
    let branch = format!("claude/{id}");
    let pull = one.pull().await;
    assert_eq!(
        (&pull["draft"], &pull["open"], &pull["base"]),
        (&json!(true), &json!(true), &json!("main"))
    );
    assert_eq!(
        (&pull["head"], &pull["head_slug"]),
        (&json!(branch), &json!("acme/api"))
    );
    let first = task(&one.client, &id).await["branch"]["commit"].clone();
    assert_eq!(
        pull["commit"], first,
        "nothing but the empty commit is there"
    );
    let body = pull["body"].as_str().unwrap();
    assert!(
        body.contains(&format!("https://box.example.com/t/{id}")),
        "{body}"
    );
    assert!(body.contains("> Mend the login."), "{body}");
    assert!(
        !body.contains("@somebody") && !body.contains("closes #5"),
        "{body}"
    );
    let shown = task(&one.client, &id).await;
    assert_eq!(
        (&shown["pr"]["state"], &shown["pr"]["number"]),
        (&json!("draft"), &pull["number"])
    );
    let runner = one.client.get(&format!("/task/{id}")).await.ok();
    assert_eq!(runner["pr_url"], shown["pr"]["url"]);
    for name in ["one", "two", "three"] {
        let made = commit(&dir, name);
        until("it is published by itself", async || {
            one.at("acme/api", &branch).as_ref() == Some(&made)
        })
        .await;
    }
    let todo: Data = serde_json::from_value(json!({"kind": "todo.update", "data": {"items": [
        {"id": "1", "subject": "Read what @somebody says", "status": "completed"},
        {"id": "2", "subject": "Mend the rest", "status": "pending"},
    ]}}))
    .unwrap();
    one.world.init().keepers[0].append(&[todo]);
    end_turn(&one.world, 0, "It is mended.", "turn_end");
    let done = comes_to(&one.world, &one.client, &id, "completed").await;
    assert_eq!(
        (&done["pr"]["state"], &done["commits"]),
        (&json!("open"), &json!(3))
    );
    let pull = one.pull().await;
    assert_eq!(
        (&pull["draft"], &pull["open"]),
        (&json!(false), &json!(true))
    );
    let body = pull["body"].as_str().unwrap();
    for part in [
        "**completed**",
        "It is mended.",
        "### Commits (3)",
        "three",
        "- [x] Read what",
        "- [ ] Mend the rest",
        "1 turns, $0.00",
    ] {
        assert!(body.contains(part), "{part} is missing in\n{body}");
    }
    assert!(!body.contains("@somebody"), "{body}");
    let log = one.client.get(&format!("/api/tasks/{id}/logs")).await;
    let log = String::from_utf8(log.body.to_vec()).unwrap();
    assert!(
        log.contains("pull request") && !log.contains(TOKEN),
        "{log}"
    );
}

#[tokio::test]
async fn a_draft_stays_one_until_somebody_says_that_it_is_ready_and_peoples_words_stay() {
    let one = forged();
    let id = one.submit(json!({"private_prompt": true})).await;
    let dir = one.works(&id).await;
    assert_eq!(one.pull().await["title"], format!("Task {id}"));
    commit(&dir, "new");
    end_turn(&one.world, 0, "Done.", "turn_end");
    comes_to(&one.world, &one.client, &id, "completed").await;
    let pull = one.pull().await;
    assert_eq!(pull["draft"], true);
    assert!(!pull["body"].as_str().unwrap().contains("login"), "{pull}");
    let path = format!("/api/tasks/{id}/ready");
    let ready = one.client.post(&path, &json!({})).await.ok();
    assert_eq!(ready["pr"]["state"], "open");
    assert_eq!(one.pull().await["draft"], false);
    // Who followed the journal finds its end again.
    let ended = one.client.get(&format!("/api/tasks/{id}/events")).await;
    assert!(String::from_utf8_lossy(&ended.body).contains("event: end"));
}

#[tokio::test]
async fn without_the_right_to_push_a_fork_is_made_and_asks() {
    let one = forged();
    add(&one.forge, "other/lib", &[]);
    let id = one
        .submit(json!({"repo": format!("{}/other/lib", one.forge.url())}))
        .await;
    let dir = one.works(&id).await;
    let branch = format!("claude/{id}");
    let pull = one.pull().await;
    assert_eq!(
        (&pull["slug"], &pull["head_slug"]),
        (&json!("other/lib"), &json!("me/lib"))
    );
    let made = commit(&dir, "new");
    until("it is in the fork", async || {
        one.at("me/lib", &branch).as_ref() == Some(&made)
    })
    .await;
    assert_eq!(one.at("other/lib", &branch), None);
    // What is only in the fork outlives the next look at the repository. The box takes it when the
    // fork has it.
    let words = "git fetch -q --prune origin && git rev-parse origin/$(git branch --show-current)";
    until("the box has it as well", async || {
        let fetched = shell(&one.world, &dir, words).await;
        assert!(fetched.status.success(), "{fetched:?}");
        String::from_utf8_lossy(&fetched.stdout).trim() == made
    })
    .await;
    end_turn(&one.world, 0, "Done.", "turn_end");
    comes_to(&one.world, &one.client, &id, "completed").await;
}

#[tokio::test]
async fn whatever_was_done_and_not_written_down_is_found_done_and_there_is_one_of_each() {
    let one = forged();
    // Control as a process of its own, which can be killed.
    drop(one.server);
    let address = free_address();
    let mut process = Process::start(&one.world, address);
    let client = process.client();
    let body = json!({"prompt": "Mend it", "repo": format!("{}/acme/api", one.forge.url())});
    let id = submit(&client, &body).await;
    let working = comes_to(&one.world, &client, &id, "working").await;
    let first = working["branch"]["commit"].clone();
    for from in [
        "\"task.session\"",
        "\"task.pr\"",
        "\"task.push\"",
        "\"opening\"",
        "\"task.branch\"",
        "\"cloning\"",
    ] {
        process.kill();
        cut(&one.world, &id, from);
        process = Process::start(&one.world, address);
        let client = process.client();
        until("it is open again", async || {
            one.world.init().keepers.iter_mut().for_each(Keeper::obey);
            let task = task(&client, &id).await;
            assert_ne!(task["state"], "failed", "{from}: {task:#}");
            task["pr"]["number"] == 1 && task["state"] == "working"
        })
        .await;
        let pulls = one.eye.get("/_kit/pulls").await.ok();
        let pulls = pulls["pulls"].as_array().unwrap();
        assert_eq!(pulls.len(), 1, "{from}: one pull request");
        assert_eq!(pulls[0]["commit"], first, "{from}: one first commit");
    }
}

#[tokio::test]
async fn a_pull_request_that_a_person_closed_ends_the_task_and_is_not_opened_again() {
    let one = forged();
    let id = one.submit(json!({})).await;
    let dir = one.works(&id).await;
    let close = json!({"slug": "acme/api", "number": 1});
    one.eye.post("/_kit/close", &close).await.created();
    // While Claude works the box sees it when it has something to say.
    commit(&dir, "new");
    end_turn(&one.world, 0, "Done.", "turn_end");
    comes_to(&one.world, &one.client, &id, "completed").await;
    assert_eq!(task(&one.client, &id).await["pr"]["state"], "closed");
    let again = one.submit(json!({"branch": format!("claude/{id}")})).await;
    let ended = comes_to(&one.world, &one.client, &again, "cancelled").await;
    assert_eq!(ended["pr"]["state"], "closed");
    let log = one.client.get(&format!("/api/tasks/{again}/logs")).await;
    assert!(String::from_utf8_lossy(&log.body).contains("the pull request was closed"));
    assert_eq!(one.pulls().await.len(), 1);
}

#[tokio::test]
async fn a_repository_is_found_by_its_name_and_somebody_is_asked_where_two_have_it() {
    let one = forged();
    add(&one.forge, "acme/web", &["me"]);
    add(&one.forge, "me/web", &[]);
    // What the token does not see, or nobody may change, is told at once.
    add_with(&one.forge, "acme/kept", &["me"], |new| new.archived = true);
    add_with(&one.forge, "acme/closed", &[], |new| new.no_forks = true);
    let address = |slug: &str| format!("{}/{slug}", one.forge.url());
    for (repo, word) in [
        ("acme/none".to_owned(), "such repository"),
        (address("acme/none"), "such repository"),
        ("github.com/acme/api".to_owned(), "begins with `https://`"),
        ("acme/kept".to_owned(), "archived"),
        ("acme/closed".to_owned(), "may not push"),
        (address("acme/closed"), "nobody may fork it"),
        (address("acme/kept"), "archived"),
    ] {
        let named = json!({"prompt": "x", "repo": repo});
        let refused = one.client.post("/api/tasks", &named).await;
        let why = refused.fault(400, "bad_value");
        assert!(why.starts_with("`repo`") && why.contains(word), "{why}");
    }
    let found = submit(&one.client, &json!({"prompt": "Mend the login of api"})).await;
    let working = comes_to(&one.world, &one.client, &found, "working").await;
    assert_eq!(working["repo"], format!("{}/acme/api.git", one.forge.url()));
    let named = submit(
        &one.client,
        &json!({"prompt": "Mend it", "repo": "acme/api"}),
    )
    .await;
    comes_to(&one.world, &one.client, &named, "working").await;
    for answer in ["route", "message"] {
        let id = submit(&one.client, &json!({"prompt": "Mend web"})).await;
        let asks = comes_to(&one.world, &one.client, &id, "needs_input").await;
        let candidates = asks["candidates"].as_array().unwrap().clone();
        assert_eq!(candidates.len(), 2, "{asks:#}");
        let (path, body) = (
            format!("/api/tasks/{id}"),
            json!({"repo": "acme/nothing at all"}),
        );
        one.client
            .post(&format!("{path}/repository"), &body)
            .await
            .fault(400, "bad_value");
        let runner = one.client.get(&format!("/task/{id}")).await.ok();
        assert_eq!(runner["status"], "running");
        if answer == "route" {
            let body = json!({"repo": "acme/web"});
            one.client
                .post(&format!("{path}/repository"), &body)
                .await
                .ok();
        } else {
            let body = json!({"text": candidates[0]});
            one.client
                .post(&format!("{path}/message"), &body)
                .await
                .ok();
        }
        let working = comes_to(&one.world, &one.client, &id, "working").await;
        assert!(
            working["repo"].as_str().unwrap().ends_with("/web.git"),
            "{working:#}"
        );
        let again = json!({"repo": "acme/web"});
        one.client
            .post(&format!("{path}/repository"), &again)
            .await
            .fault(409, "nothing_asked");
    }
}

#[tokio::test]
async fn the_base_is_what_the_forge_calls_its_own_now_whatever_old_branches_there_are() {
    let one = forged();
    let dir = one.forge.dir("acme/api").unwrap();
    git(&dir, &["branch", "-m", "main", "trunk"]);
    git(&dir, &["branch", "master", "trunk"]);
    git(&dir, &["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    one.forge.rename("acme/api", "acme/service");
    let id = one.submit(json!({})).await;
    one.works(&id).await;
    let working = task(&one.client, &id).await;
    assert_eq!(working["branch"]["base"], "trunk");
    assert_eq!(
        working["repo"],
        format!("{}/acme/service.git", one.forge.url())
    );
    assert_eq!(one.pull().await["base"], "trunk");
    let url = git(&workdir(&working), &["config", "remote.origin.url"]);
    assert!(url.ends_with("/acme/service.git"), "{url}");
    // And once more, while Claude works.
    git(&dir, &["branch", "-m", "trunk", "release"]);
    git(&dir, &["symbolic-ref", "HEAD", "refs/heads/release"]);
    let made = commit(&workdir(&working), "new");
    end_turn(&one.world, 0, "Done.", "turn_end");
    let done = comes_to(&one.world, &one.client, &id, "completed").await;
    assert_eq!(done["push"], json!({"commit": made}));
    assert_eq!(one.pulls().await.len(), 1);
}

#[tokio::test]
async fn what_is_in_the_way_and_what_was_made_stand_in_the_pull_request_of_what_failed() {
    let one = forged();
    let id = one.submit(json!({"limits": {"duration_s": 2}})).await;
    let dir = one.works(&id).await;
    fs::write(dir.join("half"), "done\n").unwrap();
    let failed = comes_to(&one.world, &one.client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "timeout");
    let pull = one.pull().await;
    assert_eq!(
        (&pull["draft"], &pull["open"]),
        (&json!(true), &json!(true))
    );
    let body = pull["body"].as_str().unwrap();
    for part in [
        "**failed**",
        "What is in the way",
        "`timeout`",
        "WIP: the task failed",
    ] {
        assert!(body.contains(part), "{part} is missing in\n{body}");
    }
    assert_eq!(pull["commit"], failed["head"]);
    let cancelled = one.submit(json!({})).await;
    let dir = one.works(&cancelled).await;
    fs::write(dir.join("half"), "done\n").unwrap();
    one.client
        .post(&format!("/api/tasks/{cancelled}/cancel"), &json!({}))
        .await
        .ok();
    comes_to(&one.world, &one.client, &cancelled, "cancelled").await;
    let pulls = one.pulls().await;
    let body = pulls.last().unwrap()["body"].as_str().unwrap();
    assert!(
        body.contains("**cancelled**") && body.contains("WIP: the task was cancelled"),
        "{body}"
    );
}

#[tokio::test]
async fn a_secret_stands_in_no_pull_request_whoever_said_it() {
    let one = forged();
    let secret = format!("ghp_{}", "b2".repeat(18));
    let told = format!("Mend it with {secret}.\nAnd no more.");
    let id = one.submit(json!({"prompt": told})).await;
    let dir = one.works(&id).await;
    // Nothing of it is published, but its subject is known.
    commit(&dir, &secret);
    until("the commit is refused", async || {
        task(&one.client, &id).await["push"]["kind"] == "secret_found"
    })
    .await;
    end_turn(&one.world, 0, &format!("I used {secret}."), "turn_end");
    comes_to(&one.world, &one.client, &id, "failed").await;
    let pull = one.pull().await;
    let (title, body) = (
        pull["title"].as_str().unwrap(),
        pull["body"].as_str().unwrap(),
    );
    assert!(
        !title.contains("ghp_") && !body.contains("ghp_"),
        "{pull:#}"
    );
    for part in ["### Result", "### Commits (1)", "a token of GitHub"] {
        assert!(body.contains(part), "{part} is missing in\n{body}");
    }
}

#[tokio::test]
async fn a_forge_that_fails_once_at_any_call_costs_nothing_and_one_that_refuses_is_quoted() {
    for (method, path, done) in [
        ("GET", "/repos/acme/api", false),
        ("GET", "info/refs", false),
        ("GET", "/pulls", false),
        ("POST", "/pulls", false),
        ("POST", "git-receive-pack", false),
        // It fails when it has done what it was asked for.
        ("POST", "/pulls", true),
        ("POST", "git-receive-pack", true),
    ] {
        let one = forged();
        one.forge.fail(Fault {
            method: method.to_owned(),
            path: path.to_owned(),
            times: 1,
            status: 502,
            done,
            ..Fault::default()
        });
        let id = one.submit(json!({})).await;
        one.works(&id).await;
        assert_eq!(one.pulls().await.len(), 1, "{method} {path}");
        assert!(
            one.at("acme/api", &format!("claude/{id}")).is_some(),
            "{method} {path}"
        );
    }
    let one = forged();
    one.forge.fail(Fault {
        method: "POST".to_owned(),
        path: "/pulls".to_owned(),
        times: 9,
        status: 422,
        message: "not on a Sunday".to_owned(),
        ..Fault::default()
    });
    let id = one.submit(json!({})).await;
    let failed = comes_to(&one.world, &one.client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "push_refused");
    assert!(
        failed["error"]["detail"]
            .as_str()
            .unwrap()
            .contains("not on a Sunday"),
        "{failed:#}"
    );
    assert!(Path::new(failed["branch"]["workdir"].as_str().unwrap()).exists());
}

#[tokio::test]
async fn gitlab_and_gitea_are_asked_in_their_own_words() {
    for kind in [ForgeKind::GitLab, ForgeKind::Gitea] {
        let one = forged_as(kind);
        let id = one.submit(json!({"draft": false})).await;
        let dir = one.works(&id).await;
        let shown = task(&one.client, &id).await;
        assert_eq!(shown["pr"]["state"], "draft", "{kind:?}: {shown:#}");
        commit(&dir, "new");
        end_turn(&one.world, 0, "Done.", "turn_end");
        let done = comes_to(&one.world, &one.client, &id, "completed").await;
        assert_eq!(done["pr"]["state"], "open", "{kind:?}");
        assert!(
            one.pull().await["body"]
                .as_str()
                .unwrap()
                .contains("**completed**"),
            "{kind:?}"
        );
    }
}
