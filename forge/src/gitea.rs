//! Gitea and Forgejo, by their documentation.

use http::Method;
use serde_json::{Value, json};

use crate::call::Line;
use crate::error::ForgeError;
use crate::github::{self, encoded, listed, need};
use crate::json::{self as field, items, text};
use crate::slug::Slug;
use crate::words::{
    Branch, Check, CheckState, Head, Listed, Me, NewPull, Opened, Pull, Repository,
};

/// What stands in front of every path.
pub(crate) const BASE: &str = "/api/v1";

/// What begins the title of a draft.
pub(crate) const DRAFT: &str = "WIP: ";

/// Pages of pull requests that are looked through; there is no search by branch.
const PAGES: u32 = 10;

pub(crate) async fn me(line: &Line) -> Result<Me, ForgeError> {
    let reply = line.get("/user", "user").await?;
    Ok(Me {
        login: need(line, &reply.body, &["login"], "login")?,
        scopes: None,
        rate: line.rate(),
    })
}

pub(crate) async fn own(line: &Line, page: u32) -> Result<Listed, ForgeError> {
    let path = format!("/user/repos?limit=50&page={page}");
    let reply = line.get(&path, "user").await?;
    Ok(listed(&reply, items(&reply.body, &[]), page))
}

pub(crate) async fn search(line: &Line, query: &str, page: u32) -> Result<Listed, ForgeError> {
    let path = format!("/repos/search?q={}&limit=30&page={page}", encoded(query));
    let reply = line.get(&path, "search").await?;
    Ok(listed(&reply, items(&reply.body, &["data"]), page))
}

pub(crate) async fn branch(line: &Line, slug: &Slug, name: &str) -> Result<Branch, ForgeError> {
    let path = format!("/repos/{slug}/branches/{}", encoded(name));
    github::branch_at(line, &path, name, "id").await
}

pub(crate) async fn pulls_of(
    line: &Line,
    slug: &Slug,
    head: &Head,
) -> Result<Vec<Pull>, ForgeError> {
    let mut found = Vec::new();
    for page in 1..=PAGES {
        let path = format!("/repos/{slug}/pulls?state=all&sort=recentupdate&limit=50&page={page}");
        let reply = line.get(&path, "such repository").await?;
        let all = items(&reply.body, &[]);
        let is_it = |one: &&Value| {
            let from = text(one, &["head", "repo", "full_name"]).parse::<Slug>();
            text(one, &["head", "ref"]) == head.branch && from.is_ok_and(|from| from.is(&head.slug))
        };
        found.extend(all.iter().filter(is_it).filter_map(pull_of));
        if listed(&reply, &[], page).next.is_none() {
            break;
        }
    }
    found.sort_by_key(|pull| std::cmp::Reverse(pull.number));
    Ok(found)
}

pub(crate) async fn pull(line: &Line, slug: &Slug, number: u64) -> Result<Pull, ForgeError> {
    Ok(as_here(github::pull(line, slug, number).await?))
}

pub(crate) async fn open_pull(
    line: &Line,
    slug: &Slug,
    new: &NewPull,
) -> Result<Opened, ForgeError> {
    let draft = if new.draft { DRAFT } else { "" };
    let body = json!({
        "title": format!("{draft}{}", new.title), "head": new.head.at(slug),
        "base": new.base, "body": new.body,
    });
    let path = format!("/repos/{slug}/pulls");
    let made = line
        .change(&Method::POST, &path, &body, "such repository")
        .await;
    let made = made.and_then(|reply| pull_of(&reply.body).ok_or_else(|| line.lacks("number")));
    Opened::made_or_adopted(made, pulls_of(line, slug, &new.head), &new.base).await
}

pub(crate) async fn change_pull(
    line: &Line,
    slug: &Slug,
    number: u64,
    body: &Value,
) -> Result<Pull, ForgeError> {
    Ok(as_here(
        github::change_pull(line, slug, number, body).await?,
    ))
}

/// A fork, which may be there already: then Gitea refuses another.
pub(crate) async fn fork(line: &Line, slug: &Slug) -> Result<Repository, ForgeError> {
    let path = format!("/repos/{slug}/forks");
    let made = line
        .change(&Method::POST, &path, &json!({}), "such repository")
        .await;
    let refused = match made {
        Ok(reply) => {
            let made = github::repository_of(&reply.body);
            return made.ok_or_else(|| line.lacks("full_name"));
        }
        Err(error) => error,
    };
    if matches!(refused, ForgeError::Refused { status: 409, .. }) {
        let login = me(line).await?.login;
        let own = Slug::new(&login, slug.name()).map_err(|_| line.lacks("login"))?;
        let found = github::repository(line, &own).await?;
        if found.parent.as_ref().is_some_and(|parent| parent.is(slug)) {
            return Ok(found);
        }
    }
    Err(refused)
}

pub(crate) async fn checks(
    line: &Line,
    slug: &Slug,
    commit: &str,
) -> Result<Vec<Check>, ForgeError> {
    let path = format!("/repos/{slug}/commits/{commit}/statuses?limit=50");
    let reply = line.get(&path, "such commit").await?;
    let check = |one: &Value| Check {
        name: field::line(text(one, &["context"]), 200),
        state: match text(one, &["status"]) {
            "success" | "warning" => CheckState::Passed,
            "failure" | "error" => CheckState::Failed,
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
    let path = format!("/repos/{slug}/raw/{path}?ref={}", encoded(reference));
    Ok(line.get(&path, "such file").await?.bytes.to_vec())
}

fn pull_of(value: &Value) -> Option<Pull> {
    github::pull_of(value).map(as_here)
}

/// A pull request as Gitea tells of drafts, without what only GitHub has.
fn as_here(mut pull: Pull) -> Pull {
    pull.draft |= pull.title.starts_with(DRAFT);
    pull.node.clear();
    pull
}
