//! GitHub's REST API: the calls that the box makes, and those that `gh` does.

use axum::http::Method;
use serde_json::{Value, json};

use super::talk::{Answer, Asked};
use super::world::{MADE, PullRequest, Remark, Repo, World, git};

pub(super) fn answer(world: &mut World, asked: &Asked) -> Answer {
    let Some(login) = asked.login.clone() else {
        return Answer::refused(401, "Bad credentials");
    };
    if world.remaining == 0 {
        return limits(
            world,
            Answer::refused(403, "API rate limit exceeded for user."),
        );
    }
    world.remaining -= 1;
    let scopes = world.tokens.iter().find(|token| token.login == login);
    let scopes = scopes.and_then(|token| token.scopes.clone());
    let mut answer = routed(world, asked, &login);
    if let Some(scopes) = scopes {
        answer = answer.with("x-oauth-scopes", &scopes.join(", "));
    }
    limits(world, answer)
}

fn limits(world: &World, answer: Answer) -> Answer {
    answer
        .with("x-ratelimit-limit", "5000")
        .with("x-ratelimit-remaining", &world.remaining.to_string())
        .with("x-ratelimit-reset", "4102444800")
}

fn routed(world: &mut World, asked: &Asked, login: &str) -> Answer {
    let parts: Vec<&str> = asked.parts.iter().map(String::as_str).collect();
    let method = asked.method.as_str();
    match (method, &*parts) {
        ("GET", []) => Answer::ok(json!({"current_user_url": format!("{}/user", asked.site)})),
        ("GET", ["user"]) => Answer::ok(person(login)),
        ("GET", ["user", "repos"]) => {
            let own = world
                .repos
                .iter()
                .rev()
                .filter(|repo| repo.writers.contains(login));
            let all = own
                .map(|repo| repository(world, asked, repo, login))
                .collect();
            listed(asked, all, Value::Array)
        }
        ("GET", ["search", "repositories"]) => {
            let query = asked.value("q").unwrap_or_default().to_lowercase();
            let words: Vec<_> = query.split_whitespace().collect();
            let (about, words): (Vec<&str>, Vec<&str>) =
                words.into_iter().partition(|word| word.contains(':'));
            let is_it = |repo: &&Repo| {
                let text = format!("{} {}", repo.slug(), repo.description).to_lowercase();
                let of = |word: &&str| {
                    word.strip_prefix("user:")
                        .is_none_or(|user| user == repo.owner)
                };
                repo.may_see(Some(login))
                    && words.iter().all(|word| text.contains(word))
                    && about.iter().all(of)
            };
            let found: Vec<_> = world
                .repos
                .iter()
                .filter(is_it)
                .map(|repo| repository(world, asked, repo, login))
                .collect();
            let count = found.len();
            listed(
                asked,
                found,
                |items| json!({"total_count": count, "incomplete_results": false, "items": items}),
            )
        }
        (_, ["repos", owner, name, rest @ ..]) => {
            of_repository(world, asked, login, &format!("{owner}/{name}"), rest)
        }
        (_, ["repositories", id, rest @ ..]) => {
            let id: u64 = id.parse().unwrap_or_default();
            match world
                .repos
                .iter()
                .find(|repo| repo.id == id)
                .map(Repo::slug)
            {
                Some(slug) => of_repository(world, asked, login, &slug, rest),
                None => Answer::missing(),
            }
        }
        _ => Answer::missing(),
    }
}

fn listed(asked: &Asked, all: Vec<Value>, whole: impl FnOnce(Vec<Value>) -> Value) -> Answer {
    let (items, headers) = asked.paged(all);
    headers
        .iter()
        .fold(Answer::ok(whole(items)), |answer, (name, value)| {
            answer.with(name, value)
        })
}

fn of_repository(
    world: &mut World,
    asked: &Asked,
    login: &str,
    slug: &str,
    rest: &[&str],
) -> Answer {
    let found = world.named(slug).map(|(repo, moved)| (repo.clone(), moved));
    let Some((repo, moved)) = found.filter(|(repo, _)| repo.may_see(Some(login))) else {
        return Answer::missing();
    };
    let method = asked.method.as_str();
    if moved {
        let base = asked.path.split("/repos/").next().unwrap_or_default();
        let rest: String = rest
            .iter()
            .map(|part| format!("/{}", part.replace('/', "%2F")))
            .collect();
        let query = if asked.query.is_empty() {
            String::new()
        } else {
            format!("?{}", asked.query)
        };
        let host = if base.is_empty() {
            asked.site.replace("://", "://api.")
        } else {
            asked.site.clone()
        };
        let to = format!("{host}{base}/repositories/{}{rest}{query}", repo.id);
        let mut answer = Answer::moved(&to);
        if asked.method != Method::GET {
            answer.status = 307;
        }
        return answer;
    }
    match (method, rest) {
        ("GET", []) => Answer::ok(repository(world, asked, &repo, login)),
        ("GET", ["branches", branch]) => match repo.commit(branch) {
            Some(commit) => Answer::ok(
                json!({"name": branch, "commit": {"sha": commit}, "protected": *branch == repo.default_branch()}),
            ),
            None => Answer::refused(404, "Branch not found"),
        },
        ("GET", ["contents", path @ ..]) => {
            let at = asked.value("ref").unwrap_or_else(|| repo.default_branch());
            match repo.file(&at, &path.join("/")) {
                Some(text) => {
                    use base64::Engine as _;
                    let content = base64::engine::general_purpose::STANDARD.encode(&text);
                    Answer::ok(
                        json!({"type": "file", "encoding": "base64", "size": text.len(), "content": format!("{content}\n")}),
                    )
                }
                None => Answer::missing(),
            }
        }
        ("GET", ["commits", commit, "check-runs"]) => {
            let of = |check: &&Value| check["head_sha"].as_str().is_none_or(|sha| sha == *commit);
            let runs: Vec<_> = repo.checks.iter().filter(of).collect();
            Answer::ok(json!({"total_count": runs.len(), "check_runs": runs}))
        }
        ("POST", ["forks"]) if repo.no_forks => Answer::refused(403, "Forking is disabled"),
        ("POST", ["forks"]) => match world.fork(repo.id, login) {
            Ok(id) => {
                let fork = world.repo(id).clone();
                Answer::new(202, repository(world, asked, &fork, login))
            }
            Err(error) => Answer::refused(500, &error.to_string()),
        },
        ("POST", ["merge-upstream"]) => merge_upstream(world, asked, &repo, login),
        ("GET", ["pulls"]) => pulls(world, asked, &repo),
        ("POST", ["pulls"]) => open(world, asked, &repo, login),
        (_, ["pulls", number]) => one_pull(world, asked, &repo, number, login),
        ("POST", ["issues", number, "comments"]) => {
            let number: u64 = number.parse().unwrap_or_default();
            if !world
                .pulls
                .iter()
                .any(|pull| pull.repo == repo.id && pull.number == number)
            {
                return Answer::missing();
            }
            let id = world.id();
            let body = asked.text("body");
            world.remarks.push(Remark {
                id,
                repo: repo.id,
                number,
                author: login.to_owned(),
                body: body.clone(),
            });
            Answer::new(
                201,
                json!({"id": id, "body": body, "user": person(login), "html_url": format!("{}/{}/pull/{number}#issuecomment-{id}", asked.site, repo.slug())}),
            )
        }
        ("PATCH", ["issues", "comments", id]) => {
            let id: u64 = id.parse().unwrap_or_default();
            let text = asked.text("body");
            match world
                .remarks
                .iter_mut()
                .find(|one| one.id == id && one.repo == repo.id)
            {
                Some(one) => {
                    one.body.clone_from(&text);
                    Answer::ok(json!({"id": id, "body": text}))
                }
                None => Answer::missing(),
            }
        }
        _ => Answer::missing(),
    }
}

fn merge_upstream(world: &World, asked: &Asked, fork: &Repo, login: &str) -> Answer {
    let branch = asked.text("branch");
    let Some(parent) = fork.parent.map(|parent| world.repo(parent)) else {
        return Answer::refused(422, "This repository is not a fork");
    };
    if !fork.may_push(Some(login)) {
        return Answer::refused(403, "Resource not accessible by personal access token");
    }
    let spec = format!("refs/heads/{branch}:refs/heads/{branch}");
    match git(
        &fork.dir,
        &["fetch", "--quiet", &parent.dir.display().to_string(), &spec],
        None,
    ) {
        Ok(_) => Answer::ok(json!({"merge_type": "fast-forward", "base_branch": branch})),
        Err(_) => Answer::refused(409, "There are merge conflicts"),
    }
}

/// The repository and the branch that `head` means: `branch`, or `owner:branch`.
fn head(world: &World, repo: &Repo, head: &str) -> Option<(u64, String)> {
    let Some((owner, branch)) = head.split_once(':') else {
        return Some((repo.id, head.to_owned()));
    };
    if owner == repo.owner {
        return Some((repo.id, branch.to_owned()));
    }
    let fork = world
        .repos
        .iter()
        .find(|one| one.owner == owner && one.parent == Some(repo.id))?;
    Some((fork.id, branch.to_owned()))
}

fn pulls(world: &World, asked: &Asked, repo: &Repo) -> Answer {
    let state = asked.value("state").unwrap_or_else(|| "open".to_owned());
    let wanted = asked.value("head");
    let wanted = wanted.map(|wanted| head(world, repo, &wanted));
    let is_it = |pull: &&PullRequest| {
        let of_state = match &*state {
            "all" => true,
            "closed" => !pull.open,
            _ => pull.open,
        };
        let of_head = match &wanted {
            None => true,
            Some(None) => false,
            Some(Some((id, branch))) => pull.head_repo == *id && pull.head == *branch,
        };
        pull.repo == repo.id && of_state && of_head
    };
    let all = world.pulls.iter().rev().filter(is_it);
    let all = all.map(|pull| shown(world, asked, pull)).collect();
    listed(asked, all, Value::Array)
}

/// What a validation fails with.
pub(super) fn invalid(message: &str) -> Answer {
    Answer::new(
        422,
        json!({
            "message": "Validation Failed",
            "errors": [{"resource": "PullRequest", "code": "custom", "message": message}],
            "documentation_url": "https://docs.example/rest/pulls/pulls#create-a-pull-request",
        }),
    )
}

fn open(world: &mut World, asked: &Asked, repo: &Repo, login: &str) -> Answer {
    let (base, title) = (asked.text("base"), asked.text("title"));
    let Some((head_repo, branch)) = head(world, repo, &asked.text("head")) else {
        return invalid("head is invalid");
    };
    let draft = asked.body["draft"].as_bool().unwrap_or_default();
    match add(
        world,
        repo.id,
        (head_repo, &branch),
        &base,
        (&title, &asked.text("body"), draft),
        login,
    ) {
        Ok(number) => match find(world, repo.id, number) {
            Some(pull) => Answer::new(201, shown(world, asked, pull)),
            None => Answer::missing(),
        },
        Err(answer) => answer,
    }
}

/// Opens a pull request, or says why not, as GitHub does.
pub(super) fn add(
    world: &mut World,
    repo: u64,
    (head_repo, branch): (u64, &str),
    base: &str,
    (title, body, draft): (&str, &str, bool),
    login: &str,
) -> Result<u64, Answer> {
    let (into, from) = (world.repo(repo), world.repo(head_repo));
    if !from.may_push(Some(login)) {
        return Err(Answer::refused(
            403,
            "Resource not accessible by personal access token",
        ));
    }
    if draft && into.no_drafts {
        return Err(Answer::refused(
            422,
            "Draft pull requests are not supported in this repository.",
        ));
    }
    match into.ahead(base, from, branch) {
        None => return Err(invalid("head or base is invalid")),
        Some(0) => return Err(invalid(&format!("No commits between {base} and {branch}"))),
        Some(_) => {}
    }
    if world.open(repo, head_repo, branch, base).is_some() {
        let owner = &from.owner;
        return Err(invalid(&format!(
            "A pull request already exists for {owner}:{branch}."
        )));
    }
    let id = world.id();
    let mut number = 0;
    for into in world.repos.iter_mut().filter(|one| one.id == repo) {
        into.last_number += 1;
        number = into.last_number;
    }
    world.pulls.push(PullRequest {
        id,
        repo,
        number,
        title: title.to_owned(),
        body: body.to_owned(),
        draft,
        open: true,
        merged: false,
        base: base.to_owned(),
        head_repo,
        head: branch.to_owned(),
        author: login.to_owned(),
    });
    Ok(number)
}

pub(super) fn find(world: &World, repo: u64, number: u64) -> Option<&PullRequest> {
    world
        .pulls
        .iter()
        .find(|pull| pull.repo == repo && pull.number == number)
}

fn one_pull(world: &mut World, asked: &Asked, repo: &Repo, number: &str, login: &str) -> Answer {
    let number: u64 = number.parse().unwrap_or_default();
    if find(world, repo.id, number).is_none() {
        return Answer::missing();
    }
    if asked.method == Method::PATCH {
        let is_author = find(world, repo.id, number).is_some_and(|pull| pull.author == login);
        if !is_author && !repo.may_push(Some(login)) {
            return Answer::refused(403, "Resource not accessible by personal access token");
        }
        let mut pulls = world.pulls.iter_mut();
        if let Some(pull) = pulls.find(|pull| pull.repo == repo.id && pull.number == number) {
            change(pull, &asked.body);
        }
    } else if asked.method != Method::GET {
        return Answer::missing();
    }
    match find(world, repo.id, number) {
        Some(pull) => Answer::ok(shown(world, asked, pull)),
        None => Answer::missing(),
    }
}

pub(super) fn change(pull: &mut PullRequest, body: &Value) {
    if let Some(title) = body["title"].as_str() {
        title.clone_into(&mut pull.title);
    }
    if let Some(text) = body["body"].as_str() {
        text.clone_into(&mut pull.body);
    }
    match body["state"].as_str() {
        Some("closed") => pull.open = false,
        Some("open") => pull.open = true,
        _ => {}
    }
}

pub(super) fn person(login: &str) -> Value {
    json!({"login": login, "id": login.len(), "node_id": format!("U_{login}"), "type": "User"})
}

pub(super) fn repository(world: &World, asked: &Asked, repo: &Repo, login: &str) -> Value {
    let slug = repo.slug();
    let mut value = json!({
        "id": repo.id, "node_id": format!("R_{}", repo.id), "name": repo.name, "full_name": slug,
        "private": repo.private, "owner": person(&repo.owner), "description": repo.description,
        "html_url": format!("{}/{slug}", asked.site), "url": format!("{}/api/v3/repos/{slug}", asked.site),
        "fork": repo.parent.is_some(), "archived": repo.archived, "allow_forking": !repo.no_forks,
        "default_branch": repo.default_branch(), "size": 1, "created_at": MADE, "updated_at": MADE,
        "pushed_at": MADE, "clone_url": format!("{}/{slug}.git", asked.site),
        "visibility": if repo.private { "private" } else { "public" },
        "permissions": {"admin": repo.owner == login, "push": repo.writers.contains(login), "pull": true},
    });
    if let Some(parent) = repo.parent {
        value["parent"] = repository(world, asked, world.repo(parent), login);
    }
    value
}

pub(super) fn shown(world: &World, asked: &Asked, pull: &PullRequest) -> Value {
    let (repo, from) = (world.repo(pull.repo), world.repo(pull.head_repo));
    json!({
        "id": pull.id, "node_id": format!("PR_{}", pull.id), "number": pull.number,
        "html_url": format!("{}/{}/pull/{}", asked.site, repo.slug(), pull.number),
        "state": if pull.open { "open" } else { "closed" }, "title": pull.title, "body": pull.body,
        "draft": pull.draft, "user": person(&pull.author), "created_at": MADE, "updated_at": MADE,
        "merged_at": if pull.merged { json!(MADE) } else { Value::Null }, "merged": pull.merged,
        "head": {"ref": pull.head, "sha": from.commit(&pull.head), "label": format!("{}:{}", from.owner, pull.head), "repo": {"full_name": from.slug(), "id": from.id}},
        "base": {"ref": pull.base, "sha": repo.commit(&pull.base), "label": format!("{}:{}", repo.owner, pull.base), "repo": {"full_name": repo.slug(), "id": repo.id}},
    })
}
