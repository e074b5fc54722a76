//! Gitea and Forgejo, by their documentation. Much of it is as at GitHub.

use serde_json::{Value, json};

use super::github::{self, add, change, find, person, repository, shown};
use super::talk::{Answer, Asked};
use super::world::{PullRequest, Repo, World};

pub(super) fn answer(world: &mut World, asked: &Asked) -> Answer {
    let Some(login) = asked.login.clone() else {
        return Answer::refused(401, "token is required");
    };
    let parts: Vec<&str> = asked.parts.iter().map(String::as_str).collect();
    match (asked.method.as_str(), &*parts) {
        ("GET", ["repos", "search"]) => {
            let query = asked.value("q").unwrap_or_default().to_lowercase();
            let is_it = |repo: &&Repo| {
                repo.may_see(Some(&login)) && repo.slug().to_lowercase().contains(&query)
            };
            let found = world
                .repos
                .iter()
                .filter(is_it)
                .map(|repo| repository(world, asked, repo, &login));
            let (items, headers) = asked.paged(found.collect());
            let answer = Answer::ok(json!({"ok": true, "data": items}));
            headers
                .iter()
                .fold(answer, |answer, (name, value)| answer.with(name, value))
        }
        (method, ["repos", owner, name, rest @ ..]) => {
            let found = world
                .named(&format!("{owner}/{name}"))
                .map(|(repo, _)| repo.clone());
            let Some(repo) = found.filter(|repo| repo.may_see(Some(&login))) else {
                return Answer::missing();
            };
            match (method, rest) {
                ("GET", ["branches", branch]) => match repo.commit(branch) {
                    Some(commit) => Answer::ok(
                        json!({"name": branch, "commit": {"id": commit}, "protected": false}),
                    ),
                    None => Answer::missing(),
                },
                ("GET", ["raw", path @ ..]) => {
                    let at = asked.value("ref").unwrap_or_else(|| repo.default_branch());
                    let file = repo.file(&at, &path.join("/"));
                    file.map_or_else(Answer::missing, |text| Answer::ok(Value::String(text)))
                }
                ("GET", ["commits", _, "statuses"]) => {
                    Answer::ok(Value::Array(repo.checks.clone()))
                }
                ("GET", ["pulls"]) => {
                    let own = world.pulls.iter().rev().filter(|pull| pull.repo == repo.id);
                    let all = own.map(|pull| plain(world, asked, pull)).collect();
                    let (items, headers) = asked.paged(all);
                    let answer = Answer::ok(Value::Array(items));
                    headers
                        .iter()
                        .fold(answer, |answer, (name, value)| answer.with(name, value))
                }
                ("POST", ["pulls"]) => open(world, asked, &repo, &login),
                ("PATCH", ["pulls", number]) => {
                    let number: u64 = number.parse().unwrap_or_default();
                    let mut pulls = world.pulls.iter_mut();
                    let pull = pulls.find(|pull| pull.repo == repo.id && pull.number == number);
                    if let Some(pull) = pull {
                        change(pull, &asked.body);
                    }
                    one(world, asked, &repo, number)
                }
                ("GET", ["pulls", number]) => {
                    one(world, asked, &repo, number.parse().unwrap_or_default())
                }
                ("POST", ["forks"]) => {
                    if world
                        .repos
                        .iter()
                        .any(|one| one.parent == Some(repo.id) && one.owner == login)
                    {
                        return Answer::refused(
                            409,
                            "The repository with the same name already exists.",
                        );
                    }
                    match world.fork(repo.id, &login) {
                        Ok(id) => Answer::new(
                            202,
                            repository(world, asked, &world.repo(id).clone(), &login),
                        ),
                        Err(error) => Answer::refused(500, &error.to_string()),
                    }
                }
                _ => github::answer(world, asked),
            }
        }
        ("GET", ["user"]) => Answer::ok(person(&login)),
        _ => github::answer(world, asked),
    }
}

fn open(world: &mut World, asked: &Asked, repo: &Repo, login: &str) -> Answer {
    let head = asked.text("head");
    let (head_repo, branch) = match head.split_once(':') {
        Some((owner, branch)) => {
            let fork = world
                .repos
                .iter()
                .find(|one| one.owner == owner && one.parent == Some(repo.id));
            (fork.map_or(repo.id, |fork| fork.id), branch.to_owned())
        }
        None => (repo.id, head),
    };
    let base = asked.text("base");
    if world.open(repo.id, head_repo, &branch, &base).is_some() {
        return Answer::refused(409, "pull request already exists for these targets");
    }
    let words = (&*asked.text("title"), &*asked.text("body"), false);
    match add(world, repo.id, (head_repo, &branch), &base, words, login) {
        Ok(number) => {
            let mut answer = one(world, asked, repo, number);
            answer.status = 201;
            answer
        }
        Err(answer) => answer,
    }
}

fn one(world: &World, asked: &Asked, repo: &Repo, number: u64) -> Answer {
    let found = find(world, repo.id, number);
    found.map_or_else(Answer::missing, |pull| {
        Answer::ok(plain(world, asked, pull))
    })
}

/// Without what only GitHub has; a draft is a matter of its title.
fn plain(world: &World, asked: &Asked, pull: &PullRequest) -> Value {
    let mut value = shown(world, asked, pull);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("node_id");
        fields.insert("draft".to_owned(), pull.title.starts_with("WIP: ").into());
    }
    value
}
