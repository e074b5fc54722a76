//! What there is, field by field.

use serde_json::{Value, json};

use super::parse::Field;
use crate::forge::github::{add, change, find};
use crate::forge::talk::Asked;
use crate::forge::world::{MADE, PullRequest, Remark, Repo, World};

/// Something that has fields.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Query,
    Mutation,
    Person(String),
    Repo(u64),
    Pull(u64),
    Comment(u64),
    /// Of a type, its fields by name.
    Made(&'static str, Vec<(&'static str, Node)>),
    List(Vec<Node>),
    Scalar(Value),
}

/// Why a field has no value.
#[derive(Debug)]
pub(super) enum Failed {
    NoField { of: &'static str, name: String },
    Refused { kind: &'static str, message: String },
}

impl Node {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Mutation => "Mutation",
            Self::Person(_) => "User",
            Self::Repo(_) => "Repository",
            Self::Pull(_) => "PullRequest",
            Self::Comment(_) => "IssueComment",
            Self::Made(name, _) => name,
            Self::List(_) => "List",
            Self::Scalar(_) => "Scalar",
        }
    }

    /// Whether it is of a type, or of an interface that it has.
    pub(super) fn is(&self, of: &str) -> bool {
        let own = self.name();
        own == of
            || matches!(
                (own, of),
                ("User", "Actor" | "RepositoryOwner") | (_, "Node")
            )
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self::Scalar(value)
    }
}

fn connection(of: &'static str, nodes: Vec<Node>) -> Node {
    let page = vec![
        ("hasNextPage", json!(false).into()),
        ("hasPreviousPage", json!(false).into()),
        ("endCursor", json!("").into()),
        ("startCursor", json!("").into()),
    ];
    let edges = nodes
        .iter()
        .cloned()
        .map(|node| Node::Made("Edge", vec![("node", node)]));
    Node::Made(
        of,
        vec![
            ("totalCount", json!(nodes.len()).into()),
            ("edges", Node::List(edges.collect())),
            ("pageInfo", Node::Made("PageInfo", page)),
            ("nodes", Node::List(nodes)),
        ],
    )
}

pub(super) fn field(
    world: &mut World,
    asked: &Asked,
    login: &str,
    node: &Node,
    field: &Field,
) -> Result<Node, Failed> {
    let found = match node {
        Node::Query => return query(world, login, field),
        Node::Mutation => return mutation(world, login, field),
        Node::Person(login) => person(world, login, field),
        Node::Repo(id) => repository(world, asked, login, world.repo(*id), field),
        Node::Pull(id) => {
            let pull = world.pulls.iter().find(|pull| pull.id == *id);
            pull.and_then(|pull| pull_request(world, asked, pull, field))
        }
        Node::Comment(id) => {
            let comment = world.remarks.iter().find(|one| one.id == *id);
            comment.and_then(|one| remark(world, asked, one, field))
        }
        Node::Made(_, fields) => {
            let found = fields.iter().find(|(name, _)| *name == field.name);
            found.map(|(_, node)| node.clone())
        }
        Node::List(_) | Node::Scalar(_) => None,
    };
    found.ok_or_else(|| Failed::NoField {
        of: node.name(),
        name: field.name.clone(),
    })
}

fn argument<'a>(field: &'a Field, name: &str) -> &'a str {
    field
        .arguments
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn missing(what: &str) -> Failed {
    Failed::Refused {
        kind: "NOT_FOUND",
        message: format!("Could not resolve to {what}."),
    }
}

fn query(world: &World, login: &str, field: &Field) -> Result<Node, Failed> {
    Ok(match &*field.name {
        "viewer" => Node::Person(login.to_owned()),
        "user" | "repositoryOwner" => Node::Person(argument(field, "login").to_owned()),
        "repository" => {
            let slug = format!("{}/{}", argument(field, "owner"), argument(field, "name"));
            let found = world
                .named(&slug)
                .filter(|(repo, _)| repo.may_see(Some(login)));
            let (repo, _) =
                found.ok_or_else(|| missing(&format!("a Repository with the name '{slug}'")))?;
            Node::Repo(repo.id)
        }
        "node" => by_id(world, argument(field, "id")).ok_or_else(|| missing("a node"))?,
        // gh asks what there is before it asks for it.
        "__type" => {
            let names: &[&str] = match argument(field, "name") {
                "Repository" => &[
                    "name",
                    "pullRequestTemplates",
                    "viewerPermission",
                    "visibility",
                    "isInOrganization",
                ],
                "PullRequest" => &["reviewDecision", "statusCheckRollup", "isInMergeQueue"],
                "Issue" => &["stateReason"],
                _ => &[],
            };
            let fields = names
                .iter()
                .map(|name| Node::Made("__Field", vec![("name", json!(name).into())]));
            Node::Made("__Type", vec![("fields", Node::List(fields.collect()))])
        }
        "rateLimit" => Node::Made(
            "RateLimit",
            vec![
                ("limit", json!(5000).into()),
                ("remaining", json!(world.remaining).into()),
                ("resetAt", json!("2100-01-01T00:00:00Z").into()),
            ],
        ),
        _ => {
            return Err(Failed::NoField {
                of: "Query",
                name: field.name.clone(),
            });
        }
    })
}

fn by_id(world: &World, id: &str) -> Option<Node> {
    let number = |prefix: &str| id.strip_prefix(prefix)?.parse::<u64>().ok();
    if let Some(id) = number("R_") {
        return world
            .repos
            .iter()
            .any(|repo| repo.id == id)
            .then_some(Node::Repo(id));
    }
    let id = number("PR_")?;
    world
        .pulls
        .iter()
        .any(|pull| pull.id == id)
        .then_some(Node::Pull(id))
}

fn mutation(world: &mut World, login: &str, field: &Field) -> Result<Node, Failed> {
    let input = field.arguments.get("input").cloned().unwrap_or_default();
    let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
    if field.name == "createPullRequest" {
        let Some(Node::Repo(repo)) = by_id(world, &text("repositoryId")) else {
            return Err(missing("a node"));
        };
        let head = text("headRefName");
        let (head_repo, branch) = match head.split_once(':') {
            Some((owner, branch)) => {
                let fork = world
                    .repos
                    .iter()
                    .find(|one| one.owner == owner && (one.id == repo || one.parent == Some(repo)));
                (fork.map_or(repo, |fork| fork.id), branch.to_owned())
            }
            None => (repo, head),
        };
        let draft = input["draft"].as_bool().unwrap_or_default();
        let words = (&*text("title"), &*text("body"), draft);
        let made = add(
            world,
            repo,
            (head_repo, &branch),
            &text("baseRefName"),
            words,
            login,
        );
        let number = made.map_err(|answer| {
            let own = answer.body["errors"][0]["message"].as_str();
            let own = own.or(answer.body["message"].as_str()).unwrap_or_default();
            let kind = if answer.status == 403 {
                "FORBIDDEN"
            } else {
                "UNPROCESSABLE"
            };
            Failed::Refused {
                kind,
                message: own.to_owned(),
            }
        })?;
        let id = find(world, repo, number).map_or(0, |pull| pull.id);
        return Ok(Node::Made(
            "CreatePullRequestPayload",
            vec![("pullRequest", Node::Pull(id))],
        ));
    }
    let id = [text("pullRequestId"), text("subjectId")].concat();
    let Some(Node::Pull(id)) = by_id(world, &id) else {
        return Err(missing(&format!("a node with the global id of '{id}'")));
    };
    let (repo, number) = world
        .pulls
        .iter()
        .find(|pull| pull.id == id)
        .map_or((0, 0), |pull| (pull.repo, pull.number));
    if field.name == "addComment" {
        let comment = world.id();
        world.remarks.push(Remark {
            id: comment,
            repo,
            number,
            author: login.to_owned(),
            body: text("body"),
        });
        let edge = Node::Made("IssueCommentEdge", vec![("node", Node::Comment(comment))]);
        return Ok(Node::Made("AddCommentPayload", vec![("commentEdge", edge)]));
    }
    let may = world.repo(repo).may_push(Some(login));
    for pull in world.pulls.iter_mut().filter(|pull| pull.id == id) {
        if !may && pull.author != login {
            let message = "Resource not accessible by personal access token".to_owned();
            return Err(Failed::Refused {
                kind: "FORBIDDEN",
                message,
            });
        }
        match &*field.name {
            "markPullRequestReadyForReview" => pull.draft = false,
            "convertPullRequestToDraft" => pull.draft = true,
            "closePullRequest" => pull.open = false,
            "reopenPullRequest" => pull.open = true,
            "updatePullRequest" => change(pull, &input),
            _ => {
                return Err(Failed::NoField {
                    of: "Mutation",
                    name: field.name.clone(),
                });
            }
        }
    }
    Ok(Node::Made("Payload", vec![("pullRequest", Node::Pull(id))]))
}

fn person(world: &World, login: &str, field: &Field) -> Option<Node> {
    Some(match &*field.name {
        "login" => json!(login).into(),
        "id" => json!(format!("U_{login}")).into(),
        "name" => json!(login).into(),
        "repositories" => {
            let own = world.repos.iter().rev().filter(|repo| repo.owner == login);
            connection(
                "RepositoryConnection",
                own.map(|repo| Node::Repo(repo.id)).collect(),
            )
        }
        "organizations" => connection("OrganizationConnection", Vec::new()),
        _ => return None,
    })
}

fn repository(
    world: &World,
    asked: &Asked,
    login: &str,
    repo: &Repo,
    field: &Field,
) -> Option<Node> {
    let page = format!("{}/{}", asked.site, repo.slug());
    Some(match &*field.name {
        "id" => json!(format!("R_{}", repo.id)).into(),
        "databaseId" => json!(repo.id).into(),
        "name" => json!(repo.name).into(),
        "nameWithOwner" => json!(repo.slug()).into(),
        "owner" => Node::Person(repo.owner.clone()),
        "description" => json!(repo.description).into(),
        "url" => json!(page).into(),
        "sshUrl" => json!(format!("git@github.localhost:{}.git", repo.slug())).into(),
        "homepageUrl" => json!("").into(),
        "isPrivate" => json!(repo.private).into(),
        "isArchived" => json!(repo.archived).into(),
        "isFork" => json!(repo.parent.is_some()).into(),
        "isEmpty" => json!(repo.is_empty()).into(),
        "isInOrganization"
        | "isTemplate"
        | "isMirror"
        | "hasProjectsEnabled"
        | "deleteBranchOnMerge" => json!(false).into(),
        "hasIssuesEnabled" | "hasWikiEnabled" | "mergeCommitAllowed" | "rebaseMergeAllowed"
        | "squashMergeAllowed" => json!(true).into(),
        "visibility" => json!(if repo.private { "PRIVATE" } else { "PUBLIC" }).into(),
        "createdAt" | "updatedAt" | "pushedAt" => json!(MADE).into(),
        "diskUsage" | "stargazerCount" | "forkCount" => json!(1).into(),
        "viewerPermission" => {
            let permission = if repo.owner == login {
                "ADMIN"
            } else if repo.writers.contains(login) {
                "WRITE"
            } else {
                "READ"
            };
            json!(permission).into()
        }
        "viewerDefaultMergeMethod" => json!("MERGE").into(),
        "defaultBranchRef" => {
            let name = repo.default_branch();
            let target = Node::Made("Commit", vec![("oid", json!(repo.commit(&name)).into())]);
            Node::Made(
                "Ref",
                vec![("name", json!(name).into()), ("target", target)],
            )
        }
        "primaryLanguage" | "licenseInfo" | "latestRelease" => Value::Null.into(),
        "parent" => repo.parent.map_or(Node::Scalar(Value::Null), Node::Repo),
        "pullRequestTemplates" | "issueTemplates" => Node::List(Vec::new()),
        "pullRequest" | "issueOrPullRequest" => {
            let number = field
                .arguments
                .get("number")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            find(world, repo.id, number)
                .map_or(Node::Scalar(Value::Null), |pull| Node::Pull(pull.id))
        }
        "pullRequests" => {
            let head = argument(field, "headRefName");
            let base = argument(field, "baseRefName");
            let states = match field.arguments.get("states") {
                Some(Value::Array(states)) => states.clone(),
                Some(Value::Null) | None => Vec::new(),
                Some(one) => vec![one.clone()],
            };
            let is_it = |pull: &&PullRequest| {
                pull.repo == repo.id
                    && (head.is_empty() || pull.head == head)
                    && (base.is_empty() || pull.base == base)
                    && (states.is_empty() || states.contains(&json!(state(pull))))
            };
            let found = world.pulls.iter().rev().filter(is_it);
            connection(
                "PullRequestConnection",
                found.map(|pull| Node::Pull(pull.id)).collect(),
            )
        }
        "object" | "ref" => Value::Null.into(),
        _ => return None,
    })
}

fn state(pull: &PullRequest) -> &'static str {
    match (pull.merged, pull.open) {
        (true, _) => "MERGED",
        (_, true) => "OPEN",
        _ => "CLOSED",
    }
}

fn pull_request(world: &World, asked: &Asked, pull: &PullRequest, field: &Field) -> Option<Node> {
    let (repo, from) = (world.repo(pull.repo), world.repo(pull.head_repo));
    let null = || Node::Scalar(Value::Null);
    Some(match &*field.name {
        "id" => json!(format!("PR_{}", pull.id)).into(),
        "number" => json!(pull.number).into(),
        "url" => json!(format!(
            "{}/{}/pull/{}",
            asked.site,
            repo.slug(),
            pull.number
        ))
        .into(),
        "title" => json!(pull.title).into(),
        "body" => json!(pull.body).into(),
        "state" => json!(state(pull)).into(),
        "closed" => json!(!pull.open).into(),
        "isDraft" => json!(pull.draft).into(),
        "author" => Node::Person(pull.author.clone()),
        "createdAt" | "updatedAt" => json!(MADE).into(),
        "closedAt" | "mergedAt" | "mergedBy" | "mergeCommit" | "milestone" | "autoMergeRequest" => {
            null()
        }
        "baseRefName" => json!(pull.base).into(),
        "headRefName" => json!(pull.head).into(),
        "headRefOid" => json!(from.commit(&pull.head)).into(),
        "headRepository" => Node::Repo(pull.head_repo),
        "headRepositoryOwner" => Node::Person(from.owner.clone()),
        "isCrossRepository" => json!(pull.head_repo != pull.repo).into(),
        "maintainerCanModify" | "viewerCanEnableAutoMerge" => json!(true).into(),
        "mergeable" => json!("MERGEABLE").into(),
        "mergeStateStatus" => json!("CLEAN").into(),
        "reviewDecision" => json!("").into(),
        "additions" | "deletions" | "changedFiles" => json!(0).into(),
        "assignees" | "labels" | "projectItems" | "reviewRequests" | "reviews"
        | "latestReviews" | "files" | "commits" | "reactionGroups" => {
            connection("Connection", Vec::new())
        }
        "statusCheckRollup" => connection("Connection", Vec::new()),
        "comments" => {
            let own = world
                .remarks
                .iter()
                .filter(|one| one.repo == pull.repo && one.number == pull.number);
            connection(
                "IssueCommentConnection",
                own.map(|one| Node::Comment(one.id)).collect(),
            )
        }
        // GitHub has no `projectCards` any more.
        _ => return None,
    })
}

fn remark(world: &World, asked: &Asked, one: &Remark, field: &Field) -> Option<Node> {
    let slug = world.repo(one.repo).slug();
    Some(match &*field.name {
        "id" => json!(format!("IC_{}", one.id)).into(),
        "body" => json!(one.body).into(),
        "author" => Node::Person(one.author.clone()),
        "authorAssociation" => json!("MEMBER").into(),
        "createdAt" | "publishedAt" => json!(MADE).into(),
        "includesCreatedEdit" | "isMinimized" | "viewerDidAuthor" => json!(false).into(),
        "minimizedReason" => json!("").into(),
        "reactionGroups" => Node::List(Vec::new()),
        "url" => json!(format!(
            "{}/{slug}/pull/{}#issuecomment-{}",
            asked.site, one.number, one.id
        ))
        .into(),
        _ => return None,
    })
}
