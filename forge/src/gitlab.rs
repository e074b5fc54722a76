//! GitLab, by its documentation.

use http::Method;
use serde_json::{Value, json};

use crate::call::{Line, Reply};
use crate::error::ForgeError;
use crate::github::{branch_at, encoded, need};
use crate::json::{self as field, flag, items, number, text};
use crate::slug::Slug;
use crate::words::{
    Branch, Check, CheckState, Head, Listed, Me, NewPull, Opened, Pull, PullState, Repository,
};

/// What stands in front of every path.
pub(crate) const BASE: &str = "/api/v4";

/// What begins the title of a draft.
pub(crate) const DRAFT: &str = "Draft: ";

/// Who may push: a developer.
const DEVELOPER: u64 = 30;

fn project(slug: &Slug) -> String {
    format!("/projects/{}", encoded(&slug.to_string()))
}

pub(crate) async fn me(line: &Line) -> Result<Me, ForgeError> {
    let reply = line.get("/user", "user").await?;
    let login = need(line, &reply.body, &["username"], "username")?;
    // Tokens of a person can tell of themselves; others answer 404.
    let token = line.get("/personal_access_tokens/self", "token").await;
    let scopes = token.ok().map(|token| {
        let scopes = items(&token.body, &["scopes"])
            .iter()
            .filter_map(Value::as_str);
        scopes.map(|scope| field::line(scope, 100)).collect()
    });
    Ok(Me {
        login,
        scopes,
        rate: line.rate(),
    })
}

pub(crate) async fn list(line: &Line, query: &str, page: u32) -> Result<Listed, ForgeError> {
    let search = match query {
        "" => String::new(),
        query => format!("&search={}", encoded(query)),
    };
    let path = format!(
        "/projects?membership=true&order_by=last_activity_at&per_page=100&page={page}{search}"
    );
    let reply = line.get(&path, "projects").await?;
    Ok(Listed {
        items: items(&reply.body, &[])
            .iter()
            .filter_map(repository_of)
            .collect(),
        next: next(&reply),
    })
}

fn next(reply: &Reply) -> Option<u32> {
    reply
        .headers
        .get("x-next-page")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

pub(crate) async fn repository(line: &Line, slug: &Slug) -> Result<Repository, ForgeError> {
    let reply = line.get(&project(slug), "such project").await?;
    repository_of(&reply.body).ok_or_else(|| line.lacks("path_with_namespace"))
}

pub(crate) async fn branch(line: &Line, slug: &Slug, name: &str) -> Result<Branch, ForgeError> {
    let path = format!("{}/repository/branches/{}", project(slug), encoded(name));
    branch_at(line, &path, name, "id").await
}

pub(crate) async fn pulls_of(
    line: &Line,
    slug: &Slug,
    head: &Head,
) -> Result<Vec<Pull>, ForgeError> {
    let path = format!(
        "{}/merge_requests?source_branch={}&state=all&order_by=created_at&sort=desc&per_page=100",
        project(slug),
        encoded(&head.branch)
    );
    let reply = line.get(&path, "such project").await?;
    let found = items(&reply.body, &[]);
    let is_across = !head.slug.is(slug);
    // A branch of this name may come from any fork.
    let is_it = |one: &&Value| {
        let (from, to) = (
            number(one, &["source_project_id"]),
            number(one, &["target_project_id"]),
        );
        text(one, &["source_branch"]) == head.branch && is_across == (from != to)
    };
    Ok(found.iter().filter(is_it).filter_map(pull_of).collect())
}

pub(crate) async fn pull(line: &Line, slug: &Slug, number: u64) -> Result<Pull, ForgeError> {
    let path = format!("{}/merge_requests/{number}", project(slug));
    let reply = line.get(&path, "such merge request").await?;
    pull_of(&reply.body).ok_or_else(|| line.lacks("iid"))
}

pub(crate) async fn open_pull(
    line: &Line,
    slug: &Slug,
    new: &NewPull,
) -> Result<Opened, ForgeError> {
    let draft = if new.draft { DRAFT } else { "" };
    let mut body = json!({
        "source_branch": new.head.branch, "target_branch": new.base,
        "title": format!("{draft}{}", new.title), "description": new.body,
        "allow_collaboration": true,
    });
    if !new.head.slug.is(slug) {
        let target = line.get(&project(slug), "such project").await?;
        let id = number(&target.body, &["id"]).ok_or_else(|| line.lacks("id"))?;
        body["target_project_id"] = id.into();
    }
    // It is asked of where the branch is.
    let path = format!("{}/merge_requests", project(&new.head.slug));
    let made = line
        .change(&Method::POST, &path, &body, "such project")
        .await;
    let made = made.and_then(|reply| pull_of(&reply.body).ok_or_else(|| line.lacks("iid")));
    Opened::made_or_adopted(made, pulls_of(line, slug, &new.head), &new.base).await
}

pub(crate) async fn change_pull(
    line: &Line,
    slug: &Slug,
    number: u64,
    body: &Value,
) -> Result<Pull, ForgeError> {
    let path = format!("{}/merge_requests/{number}", project(slug));
    let reply = line
        .change(&Method::PUT, &path, body, "such merge request")
        .await?;
    pull_of(&reply.body).ok_or_else(|| line.lacks("iid"))
}

pub(crate) async fn comment(
    line: &Line,
    slug: &Slug,
    number: u64,
    body: &str,
) -> Result<u64, ForgeError> {
    let path = format!("{}/merge_requests/{number}/notes", project(slug));
    let body = json!({"body": body});
    let reply = line
        .change(&Method::POST, &path, &body, "such merge request")
        .await?;
    self::number(&reply.body, &["id"]).ok_or_else(|| line.lacks("id"))
}

pub(crate) async fn change_comment(
    line: &Line,
    slug: &Slug,
    number: u64,
    id: u64,
    body: &str,
) -> Result<(), ForgeError> {
    let path = format!("{}/merge_requests/{number}/notes/{id}", project(slug));
    let body = json!({"body": body});
    line.change(&Method::PUT, &path, &body, "such comment")
        .await?;
    Ok(())
}

/// A fork, which may be there already: then GitLab refuses another of its name.
pub(crate) async fn fork(line: &Line, slug: &Slug) -> Result<Repository, ForgeError> {
    let path = format!("{}/fork", project(slug));
    let made = line
        .change(&Method::POST, &path, &json!({}), "such project")
        .await;
    let refused = match made {
        Ok(reply) => {
            return repository_of(&reply.body).ok_or_else(|| line.lacks("path_with_namespace"));
        }
        Err(error) => error,
    };
    if matches!(refused, ForgeError::Refused { status: 409, .. }) {
        let path = format!("{}/forks?owned=true&per_page=100", project(slug));
        let reply = line.get(&path, "such project").await?;
        if let Some(own) = items(&reply.body, &[]).iter().find_map(repository_of) {
            return Ok(own);
        }
    }
    Err(refused)
}

pub(crate) async fn checks(
    line: &Line,
    slug: &Slug,
    commit: &str,
) -> Result<Vec<Check>, ForgeError> {
    let path = format!(
        "{}/repository/commits/{commit}/statuses?per_page=100",
        project(slug)
    );
    let reply = line.get(&path, "such commit").await?;
    let check = |one: &Value| Check {
        name: field::line(text(one, &["name"]), 200),
        state: match text(one, &["status"]) {
            "success" | "skipped" | "manual" => CheckState::Passed,
            "failed" | "canceled" if !flag(one, &["allow_failure"]) => CheckState::Failed,
            "failed" | "canceled" => CheckState::Passed,
            _ => CheckState::Running,
        },
        url: field::url(text(one, &["target_url"])),
    };
    Ok(items(&reply.body, &[]).iter().map(check).collect())
}

pub(crate) async fn file(
    line: &Line,
    slug: &Slug,
    path: &str,
    reference: &str,
) -> Result<Vec<u8>, ForgeError> {
    let path = format!(
        "{}/repository/files/{}/raw?ref={}",
        project(slug),
        path.replace('/', "%2F"),
        encoded(reference)
    );
    Ok(line.get(&path, "such file").await?.bytes.to_vec())
}

fn repository_of(value: &Value) -> Option<Repository> {
    let access = |whose: &str| number(value, &["permissions", whose, "access_level"]).unwrap_or(0);
    let access = access("project_access").max(access("group_access"));
    Some(Repository {
        slug: text(value, &["path_with_namespace"]).parse().ok()?,
        description: field::words(text(value, &["description"])),
        default_branch: field::branch(text(value, &["default_branch"])),
        may_push: access >= DEVELOPER,
        may_fork: text(value, &["forking_access_level"]) != "disabled",
        archived: flag(value, &["archived"]),
        parent: text(value, &["forked_from_project", "path_with_namespace"])
            .parse()
            .ok(),
        fork: value["forked_from_project"].is_object(),
        private: text(value, &["visibility"]) != "public",
        size: number(value, &["statistics", "repository_size"]),
    })
}

fn pull_of(value: &Value) -> Option<Pull> {
    let title = text(value, &["title"]);
    Some(Pull {
        number: number(value, &["iid"])?,
        url: field::url(text(value, &["web_url"])),
        title: title.to_owned(),
        body: text(value, &["description"]).to_owned(),
        state: match text(value, &["state"]) {
            "opened" | "locked" => PullState::Open,
            "merged" => PullState::Merged,
            _ => PullState::Closed,
        },
        draft: flag(value, &["draft"]) || title.starts_with(DRAFT),
        base: field::branch(text(value, &["target_branch"])),
        commit: field::commit(text(value, &["sha"])),
        node: String::new(),
    })
}
