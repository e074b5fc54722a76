//! The whole box is killed, control and every keeper in one moment, wherever a task with a pull request
//! stands.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use cib_protocol::frame::Frame;
use cib_testkit::forge::{Event, Fault};
use serde_json::{Value, json};

use super::pulls::{Forged, add, forged};
use super::steering::{later, limited};
use super::{comes_to, commit, end_turn, git, submit, task, workdir};
use crate::common::client::Client;
use crate::common::keeper::Keeper;
use crate::common::process::{Process, free_address};
use crate::common::until;

/// A box whose control is a process of its own. Its forge outlives it, as forges do.
struct Mortal {
    one: Forged,
    address: SocketAddr,
    process: Process,
    client: Client,
}

impl Mortal {
    fn new() -> Self {
        let mut one = forged();
        // A control of its own, which can be killed.
        one.server.stop();
        let address = free_address();
        let process = Process::start(&one.world, address);
        Self {
            client: process.client(),
            one,
            address,
            process,
        }
    }

    /// Everything that runs in the box ends, with no time to say anything.
    fn die(&mut self) {
        self.process.kill();
        self.one.world.init().keepers.clear();
    }

    fn rise(&mut self) {
        self.process = Process::start(&self.one.world, self.address);
    }

    async fn comes_to(&self, id: &str, state: &str) -> Value {
        comes_to(&self.one.world, &self.client, id, state).await
    }

    /// The box dies when the task stands there, and is started again.
    async fn dies_in(&mut self, id: &str, state: &str) {
        self.comes_to(id, state).await;
        self.die();
        self.rise();
    }

    /// Has the next calls of a kind take a while: long enough to be seen on a machine that is busy.
    fn slow(&self, method: &str, path: &str, times: u32) {
        self.one.forge.fail(Fault {
            method: method.to_owned(),
            path: path.to_owned(),
            times,
            delay_ms: 3000,
            ..Fault::default()
        });
    }

    /// The box dies when the forge has done what it was asked for, and has not said so.
    async fn dies_unanswered(&mut self, method: &str, path: &str) {
        let meets = |event: &&Event| event.method == method && event.path.contains(path);
        let count = || self.one.forge.events().iter().filter(meets).count();
        let known = count();
        until("it is done", async || {
            self.obey();
            count() > known
        })
        .await;
        self.die();
        self.rise();
    }

    /// Has the next call of a kind be answered when nobody is there any more who asked.
    fn hold(&self, method: &str, path: &str) {
        self.one.forge.fail(Fault {
            method: method.to_owned(),
            path: path.to_owned(),
            delay_ms: 600_000,
            done: true,
            ..Fault::default()
        });
    }

    /// Every keeper does what it was asked for.
    fn obey(&self) {
        let mut init = self.one.world.init();
        init.keepers.iter_mut().for_each(Keeper::obey);
    }

    /// What keepers write of a turn of the session that there is now.
    fn ends_turn(&self, text: &str, reason: &str) {
        let last = self.one.world.init().keepers.len() - 1;
        end_turn(&self.one.world, last, text, reason);
    }

    /// Waits until a session works that was not there before so many were started.
    async fn works(&self, id: &str, sessions: usize) -> Value {
        until("its session is started", async || {
            self.obey();
            self.one.world.init().specs.len() >= sessions
        })
        .await;
        self.comes_to(id, "working").await
    }

    /// The subjects of a branch, the newest first, as the forge has them.
    fn subjects(&self, branch: &str) -> Vec<String> {
        let dir = self.one.forge.dir("acme/api").unwrap();
        let range = format!("main..{branch}");
        let said = git(&dir, &["log", "--format=%s", &range]);
        said.lines().map(str::to_owned).collect()
    }

    async fn has(&self, branch: &str, commit: &str) {
        until("the forge has the commit", async || {
            self.one.at("acme/api", branch).as_deref() == Some(commit)
        })
        .await;
    }

    /// The task's journal, whose frames have no gap between them.
    fn journal(&self, id: &str) -> Vec<Frame> {
        let folder = self.one.world.data().join("control/tasks").join(id);
        let text = fs::read_to_string(folder.join("transcript.jsonl")).unwrap();
        let frames: Vec<Frame> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (seq, frame) in (1..).zip(&frames) {
            assert_eq!(frame.seq, seq, "{text}");
        }
        frames
    }
}

#[tokio::test]
async fn a_box_that_is_killed_in_each_state_comes_to_one_pull_request_with_each_commit_once() {
    let mut life = Mortal::new();
    add(&life.one.forge, "me/api", &[]);
    for (method, path) in [
        ("GET", "/user/repos"),
        ("GET", "info/refs"),
        ("POST", "/pulls"),
    ] {
        life.slow(method, path, 1);
    }
    let body = json!({"prompt": "Mend the api", "setup": ["echo ready >> ../ready; sleep 2"]});
    let id = submit(&life.client, &body).await;
    let branch = format!("claude/{id}");
    life.dies_in(&id, "finding").await;
    life.dies_in(&id, "needs_input").await;
    let meant = json!({"repo": "acme/api"});
    let choose = format!("/api/tasks/{id}/repository");
    life.client.post(&choose, &meant).await.ok();
    for state in ["cloning", "opening", "preparing"] {
        life.dies_in(&id, state).await;
    }
    let working = life.works(&id, 1).await;
    let dir = workdir(&working);
    let made = commit(&dir, "one");
    life.has(&branch, &made).await;
    life.dies_in(&id, "working").await;
    // This was made, and nobody saw it.
    life.works(&id, 2).await;
    life.die();
    let made = commit(&dir, "two");
    life.rise();
    life.works(&id, 3).await;
    life.has(&branch, &made).await;
    life.one.world.init().keepers[0].append(&[limited(later(8000))]);
    life.ends_turn("You've hit your limit", "api_error");
    life.dies_in(&id, "waiting").await;
    life.works(&id, 4).await;
    life.slow("PATCH", "/pulls/", 2);
    life.ends_turn("It is mended.", "turn_end");
    life.dies_in(&id, "finishing").await;
    let done = life.comes_to(&id, "completed").await;
    assert_eq!(
        (&done["commits"], &done["head"], &done["push"]),
        (&json!(2), &json!(made), &json!({"commit": made}))
    );
    assert_eq!(life.subjects(&branch), ["two", "one", "chore: start task"]);
    let [pull] = &*life.one.pulls().await else {
        panic!("one pull request");
    };
    assert_eq!(
        (&pull["open"], &pull["commit"]),
        (&json!(true), &json!(made))
    );
    let text = pull["body"].as_str().unwrap();
    assert!(text.contains("**completed**"), "{text}");
    assert_eq!(text.matches("cib:begin").count(), 1, "{text}");
    let specs = life.one.world.init().specs.clone();
    assert!(specs.iter().all(|spec| spec.id == specs[0].id));
    life.journal(&id);
}

#[tokio::test]
async fn a_box_that_dies_between_what_a_forge_did_and_its_answer_has_nothing_done_twice() {
    let mut life = Mortal::new();
    life.hold("POST", "git-receive-pack");
    life.hold("POST", "/pulls");
    let repo = format!("{}/acme/api", life.one.forge.url());
    let body = json!({"prompt": "Mend it", "repo": repo, "draft": false});
    let id = submit(&life.client, &body).await;
    let branch = format!("claude/{id}");
    // The branch is there, and then the pull request; nobody was told of either.
    life.dies_unanswered("POST", "git-receive-pack").await;
    life.dies_unanswered("POST", "/pulls").await;
    let working = life.works(&id, 1).await;
    life.hold("POST", "git-receive-pack");
    let made = commit(&workdir(&working), "one");
    life.dies_unanswered("POST", "git-receive-pack").await;
    life.works(&id, 2).await;
    life.hold("POST", "/graphql");
    life.ends_turn("It is mended.", "turn_end");
    life.dies_unanswered("POST", "/graphql").await;
    let done = life.comes_to(&id, "completed").await;
    assert_eq!(
        (&done["commits"], &done["push"]),
        (&json!(1), &json!({"commit": made}))
    );
    assert_eq!(life.subjects(&branch), ["one", "chore: start task"]);
    let [pull] = &*life.one.pulls().await else {
        panic!("one pull request");
    };
    assert_eq!(
        (&pull["draft"], &pull["open"], &pull["commit"]),
        (&json!(false), &json!(true), &json!(made))
    );
    let text = pull["body"].as_str().unwrap();
    assert!(text.contains("**completed**"), "{text}");
    life.journal(&id);
}

#[tokio::test]
async fn a_box_that_is_killed_while_a_task_ends_badly_ends_it_with_its_reason_and_its_work_once() {
    for (state, end, kind) in [
        ("cancelling", "cancelled", "cancelled"),
        ("failing", "failed", "budget_exhausted"),
    ] {
        let mut life = Mortal::new();
        let body =
            json!({"prompt": "Mend it", "repo": format!("{}/acme/api", life.one.forge.url())});
        let id = submit(&life.client, &body).await;
        let working = life.works(&id, 1).await;
        fs::write(workdir(&working).join("half"), "done\n").unwrap();
        life.slow("PATCH", "/pulls/", 2);
        if state == "cancelling" {
            let cancel = format!("/api/tasks/{id}/cancel");
            life.client.post(&cancel, &json!({})).await.ok();
        } else {
            life.ends_turn("No.", "error_max_turns");
        }
        life.dies_in(&id, state).await;
        let ended = life.comes_to(&id, end).await;
        assert_eq!(ended["error"]["kind"], kind, "{ended:#}");
        let branch = format!("claude/{id}");
        let subjects = life.subjects(&branch);
        let first = subjects.last().map(String::as_str);
        assert_eq!((subjects.len(), first), (2, Some("chore: start task")));
        assert!(subjects[0].starts_with("WIP: "), "{subjects:?}");
        let [pull] = &*life.one.pulls().await else {
            panic!("one pull request");
        };
        let text = pull["body"].as_str().unwrap();
        assert!(text.contains(&format!("**{end}**")), "{text}");
        life.journal(&id);
        assert!(Path::new(&workdir(&ended)).exists());
    }
}

#[tokio::test]
async fn what_is_done_and_waits_for_a_forge_is_cancelled_at_once_and_keeps_its_commits() {
    let life = Mortal::new();
    let body = json!({"prompt": "Mend it", "repo": format!("{}/acme/api", life.one.forge.url())});
    let id = submit(&life.client, &body).await;
    let working = life.works(&id, 1).await;
    let made = commit(&workdir(&working), "one");
    life.has(&format!("claude/{id}"), &made).await;
    // For longer than anybody waits.
    life.one.forge.fail(Fault {
        path: "/pulls/".to_owned(),
        times: 1000,
        status: 502,
        ..Fault::default()
    });
    life.ends_turn("It is mended.", "turn_end");
    life.comes_to(&id, "finishing").await;
    let cancel = format!("/api/tasks/{id}/cancel");
    life.client.post(&cancel, &json!({})).await.ok();
    let ended = life.comes_to(&id, "cancelled").await;
    assert_eq!(
        (&ended["error"]["kind"], &ended["head"]),
        (&json!("cancelled"), &json!(made))
    );
    life.client
        .post(&cancel, &json!({}))
        .await
        .fault(409, "task_ended");
    assert_eq!(task(&life.client, &id).await["result"], "It is mended.");
}
