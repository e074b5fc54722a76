//! GitLab, by its documentation.

use serde_json::{Value, json};

use super::github::{add, change, find};
use super::talk::{Answer, Asked};
use super::world::{PullRequest, Remark, Repo, World};

pub(super) fn answer(world: &mut World, asked: &Asked) -> Answer {
    let Some(login) = asked.login.clone() else {
        return Answer::refused(401, "401 Unauthorized");
    };
    let parts: Vec<&str> = asked.parts.iter().map(String::as_str).collect();
    match (asked.method.as_str(), &*parts) {
        ("GET", ["user"]) => Answer::ok(json!({"id": 1, "username": login})),
        ("GET", ["personal_access_tokens", "self"]) => {
            let token = world.tokens.iter().find(|token| token.login == login);
            let scopes = token.and_then(|token| token.scopes.clone());
            scopes.map_or_else(Answer::missing, |scopes| {
                Answer::ok(json!({"scopes": scopes}))
            })
        }
        ("GET", ["projects"]) => {
            let query = asked.value("search").unwrap_or_default().to_lowercase();
            let is_it = |repo: &&Repo| {
                repo.writers.contains(&login) && repo.slug().to_lowercase().contains(&query)
            };
            let all = world.repos.iter().rev().filter(is_it);
            let (items, headers) = asked.paged(
                all.map(|repo| project(world, asked, repo, &login))
                    .collect(),
            );
            let answer = Answer::ok(Value::Array(items));
            headers
                .iter()
                .fold(answer, |answer, (name, value)| answer.with(name, value))
        }
        (method, ["projects", slug, rest @ ..]) => {
            let found = world.named(slug).map(|(repo, moved)| (repo.clone(), moved));
            let Some((repo, moved)) = found.filter(|(repo, _)| repo.may_see(Some(&login))) else {
                return Answer::refused(404, "404 Project Not Found");
            };
            if moved && method == "GET" && rest.is_empty() {
                return Answer::moved(&format!(
                    "{}/api/v4/projects/{}",
                    asked.site,
                    repo.slug().replace('/', "%2F")
                ));
            }
            of_project(world, asked, &repo, (method, rest), &login)
        }
        _ => Answer::refused(404, "404 Not Found"),
    }
}

fn of_project(
    world: &mut World,
    asked: &Asked,
    repo: &Repo,
    call: (&str, &[&str]),
    login: &str,
) -> Answer {
    match call {
        ("GET", []) => Answer::ok(project(world, asked, repo, login)),
        ("GET", ["repository", "branches", branch]) => match repo.commit(branch) {
            Some(commit) => {
                Answer::ok(json!({"name": branch, "commit": {"id": commit}, "protected": false}))
            }
            None => Answer::refused(404, "404 Branch Not Found"),
        },
        ("GET", ["repository", "files", path, "raw"]) => {
            let at = asked.value("ref").unwrap_or_else(|| repo.default_branch());
            let file = repo.file(&at, path);
            file.map_or_else(Answer::missing, |text| Answer::ok(Value::String(text)))
        }
        ("GET", ["repository", "commits", _, "statuses"]) => {
            Answer::ok(Value::Array(repo.checks.clone()))
        }
        ("POST", ["fork"]) => {
            if world
                .repos
                .iter()
                .any(|one| one.parent == Some(repo.id) && one.owner == login)
            {
                return Answer::new(409, json!({"message": ["Name has already been taken"]}));
            }
            match world.fork(repo.id, login) {
                Ok(id) => Answer::new(201, project(world, asked, &world.repo(id).clone(), login)),
                Err(error) => Answer::refused(500, &error.to_string()),
            }
        }
        ("GET", ["forks"]) => {
            let own = world
                .repos
                .iter()
                .filter(|one| one.parent == Some(repo.id) && one.owner == login);
            Answer::ok(own.map(|one| project(world, asked, one, login)).collect())
        }
        ("GET", ["merge_requests"]) => {
            let branch = asked.value("source_branch");
            let is_it = |pull: &&PullRequest| {
                pull.repo == repo.id && branch.as_ref().is_none_or(|branch| *branch == pull.head)
            };
            let all = world.pulls.iter().rev().filter(is_it);
            Answer::ok(all.map(|pull| request(world, asked, pull)).collect())
        }
        ("POST", ["merge_requests"]) => open(world, asked, repo, login),
        ("GET", ["merge_requests", number]) => one(world, asked, repo, number),
        ("PUT", ["merge_requests", number]) => {
            let of: u64 = number.parse().unwrap_or_default();
            let mut pulls = world.pulls.iter_mut();
            if let Some(pull) = pulls.find(|pull| pull.repo == repo.id && pull.number == of) {
                let mut body = asked.body.clone();
                body["body"] = body["description"].take();
                if body["state_event"] == "close" {
                    body["state"] = "closed".into();
                }
                change(pull, &body);
            }
            one(world, asked, repo, number)
        }
        ("POST", ["merge_requests", number, "notes"]) => {
            let number: u64 = number.parse().unwrap_or_default();
            if find(world, repo.id, number).is_none() {
                return Answer::missing();
            }
            let id = world.id();
            world.remarks.push(Remark {
                id,
                repo: repo.id,
                number,
                author: login.to_owned(),
                body: asked.text("body"),
            });
            Answer::new(201, json!({"id": id}))
        }
        ("PUT", ["merge_requests", _, "notes", id]) => {
            let id: u64 = id.parse().unwrap_or_default();
            let text = asked.text("body");
            match world.remarks.iter_mut().find(|one| one.id == id) {
                Some(one) => {
                    one.body = text;
                    Answer::ok(json!({"id": id}))
                }
                None => Answer::missing(),
            }
        }
        _ => Answer::refused(404, "404 Not Found"),
    }
}

fn open(world: &mut World, asked: &Asked, from: &Repo, login: &str) -> Answer {
    let into = asked.body["target_project_id"].as_u64().unwrap_or(from.id);
    let (branch, base) = (asked.text("source_branch"), asked.text("target_branch"));
    if let Some(open) = world.open(into, from.id, &branch, &base) {
        let words = format!(
            "Another open merge request already exists for this source branch: !{}",
            open.number
        );
        return Answer::new(409, json!({"message": [words]}));
    }
    let words = (&*asked.text("title"), &*asked.text("description"), false);
    match add(world, into, (from.id, &branch), &base, words, login) {
        Ok(number) => {
            let repo = world.repo(into).clone();
            let mut answer = one(world, asked, &repo, &number.to_string());
            answer.status = 201;
            answer
        }
        Err(answer) => answer,
    }
}

fn one(world: &World, asked: &Asked, repo: &Repo, number: &str) -> Answer {
    let found = find(world, repo.id, number.parse().unwrap_or_default());
    found.map_or_else(Answer::missing, |pull| {
        Answer::ok(request(world, asked, pull))
    })
}

fn project(world: &World, asked: &Asked, repo: &Repo, login: &str) -> Value {
    let access = if repo.owner == login { 50 } else { 30 };
    let access = if repo.writers.contains(login) {
        json!({"access_level": access})
    } else {
        Value::Null
    };
    let mut value = json!({
        "id": repo.id, "path_with_namespace": repo.slug(), "description": repo.description,
        "default_branch": repo.default_branch(), "archived": repo.archived,
        "forking_access_level": if repo.no_forks { "disabled" } else { "enabled" },
        "visibility": if repo.private { "private" } else { "public" },
        "web_url": format!("{}/{}", asked.site, repo.slug()),
        "permissions": {"project_access": access, "group_access": null},
    });
    if let Some(parent) = repo.parent {
        value["forked_from_project"] = json!({"path_with_namespace": world.repo(parent).slug()});
    }
    value
}

fn request(world: &World, asked: &Asked, pull: &PullRequest) -> Value {
    let repo = world.repo(pull.repo);
    json!({
        "id": pull.id, "iid": pull.number, "title": pull.title, "description": pull.body,
        "state": match (pull.merged, pull.open) { (true, _) => "merged", (_, true) => "opened", _ => "closed" },
        "draft": pull.title.starts_with("Draft: "), "source_branch": pull.head, "target_branch": pull.base,
        "source_project_id": pull.head_repo, "target_project_id": pull.repo,
        "sha": world.repo(pull.head_repo).commit(&pull.head),
        "web_url": format!("{}/{}/-/merge_requests/{}", asked.site, repo.slug(), pull.number),
    })
}
