//! What a person publishes by a page: one commit of any working tree, to one branch of a repository
//! at which the box has an account.
//!
//! The tree is the agent's, and so is what it says of itself: a person has seen which commit goes
//! where, and that alone is taken, whatever the tree has become meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cib_forge::body::harmless;
use cib_forge::{Forge, Head, NewPull, PullState, Slug};
use cib_protocol::api::{BranchPushed, GitRemote, OpenPullRequest, PullRequestOpened, PushBranch};
use cib_protocol::files::{FilesReply, FilesRequest};
use cib_protocol::forge::ForgeKind;
use cib_protocol::task::{TaskFault, TaskForge, plain};
use cib_protocol::trees::Through;
use cib_tasks::check::is_branch;

use super::bare::{Bare, Trouble};
use super::large::Load;
use super::wire::Check;
use super::{check, named};
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::files::ask::unexpected;

/// How long a push may take, the fetch before it not counted.
const PUSHING: Duration = Duration::from_secs(6 * 60);

/// Characters of a title.
const MAX_TITLE: usize = 200;

/// Characters of a text.
const MAX_BODY: usize = 20_000;

/// Commits that a text made of them tells.
const MAX_COMMITS: usize = 50;

/// Branches that are likely to be a repository's own, where the forge does not say which is.
const USUAL: [&str; 3] = ["main", "master", "trunk"];

/// A push that a person has asked for.
#[derive(Debug)]
pub struct Order {
    /// Where to.
    pub forge: TaskForge,
    /// The working tree, or a folder in it, absolute.
    tree: String,
    branch: String,
    commit: String,
    refusal: Mutex<Option<Trouble>>,
    is_taken: AtomicBool,
}

impl Order {
    /// One for a commit of a tree to a branch.
    #[must_use]
    pub fn new(forge: TaskForge, tree: String, branch: String, commit: String) -> Self {
        Self {
            forge,
            tree,
            branch,
            commit,
            refusal: Mutex::default(),
            is_taken: AtomicBool::new(false),
        }
    }

    /// Whether this is the first who asks: a push is one connection, and what else has its ticket
    /// is not it.
    pub(super) fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::SeqCst)
    }

    /// Says why it was not taken.
    pub fn refuse(&self, trouble: Trouble) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    fn refusal(&self) -> Option<Trouble> {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.take()
    }

    /// Looks at a push, and pushes it on.
    ///
    /// # Errors
    /// That it is another one than was asked for, has a secret in it, takes something back, or what
    /// the forge says.
    pub async fn judge(&self, app: &App, asked: &Check, bare: &Bare) -> Result<(), Trouble> {
        let refused = |why: &str| Trouble::new(TaskFault::PushRefused, why);
        let command = check::only(&self.branch, &asked.commands)
            .map_err(|why| Trouble::new(TaskFault::PushRefused, why))?;
        if command.new.as_deref() != Some(&*self.commit) {
            return Err(refused("it is another commit than was asked for"));
        }
        check::grows(bare, asked, &command).await?;
        let secrets = app.publisher.secrets.clone();
        let pointers = check::scan(bare, asked, &self.commit, secrets.clone()).await?;
        let (_, slug) = app.publisher.forge(&self.forge)?;
        let folder = match pointers.is_empty() {
            true => String::new(),
            false => self.folder(app).await?,
        };
        let load = Load {
            bare,
            task: None,
            asked,
            new: &self.commit,
            to: &slug,
            folder: &folder,
            secrets,
        };
        load.bring(app, pointers).await?;
        let objects = (&*asked.objects, &*asked.alternates);
        let pushed = bare.push(&slug, &self.commit, &self.branch, Some(objects));
        pushed.await
    }

    /// Git's own folder of the working tree, by the agent's word: what was looked at may be a folder in
    /// the tree, or one of several trees of a repository.
    async fn folder(&self, app: &App) -> Result<String, Trouble> {
        let request = FilesRequest::GitPlace {
            workdir: self.tree.clone(),
        };
        match app.files.ask(&request).await {
            Ok(FilesReply::GitPlace(place)) => Ok(place.folder.unwrap_or_default()),
            Ok(_) => Err(Trouble::new(TaskFault::Unknown, unexpected().detail())),
            Err(fault) => Err(Trouble::new(TaskFault::Unknown, fault.detail())),
        }
    }
}

/// A repository as the forge has it now.
struct Found {
    forge: Arc<Forge>,
    slug: Slug,
    place: TaskForge,
    /// Why nothing can be pushed there.
    problem: Option<String>,
}

impl Found {
    async fn of(app: &App, host: &str, repository: &str) -> Result<Self, Fault> {
        let asked = TaskForge {
            host: host.to_owned(),
            repository: repository.to_owned(),
            ..TaskForge::default()
        };
        let missing = |trouble: Trouble| Fault::new(Code::NoSuchForge, trouble.detail);
        let (forge, slug) = app.publisher.forge(&asked).map_err(missing)?;
        if forge.kind() == ForgeKind::Git {
            return Ok(Self {
                place: asked,
                problem: None,
                forge,
                slug,
            });
        }
        let failed = |error: cib_forge::ForgeError| fault(error.into());
        let found = forge.repository(&slug).await.map_err(failed)?;
        let problem = if found.archived {
            Some(format!(
                "{} is archived, so nobody may change it",
                found.slug
            ))
        } else if !found.may_push {
            Some(format!(
                "the box's account may not push to {}; a task forks it",
                found.slug
            ))
        } else {
            None
        };
        let place = named(&forge, &found.slug).forge.unwrap_or(asked);
        Ok(Self {
            place: TaskForge {
                default_branch: Some(found.default_branch).filter(|name| !name.is_empty()),
                ..place
            },
            slug: found.slug,
            problem,
            forge,
        })
    }

    /// Whether a branch is the repository's own.
    fn is_own(&self, branch: &str) -> bool {
        match &self.place.default_branch {
            Some(own) => own == branch,
            None => USUAL.contains(&branch),
        }
    }
}

/// Where a working tree can be published.
///
/// # Errors
/// If it is none, or cannot be looked at.
pub async fn place(app: &App, workdir: String) -> Result<GitRemote, Fault> {
    let request = FilesRequest::GitPlace { workdir };
    let FilesReply::GitPlace(tree) = app.files.ask(&request).await? else {
        return Err(unexpected());
    };
    let mut told = GitRemote {
        branch: tree.branch.filter(|branch| is_branch(branch)),
        commit: tree.commit.filter(|commit| is_id(commit)),
        remote: tree.remote.as_deref().map(shown),
        ..GitRemote::default()
    };
    let address = tree.remote.unwrap_or_default();
    let Some(forge) = app.publisher.repository(&address).and_then(|it| it.forge) else {
        return Ok(told);
    };
    match Found::of(app, &forge.host, &forge.repository).await {
        Ok(found) => {
            told.pull_requests = found.forge.kind() != ForgeKind::Git;
            told.host = Some(found.place.host);
            told.repository = Some(found.place.repository);
            told.default_branch = found.place.default_branch;
            told.problem = found.problem;
        }
        Err(fault) => {
            told.problem = Some(fault.detail().to_owned());
            (told.host, told.repository) = (Some(forge.host), Some(forge.repository));
        }
    }
    Ok(told)
}

/// Pushes a commit to a branch.
///
/// # Errors
/// What keeps it from that, in a sentence.
pub async fn push(app: &App, asked: PushBranch) -> Result<BranchPushed, Fault> {
    let PushBranch {
        workdir,
        host,
        repository,
        branch,
        commit,
    } = asked;
    if !is_branch(&branch) {
        return Err(bad("`branch` is no name of a branch"));
    }
    if !is_id(&commit) {
        return Err(bad("`commit` is no whole id of a commit"));
    }
    let found = Found::of(app, &host, &repository).await?;
    if let Some(problem) = &found.problem {
        return Err(Fault::new(Code::PushRefused, problem.clone()));
    }
    if found.is_own(&branch) {
        let why = format!(
            "`{branch}` is the repository's own branch, which people change by pull requests; push \
             to a branch of another name"
        );
        return Err(Fault::new(Code::PushRefused, why));
    }
    let bare = app.publisher.bare(&found.place).map_err(fault)?;
    let _used = app.publisher.using(&bare);
    app.publisher
        .fetch(app, &found.place)
        .await
        .map_err(fault)?;
    if bare.at(&branch).await.map_err(fault)?.as_deref() != Some(&*commit) {
        let order = Order::new(
            found.place.clone(),
            workdir.clone(),
            branch.clone(),
            commit.clone(),
        );
        let carried_out = carry_out(app, &found, &Arc::new(order), workdir).await;
        // What came of it counts, whatever was said of it meanwhile.
        if bare.at(&branch).await.map_err(fault)?.as_deref() != Some(&*commit) {
            carried_out?;
            let why = "the working tree pushes elsewhere than to the box";
            return Err(Fault::new(Code::PushRefused, why));
        }
    }
    let base = found.place.default_branch.as_deref();
    Ok(BranchPushed {
        page: base.and_then(|base| found.forge.compare_page(&found.slug, base, &branch)),
        host: found.place.host,
        repository: found.place.repository,
        branch,
        commit,
    })
}

/// Has coder's git push, to control.
async fn carry_out(
    app: &App,
    found: &Found,
    order: &Arc<Order>,
    workdir: String,
) -> Result<(), Fault> {
    let publisher = &app.publisher;
    let ticket = publisher.ticket_of(order).map_err(Fault::internal)?;
    let instead = format!("cib://{}/", found.place.host);
    let request = FilesRequest::GitPush {
        workdir,
        commit: order.commit.clone(),
        branch: order.branch.clone(),
        to: format!("{instead}{}.git", found.slug),
        through: Box::new(Through {
            url: String::new(),
            instead,
            socket: publisher.socket().display().to_string(),
            programs: publisher.programs(),
            ticket: ticket.name.clone(),
        }),
    };
    let answered = app.files.ask_long(&request, PUSHING).await;
    if let Some(trouble) = order.refusal() {
        return Err(fault(trouble));
    }
    match answered? {
        FilesReply::GitPushed { refused: None } => Ok(()),
        FilesReply::GitPushed { refused: Some(why) } => {
            Err(Fault::new(Code::PushRefused, plain(&why, 1000)))
        }
        _ => Err(unexpected()),
    }
}

/// Opens a pull request of a branch that was pushed, or finds the one that is open.
///
/// # Errors
/// What the forge says.
pub async fn open(app: &App, asked: OpenPullRequest) -> Result<PullRequestOpened, Fault> {
    let is_name = |name: &Option<String>| name.as_deref().is_none_or(is_branch);
    if !is_branch(&asked.branch) || !is_name(&asked.base) {
        return Err(bad("`branch` and `base` are names of branches"));
    }
    let found = Found::of(app, &asked.host, &asked.repository).await?;
    if found.forge.kind() == ForgeKind::Git {
        let why = format!("{} has no pull requests", found.place.host);
        return Err(Fault::new(Code::PushRefused, why));
    }
    let base = asked.base.or_else(|| found.place.default_branch.clone());
    let Some(base) = base else {
        let why = "the repository has no branch that a pull request could be merged into";
        return Err(Fault::new(Code::PushRefused, why));
    };
    let bare = app.publisher.bare(&found.place).map_err(fault)?;
    let _used = app.publisher.using(&bare);
    let is_there = bare.exists() && bare.at(&asked.branch).await.map_err(fault)?.is_some();
    if !is_there {
        let why = format!("`{}` was not pushed by this box yet", asked.branch);
        return Err(Fault::new(Code::PushRefused, why));
    }
    let head = Head {
        slug: found.slug.clone(),
        branch: asked.branch.clone(),
    };
    let failed = |error: cib_forge::ForgeError| fault(error.into());
    let known = found.forge.pulls_of(&found.slug, &head).await;
    let known = known.map_err(failed)?;
    let is_open = |pull: &&cib_forge::Pull| pull.state == PullState::Open;
    if let Some(pull) = known.iter().find(is_open) {
        return Ok(PullRequestOpened {
            number: pull.number,
            url: pull.url.clone(),
            draft: pull.draft,
            adopted: true,
        });
    }
    let (title, body) = words(&bare, &base, &asked.branch).await?;
    let given = |text: Option<String>, most: usize| {
        text.map(|text| plain(text.trim(), most))
            .filter(|text| !text.is_empty())
    };
    let new = NewPull {
        title: given(asked.title, MAX_TITLE).map_or(title, |title| title.replace('\n', " ")),
        body: given(asked.body, MAX_BODY).unwrap_or(body),
        head,
        base,
        draft: asked.draft,
    };
    let opened = found.forge.open_pull(&found.slug, &new).await;
    let opened = opened.map_err(failed)?;
    Ok(PullRequestOpened {
        number: opened.pull.number,
        url: opened.pull.url,
        draft: opened.pull.draft,
        adopted: opened.adopted,
    })
}

/// A title and a text out of the commits: the agent's words, so that they call nobody.
async fn words(bare: &Bare, base: &str, branch: &str) -> Result<(String, String), Fault> {
    let new = format!("refs/heads/{base}..refs/heads/{branch}");
    let most = format!("--max-count={MAX_COMMITS}");
    let words = ["log", "--no-decorate", &most, "--format=%s", &new, "--"];
    let log = bare.checked(&words).await.map_err(fault)?;
    let text = String::from_utf8_lossy(&log);
    let subjects: Vec<String> = text
        .lines()
        .map(|line| harmless(&plain(line, MAX_TITLE)))
        .filter(|line| !line.trim().is_empty())
        .collect();
    let title = subjects
        .last()
        .cloned()
        .unwrap_or_else(|| branch.to_owned());
    let list = subjects
        .iter()
        .rev()
        .map(|subject| format!("- {subject}\n"));
    Ok((title, list.collect()))
}

/// An address without the user and the password that it may have.
fn shown(address: &str) -> String {
    let bare = match address.split_once("://") {
        Some((scheme, rest)) => {
            let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = place.rsplit('@').next().unwrap_or(place);
            format!("{scheme}://{host}/{path}")
        }
        None => address.to_owned(),
    };
    plain(&bare, 500)
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn bad(why: &str) -> Fault {
    Fault::new(Code::BadValue, why)
}

/// What a page is told of a trouble.
fn fault(trouble: Trouble) -> Fault {
    let code = match trouble.kind {
        TaskFault::PushRefused | TaskFault::SecretFound => Code::PushRefused,
        _ => Code::ForgeFailed,
    };
    Fault::new(code, trouble.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_what_opens_it() {
        for (address, told) in [
            (
                "https://me:secret@h.example/a/b.git",
                "https://h.example/a/b.git",
            ),
            ("https://h.example/a/b", "https://h.example/a/b"),
            ("ssh://git@h:22/a", "ssh://h:22/a"),
            ("git@h.example:a/b.git", "git@h.example:a/b.git"),
            ("/folder", "/folder"),
        ] {
            assert_eq!(shown(address), told);
        }
    }
}
