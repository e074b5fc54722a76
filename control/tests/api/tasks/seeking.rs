//! The session that finds the repository of a task which names none.

use cib_control::sessions::revive::revive;
use cib_protocol::forge::ForgeKind;
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{PermissionMode, State, Toolbox};
use serde_json::{Value, json};

use super::pulls::{Forged, add, forged, forged_as};
use super::steering::hit_limit;
use super::{comes_to, end_turn, has_session, submit, task};
use crate::common::client::Client;
use crate::common::keeper::Keeper;
use crate::common::until;

/// What Claude has in a session that looks for a repository.
struct Hand {
    client: Client,
    path: String,
}

impl Hand {
    fn of(one: &Forged, toolbox: &Toolbox) -> Self {
        let begin = format!("http://{}", one.server.address);
        Self {
            client: Client::new(one.server.address).with_token(toolbox.key.expose()),
            path: toolbox.url.strip_prefix(&begin).unwrap().to_owned(),
        }
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.client.post(&self.path, &message).await.ok()["result"].clone()
    }

    /// Uses a tool.
    async fn uses(&self, name: &str, arguments: Value) -> Result<String, String> {
        let params = json!({"name": name, "arguments": arguments});
        let result = self.ask("tools/call", params).await;
        let text = result["content"][0]["text"].as_str().unwrap().to_owned();
        match result["isError"].as_bool() {
            Some(true) => Err(text),
            _ => Ok(text),
        }
    }
}

fn shop(kind: ForgeKind) -> Forged {
    let one = forged_as(kind);
    add(&one.forge, "acme/web", &["me"]);
    add(&one.forge, "other/lib", &[]);
    one
}

/// The hand of the session that was started as `nth`.
async fn hand(one: &Forged, nth: usize) -> Hand {
    has_session(&one.world, nth + 1).await;
    let spec = one.world.init().specs[nth].clone();
    Hand::of(one, &spec.toolbox.unwrap())
}

#[tokio::test]
async fn a_session_with_three_tools_finds_the_repository_and_can_choose_no_other_than_the_tokens() {
    for kind in [ForgeKind::GitHub, ForgeKind::GitLab] {
        let one = shop(kind);
        let id = submit(&one.client, &json!({"prompt": "Mend the checkout page"})).await;
        let hand = hand(&one, 0).await;
        let spec = one.world.init().specs[0].clone();
        assert_eq!(spec.permission_mode, PermissionMode::Default);
        assert!(spec.prompt.unwrap().contains("Mend the checkout page"));
        let finding = task(&one.client, &id).await;
        assert_eq!(
            (&finding["state"], &finding["finder"]),
            (&json!("finding"), &json!(spec.id))
        );
        assert!(finding.get("session").is_none());
        let tools = hand.ask("tools/list", json!({})).await;
        let names: Vec<_> = tools["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["find", "describe", "choose"]);
        assert_eq!(spec.toolbox.unwrap().tools, names);
        let all = hand.uses("find", json!({})).await.unwrap();
        assert!(
            all.contains("acme/api") && all.contains("acme/web"),
            "{all}"
        );
        assert!(!all.contains("other/lib"), "{all}");
        let some = hand.uses("find", json!({"query": "WEB"})).await.unwrap();
        assert!(!some.contains("acme/api"), "{some}");
        let file = json!({"repository": "acme/web", "path": "file"});
        let file = hand.uses("describe", file).await.unwrap();
        assert!(file.contains("\n\nfile:\n\none"), "{file}");
        for wrong in ["other/lib", "acme/none", "../../etc", ""] {
            let choice = json!({"repositories": [wrong]});
            let why = hand.uses("choose", choice).await.unwrap_err();
            assert!(why.contains("none of those"), "{wrong}: {why}");
        }
        let choice = json!({"repositories": ["acme/web"], "reason": "It has the pages."});
        hand.uses("choose", choice).await.unwrap();
        let working = comes_to(&one.world, &one.client, &id, "working").await;
        let repo = working["repo"].as_str().unwrap();
        assert!(repo.ends_with("/acme/web.git"), "{repo}");
        until("its session is ended", async || {
            let told = one.world.init().keepers[0].told();
            told.iter()
                .any(|told| matches!(told, KeeperRequest::Stop { .. }))
        })
        .await;
        let log = one
            .client
            .get(&format!("/api/tasks/{id}/logs?follow=0"))
            .await;
        assert!(String::from_utf8_lossy(&log.body).contains("It has the pages."));
        // Nobody continues it with all of Claude's tools, by whichever of its names.
        let finder = finding["finder"].clone();
        until("its session has ended", async || {
            one.world.init().keepers.iter_mut().for_each(Keeper::obey);
            let path = format!("/api/sessions/{}", spec.id);
            one.client.get(&path).await.ok()["state"] == "stopped"
        })
        .await;
        let path = format!("/api/sessions/{}", spec.id);
        let claude = one.client.get(&path).await.ok()["claude_session"].clone();
        for (how, name) in [
            ("resume", &finder),
            ("resume_from", &finder),
            ("resume_from", &claude),
        ] {
            let again = one.client.post("/api/sessions", &json!({how: name})).await;
            again.fault(409, "nothing_to_resume");
        }
        // What was open for it is closed.
        let late = hand.client.post(&hand.path, &json!({})).await;
        late.fault(401, "unauthorized");
    }
}

#[tokio::test]
async fn what_cannot_be_told_apart_is_asked_and_nobody_else_has_the_tools() {
    let one = shop(ForgeKind::GitHub);
    let id = submit(&one.client, &json!({"prompt": "Mend the checkout page"})).await;
    let first = hand(&one, 0).await;
    let other = submit(&one.client, &json!({"prompt": "Mend the search"})).await;
    let second = hand(&one, 1).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for (client, path) in [
        (&one.client, &first.path),
        (&one.server.stranger(), &first.path),
        (&second.client, &first.path),
        (&first.client, &"/mcp/find/00000000".to_owned()),
    ] {
        let refused = client.post(path, &message).await;
        refused.fault(401, "unauthorized");
    }
    let both = json!({"repositories": ["acme/web", "acme/api"]});
    first.uses("choose", both).await.unwrap();
    let asks = comes_to(&one.world, &one.client, &id, "needs_input").await;
    assert_eq!(asks["candidates"].as_array().unwrap().len(), 2, "{asks:#}");
    let answer = json!({"repo": "acme/api"});
    let path = format!("/api/tasks/{id}/repository");
    one.client.post(&path, &answer).await.ok();
    comes_to(&one.world, &one.client, &id, "working").await;
    // One that chooses nothing leaves it to a person as well.
    let nth = |id: &Value| {
        let keepers = &one.world.init().keepers;
        let of = |keeper: &Keeper| json!(keeper.id) == *id;
        keepers.iter().position(of).unwrap()
    };
    let finder = task(&one.client, &other).await["finder"].clone();
    end_turn(&one.world, nth(&finder), "It may be any.", "turn_end");
    let asks = comes_to(&one.world, &one.client, &other, "needs_input").await;
    assert_eq!(asks["candidates"].as_array().unwrap().len(), 2, "{asks:#}");
}

#[tokio::test]
async fn a_search_that_is_cut_off_goes_on_and_one_that_is_cancelled_ends() {
    let one = shop(ForgeKind::GitHub);
    let id = submit(&one.client, &json!({"prompt": "Mend the checkout page"})).await;
    hand(&one, 0).await;
    // A start of the box that resumes what was at work leaves it to its task.
    let mark = one.world.path().join("boot");
    one.world.init().keepers[0].set_meta(|meta| meta.ended_in = Some(State::Working));
    one.world.init().keepers[0].end(State::Interrupted);
    revive(one.server.app.clone(), "next boot", &mark).await;
    let again = hand(&one, 1).await;
    let specs = one.world.init().specs.clone();
    assert_eq!(specs[0].id, specs[1].id);
    assert!(specs.iter().all(|spec| spec.toolbox.is_some()));
    assert!(specs[1].resume.is_some());
    again.uses("find", json!({})).await.unwrap();
    // A usage limit is waited for here as well.
    hit_limit(&one.world, 5000);
    until("it waits", async || {
        task(&one.client, &id).await["until"].is_string()
    })
    .await;
    until("it is resumed", async || {
        one.world.init().keepers.iter_mut().for_each(Keeper::obey);
        one.world.init().specs.len() == 3
    })
    .await;
    until("it looks", async || {
        let task = task(&one.client, &id).await;
        assert_eq!(task["state"], "finding", "{task:#}");
        task.get("until").is_none()
    })
    .await;
    let cancel = format!("/api/tasks/{id}/cancel");
    one.client.post(&cancel, &json!({})).await.ok();
    comes_to(&one.world, &one.client, &id, "cancelled").await;
    let told = one.world.init().keepers[0].told();
    assert!(
        told.iter()
            .any(|told| matches!(told, KeeperRequest::Stop { .. })),
        "{told:?}"
    );
    // Where there is nothing to choose from nobody looks.
    let one = forged();
    let named = json!({"prompt": "Mend it", "repo": "none"});
    let id = submit(&one.client, &named).await;
    let failed = comes_to(&one.world, &one.client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "no_repo");
    assert!(one.world.init().specs.is_empty());
}
