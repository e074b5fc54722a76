//! GitHub and GitHub Enterprise.

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};

use crate::call::{Line, Reply};
use crate::error::ForgeError;
use crate::json::{self as field, flag, items, number, text};
use crate::slug::Slug;
use crate::words::{
    Branch, Check, CheckState, Head, Listed, Me, NewPull, Opened, Pull, PullChange, PullState,
    Repository,
};

/// What begins the title of what cannot be a draft and is not ready.
pub(crate) const WIP: &str = "[WIP] ";

/// Repositories a page.
const PAGE: usize = 100;

/// Scheme and authority of the API of a host, and what stands in front of its paths.
pub(crate) fn api(scheme: &str, host: &str) -> (String, &'static str) {
    let name = host.split(':').next().unwrap_or_default();
    if name == "github.com" || name == "github.localhost" || name.ends_with(".ghe.com") {
        (format!("{scheme}://api.{host}"), "")
    } else {
        (format!("{scheme}://{host}"), "/api/v3")
    }
}

pub(crate) async fn me(line: &Line) -> Result<Me, ForgeError> {
    let reply = line.get("/user", "user").await?;
    // Tokens with rights of their own say nothing of scopes.
    let scopes = reply.headers.get("x-oauth-scopes");
    let scopes = scopes
        .and_then(|scopes| scopes.to_str().ok())
        .map(|scopes| {
            let scopes = scopes.split(',').map(|scope| field::line(scope, 100));
            scopes.filter(|scope| !scope.is_empty()).collect()
        });
    Ok(Me {
        login: need(line, &reply.body, &["login"], "login")?,
        scopes,
        rate: line.rate(),
    })
}

pub(crate) async fn own(line: &Line, page: u32) -> Result<Listed, ForgeError> {
    let path = format!(
        "/user/repos?affiliation=owner,collaborator,organization_member&sort=pushed&per_page={PAGE}&page={page}"
    );
    let reply = line.get(&path, "user").await?;
    Ok(listed(&reply, items(&reply.body, &[]), page))
}

pub(crate) async fn search(line: &Line, query: &str, page: u32) -> Result<Listed, ForgeError> {
    let path = format!(
        "/search/repositories?q={}&per_page=30&page={page}",
        encoded(query)
    );
    let reply = line.get(&path, "search").await?;
    Ok(listed(&reply, items(&reply.body, &["items"]), page))
}

pub(crate) async fn repository(line: &Line, slug: &Slug) -> Result<Repository, ForgeError> {
    let reply = line
        .get(&format!("/repos/{slug}"), "such repository")
        .await?;
    repository_of(&reply.body).ok_or_else(|| line.lacks("full_name"))
}

pub(crate) async fn branch(line: &Line, slug: &Slug, name: &str) -> Result<Branch, ForgeError> {
    let path = format!("/repos/{slug}/branches/{}", encoded(name));
    branch_at(line, &path, name, "sha").await
}

/// A branch as all three tell it; `id` is what they call the name of its commit.
pub(crate) async fn branch_at(
    line: &Line,
    path: &str,
    name: &str,
    id: &str,
) -> Result<Branch, ForgeError> {
    let reply = line.get(path, "such branch").await?;
    let commit = field::commit(text(&reply.body, &["commit", id]));
    if commit.is_empty() {
        return Err(line.lacks("commit"));
    }
    Ok(Branch {
        name: name.to_owned(),
        commit,
        protected: flag(&reply.body, &["protected"]),
    })
}

pub(crate) async fn pulls_of(
    line: &Line,
    slug: &Slug,
    head: &Head,
) -> Result<Vec<Pull>, ForgeError> {
    let of = encoded(&format!("{}:{}", head.slug.owner(), head.branch));
    let path =
        format!("/repos/{slug}/pulls?head={of}&state=all&sort=created&direction=desc&per_page=100");
    let reply = line.get(&path, "such repository").await?;
    // A forge that does not know the filter would give all of them.
    let is_it = |pull: &&Value| text(pull, &["head", "ref"]) == head.branch;
    let found = items(&reply.body, &[]).iter().filter(is_it);
    Ok(found.filter_map(pull_of).collect())
}

pub(crate) async fn pull(line: &Line, slug: &Slug, number: u64) -> Result<Pull, ForgeError> {
    let path = format!("/repos/{slug}/pulls/{number}");
    let reply = line.get(&path, "such pull request").await?;
    pull_of(&reply.body).ok_or_else(|| line.lacks("number"))
}

pub(crate) async fn open_pull(
    line: &Line,
    slug: &Slug,
    new: &NewPull,
) -> Result<Opened, ForgeError> {
    let mut body = json!({
        "title": new.title, "head": new.head.at(slug), "base": new.base, "body": new.body,
        "draft": new.draft, "maintainer_can_modify": true,
    });
    let path = format!("/repos/{slug}/pulls");
    let mut tries = 2;
    loop {
        tries -= 1;
        let made = line
            .change(&Method::POST, &path, &body, "such repository")
            .await;
        let refused = match made {
            Ok(reply) => {
                let pull = pull_of(&reply.body).ok_or_else(|| line.lacks("number"))?;
                return Ok(Opened::made(pull));
            }
            Err(error) => error,
        };
        let words = match &refused {
            ForgeError::Refused {
                status: 422, words, ..
            } => words.to_ascii_lowercase(),
            _ => return Err(refused),
        };
        if words.contains("pull request already exists") {
            let found = pulls_of(line, slug, &new.head).await?;
            if let Some(opened) = Opened::adopted(found, &new.base) {
                return Ok(opened);
            }
        } else if words.contains("no commits between") {
            return Err(ForgeError::NoCommits {
                host: line.host.clone(),
                base: new.base.clone(),
                head: new.head.branch.clone(),
            });
        } else if words.contains("draft pull requests are not supported") && tries > 0 {
            body["draft"] = false.into();
            body["title"] = format!("{WIP}{}", new.title).into();
            continue;
        }
        return Err(refused);
    }
}

pub(crate) async fn change_pull(
    line: &Line,
    slug: &Slug,
    number: u64,
    body: &Value,
) -> Result<Pull, ForgeError> {
    let path = format!("/repos/{slug}/pulls/{number}");
    let reply = line
        .change(&Method::PATCH, &path, body, "such pull request")
        .await?;
    pull_of(&reply.body).ok_or_else(|| line.lacks("number"))
}

pub(crate) fn change(change: &PullChange) -> Value {
    let mut body = json!({});
    if let Some(title) = &change.title {
        body["title"] = title.as_str().into();
    }
    if let Some(text) = &change.body {
        body["body"] = text.as_str().into();
    }
    body
}

/// What REST has no call for.
pub(crate) async fn mark_ready(line: &Line, pull: &Pull) -> Result<(), ForgeError> {
    let query = "mutation($id:ID!){markPullRequestReadyForReview(input:{pullRequestId:$id})\
                 {pullRequest{isDraft}}}";
    let path = if line.base.is_empty() {
        "/graphql"
    } else {
        "/api/graphql"
    };
    let body = json!({"query": query, "variables": {"id": pull.node}});
    let reply = line.post_at(path, &body).await?;
    // GraphQL tells errors with 200.
    let Some(error) = items(&reply.body, &["errors"]).first() else {
        return Ok(());
    };
    let words = line.without_token(text(error, &["message"]));
    let host = line.host.clone();
    Err(match text(error, &["type"]) {
        "NOT_FOUND" => ForgeError::NotFound {
            host,
            what: "such pull request".to_owned(),
        },
        "FORBIDDEN" | "INSUFFICIENT_SCOPES" => ForgeError::NoRight { host, words },
        _ => ForgeError::Refused {
            host,
            status: 200,
            words,
        },
    })
}

pub(crate) async fn comment(
    line: &Line,
    slug: &Slug,
    number: u64,
    body: &str,
) -> Result<u64, ForgeError> {
    let path = format!("/repos/{slug}/issues/{number}/comments");
    let body = json!({"body": body});
    let reply = line
        .change(&Method::POST, &path, &body, "such pull request")
        .await?;
    self::number(&reply.body, &["id"]).ok_or_else(|| line.lacks("id"))
}

pub(crate) async fn change_comment(
    line: &Line,
    slug: &Slug,
    id: u64,
    body: &str,
) -> Result<(), ForgeError> {
    let path = format!("/repos/{slug}/issues/comments/{id}");
    let body = json!({"body": body});
    line.change(&Method::PATCH, &path, &body, "such comment")
        .await?;
    Ok(())
}

pub(crate) async fn fork(line: &Line, slug: &Slug) -> Result<Repository, ForgeError> {
    let path = format!("/repos/{slug}/forks");
    let body = json!({"default_branch_only": false});
    let reply = line
        .change(&Method::POST, &path, &body, "such repository")
        .await?;
    repository_of(&reply.body).ok_or_else(|| line.lacks("full_name"))
}

pub(crate) async fn merge_upstream(
    line: &Line,
    slug: &Slug,
    branch: &str,
) -> Result<(), ForgeError> {
    let path = format!("/repos/{slug}/merge-upstream");
    let body = json!({"branch": branch});
    line.change(&Method::POST, &path, &body, "such branch")
        .await?;
    Ok(())
}

pub(crate) async fn checks(
    line: &Line,
    slug: &Slug,
    commit: &str,
) -> Result<Vec<Check>, ForgeError> {
    let path = format!("/repos/{slug}/commits/{commit}/check-runs?per_page=100");
    let reply = line.get(&path, "such commit").await?;
    let check = |run: &Value| Check {
        name: field::line(text(run, &["name"]), 200),
        state: match (text(run, &["status"]), text(run, &["conclusion"])) {
            ("completed", "success" | "neutral" | "skipped") => CheckState::Passed,
            ("completed", _) => CheckState::Failed,
            _ => CheckState::Running,
        },
        url: field::url(text(run, &["html_url"])),
    };
    Ok(items(&reply.body, &["check_runs"])
        .iter()
        .map(check)
        .collect())
}

pub(crate) async fn file(
    line: &Line,
    slug: &Slug,
    path: &str,
    reference: &str,
) -> Result<Vec<u8>, ForgeError> {
    let path = format!("/repos/{slug}/contents/{path}?ref={}", encoded(reference));
    let reply = line.get(&path, "such file").await?;
    let content: String = text(&reply.body, &["content"]).split_whitespace().collect();
    let content = base64::engine::general_purpose::STANDARD.decode(content);
    content.map_err(|_| line.lacks("content"))
}

/// As a part of a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

/// The page that `Link` calls the next one (RFC 8288).
pub(crate) fn listed(reply: &Reply, found: &[Value], page: u32) -> Listed {
    let link = reply
        .headers
        .get("link")
        .and_then(|link| link.to_str().ok());
    let is_next = |part: &str| {
        part.split(';')
            .skip(1)
            .any(|p| p.trim().replace('"', "") == "rel=next")
    };
    let has_next = link.is_some_and(|link| link.split(',').any(is_next));
    Listed {
        items: found.iter().filter_map(repository_of).collect(),
        next: has_next.then(|| page.saturating_add(1)),
    }
}

/// Gitea's is the same, where it has the same.
pub(crate) fn repository_of(value: &Value) -> Option<Repository> {
    let may = |right: &str| flag(value, &["permissions", right]);
    Some(Repository {
        slug: text(value, &["full_name"]).parse().ok()?,
        description: field::words(text(value, &["description"])),
        default_branch: field::branch(text(value, &["default_branch"])),
        may_push: may("push") || may("admin") || may("maintain"),
        may_fork: value["allow_forking"] != false,
        archived: flag(value, &["archived"]),
        parent: text(value, &["parent", "full_name"]).parse().ok(),
        fork: flag(value, &["fork"]),
        private: flag(value, &["private"]),
        size: number(value, &["size"]).map(|kilobytes| kilobytes.saturating_mul(1024)),
    })
}

/// Gitea's is the same, but for how it tells of drafts.
pub(crate) fn pull_of(value: &Value) -> Option<Pull> {
    let title = text(value, &["title"]);
    let is_merged = flag(value, &["merged"]) || value["merged_at"].is_string();
    Some(Pull {
        number: number(value, &["number"])?,
        url: field::url(text(value, &["html_url"])),
        title: title.to_owned(),
        body: text(value, &["body"]).to_owned(),
        state: match text(value, &["state"]) {
            _ if is_merged => PullState::Merged,
            "open" => PullState::Open,
            _ => PullState::Closed,
        },
        draft: flag(value, &["draft"]) || title.starts_with(WIP),
        base: field::branch(text(value, &["base", "ref"])),
        commit: field::commit(text(value, &["head", "sha"])),
        node: text(value, &["node_id"]).to_owned(),
    })
}

pub(crate) fn need(
    line: &Line,
    value: &Value,
    path: &[&str],
    name: &'static str,
) -> Result<String, ForgeError> {
    let found = field::line(text(value, path), 200);
    if found.is_empty() {
        Err(line.lacks(name))
    } else {
        Ok(found)
    }
}

impl Line {
    pub(crate) fn lacks(&self, field: &'static str) -> ForgeError {
        ForgeError::Answer {
            host: self.host.clone(),
            field,
        }
    }
}
