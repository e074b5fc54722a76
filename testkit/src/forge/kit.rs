//! What tests in other languages ask of the stand-in, below `/_kit/`; bodies are JSON.
//!
//! | call | what |
//! |---|---|
//! | `POST tokens` | a [`super::Token`] |
//! | `POST repositories` | a [`super::NewRepository`] |
//! | `POST faults` | a [`super::Fault`] |
//! | `POST rename` | `{from, to}` |
//! | `POST close` | `{slug, number}`: a person closes a pull request |
//! | `POST checks` | `{slug, check}` |
//! | `GET events` | every call so far |
//! | `GET pulls` | every pull request |

use axum::http::Method;
use serde_json::{Value, json};

use super::talk::Answer;
use super::world::World;

pub(super) fn answer(world: &mut World, method: &Method, rest: &str, body: &Value) -> Answer {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let read = |done: Result<(), String>| match done {
        Ok(()) => Answer::new(201, json!({})),
        Err(why) => Answer::refused(400, &why),
    };
    match (method.as_str(), rest) {
        ("POST", "tokens") => read(
            serde_json::from_value(body.clone())
                .map_err(|e| e.to_string())
                .map(|token| world.tokens.push(token)),
        ),
        ("POST", "repositories") => {
            let new = serde_json::from_value(body.clone()).map_err(|e| e.to_string());
            read(new.and_then(|new| world.add(&new).map(drop).map_err(|e| e.to_string())))
        }
        ("POST", "faults") => read(
            serde_json::from_value(body.clone())
                .map_err(|e| e.to_string())
                .map(|fault| world.faults.push(fault)),
        ),
        ("POST", "rename") => {
            let done = world.rename(&text("from"), &text("to"));
            read(
                done.then_some(())
                    .ok_or_else(|| "no such repository".to_owned()),
            )
        }
        ("POST", "close") => {
            let id = world.named(&text("slug")).map(|(repo, _)| repo.id);
            let number = body["number"].as_u64();
            let mut pulls = world.pulls.iter_mut();
            let found = pulls.find(|pull| Some(pull.repo) == id && Some(pull.number) == number);
            read(
                found
                    .map(|pull| pull.open = false)
                    .ok_or_else(|| "no such pull request".to_owned()),
            )
        }
        ("POST", "checks") => {
            let id = world.named(&text("slug")).map(|(repo, _)| repo.id);
            let mut repos = world.repos.iter_mut();
            let found = repos.find(|repo| Some(repo.id) == id);
            read(
                found
                    .map(|repo| repo.checks.push(body["check"].clone()))
                    .ok_or_else(|| "no such repository".to_owned()),
            )
        }
        ("GET", "events") => Answer::ok(json!({"events": world.events})),
        ("GET", "pulls") => {
            let pulls = world.pulls.iter().map(|pull| {
                json!({
                    "slug": world.repo(pull.repo).slug(), "number": pull.number,
                    "title": pull.title, "body": pull.body, "draft": pull.draft,
                    "open": pull.open, "merged": pull.merged, "base": pull.base,
                    "head_slug": world.repo(pull.head_repo).slug(), "head": pull.head,
                    "commit": world.repo(pull.head_repo).commit(&pull.head),
                    "comments": world.remarks.iter()
                        .filter(|one| one.repo == pull.repo && one.number == pull.number)
                        .map(|one| one.body.clone()).collect::<Vec<_>>(),
                })
            });
            Answer::ok(json!({"pulls": pulls.collect::<Vec<_>>()}))
        }
        _ => Answer::missing(),
    }
}
