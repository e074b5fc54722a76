//! How long what a task does may take, and what nobody foresaw.

use std::fs;
use std::time::Duration;

use cib_protocol::forge::ForgeKind;
use cib_protocol::frame::{Data, Meta};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::time::Timestamp;
use serde_json::{Value, json};

use super::pulls::{add, forged_with};
use super::{begin, comes_to, commit, has_session, submit, task, turn, workdir, world};
use crate::common::keeper::Keeper;
use crate::common::process::{Process, free_address};
use crate::common::until;
use crate::common::world::World;

/// Has Claude have begun to work so many minutes earlier than it did.
fn earlier(world: &World, id: &str, minutes: i64) {
    let folder = world.data().join("control/tasks").join(id);
    let path = folder.join("transcript.jsonl");
    let mut has_worked = false;
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| {
        let mut frame: Value = serde_json::from_str(line).unwrap();
        if !has_worked {
            let ts: Timestamp = serde_json::from_value(frame["ts"].clone()).unwrap();
            frame["ts"] = json!(Timestamp::from_millis(ts.as_millis() - minutes * 60_000));
        }
        has_worked |= frame["data"]["state"] == "working";
        format!("{frame}\n")
    });
    let changed: String = lines.collect();
    assert!(has_worked, "{text}");
    fs::write(&path, changed).unwrap();
}

#[tokio::test]
async fn claude_works_for_an_hour_if_nothing_is_said_and_is_told_before_that_is_over() {
    let world = world();
    // Control as a process of its own, of which nothing goes on.
    let address = free_address();
    let mut process = Process::start(&world, address);
    let client = process.client();
    let (id, working) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    assert_eq!(world.init().specs[0].limits.max_duration, Some(3600 + 120));
    // Something has to stand behind the beginning of the work: its time is what lies in between.
    commit(&workdir(&working), "one");
    until("the commit is pushed", async || {
        task(&client, &id).await["push"].is_object()
    })
    .await;
    let told = || {
        let told = world.init().keepers[0].told();
        let mut inputs = told.iter().filter_map(|told| match told {
            KeeperRequest::Input { text, .. } => Some(text.clone()),
            _ => None,
        });
        inputs.find(|text| text.contains("Commit what you have"))
    };
    assert_eq!(told(), None);
    process.kill();
    earlier(&world, &id, 50);
    process = Process::start(&world, address);
    until("it is told to hurry", async || told().is_some()).await;
    assert_eq!(task(&client, &id).await["state"], "working");
    process.kill();
    earlier(&world, &id, 10);
    process = Process::start(&world, address);
    let failed = comes_to(&world, &process.client(), &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "timeout");
    let detail = failed["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("3600 seconds"), "{detail}");
}

#[tokio::test]
async fn a_search_has_twenty_minutes_and_one_that_takes_longer_ends_its_task() {
    for (finding, seconds) in [(None, 20 * 60), (Some(Duration::from_secs(2)), 2)] {
        let one = forged_with(ForgeKind::GitHub, |config| {
            config.finding = finding.unwrap_or(config.finding);
        });
        add(&one.forge, "acme/web", &["me"]);
        let id = submit(&one.client, &json!({"prompt": "Mend the checkout page"})).await;
        has_session(&one.world, 1).await;
        let limits = one.world.init().specs[0].limits.clone();
        assert_eq!(limits.max_duration, Some(seconds + 120));
        if finding.is_some() {
            let failed = comes_to(&one.world, &one.client, &id, "failed").await;
            assert_eq!(failed["error"]["kind"], "timeout");
            let detail = failed["error"]["detail"].as_str().unwrap();
            assert!(detail.contains("not found in 2 seconds"), "{detail}");
            until("its session is ended", async || {
                let mut init = one.world.init();
                init.keepers.iter_mut().for_each(Keeper::obey);
                let told = init.keepers[0].told();
                told.iter()
                    .any(|told| matches!(told, KeeperRequest::Stop { .. }))
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_nobody_foresaw_is_unknown_in_claudes_own_words_and_has_a_remedy() {
    let world = world();
    let server = world.serve();
    let client = server.client();
    let (id, _) = begin(&world, &client, &json!({"prompt": "Mend api"})).await;
    let why = "the API failed: teapot (418); retry 1 of 10".to_owned();
    world.init().keepers[0].append(&[Data::Meta(Meta {
        note: Some(why),
        ..Meta::default()
    })]);
    let mut frames = turn("API Error", "api_error");
    for frame in &mut frames {
        if let Data::Stop(stop) = frame {
            stop.detail = Some("API Error: 418 I'm a teapot".to_owned());
        }
    }
    world.init().keepers[0].append(&frames);
    let failed = comes_to(&world, &client, &id, "failed").await;
    let error = &failed["error"];
    assert_eq!(error["kind"], "unknown", "{failed:#}");
    assert_eq!(error["detail"], "API Error: 418 I'm a teapot");
    assert!(error["remedy"].as_str().unwrap().ends_with('.'), "{error}");
    let known = client.get(&format!("/task/{id}")).await.ok();
    assert_eq!(
        (&known["errorType"], &known["errorKind"]),
        (&json!("unknown"), &json!("unknown"))
    );
}
