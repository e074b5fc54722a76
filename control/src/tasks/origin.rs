//! Where the repository of a task comes from, if the box publishes it: found by words, located,
//! fetched, and forked where the box may not push.

use std::sync::Arc;
use std::time::Duration;

use cib_forge::{ErrorKind, Forge, Slug};
use cib_protocol::forge::ForgeKind;
use cib_protocol::frame::Data;
use cib_protocol::task::{
    StepOutcome, TaskFault, TaskForge, TaskPush, TaskRepository, TaskStep, plain,
};
use cib_tasks::fold::Progress;
use cib_tasks::repository::{Named, Unfound, find, hint, named_in, parse};
use cib_tasks::step::{self, Outcome};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::entry::Entry;
use super::pull::{self, Opening};
use super::tree;
use crate::app::App;
use crate::publish::bare::Trouble;
use crate::publish::named;

/// How long a forge is asked while whoever submits a task waits.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Pages of repositories that are looked at for a name.
const PAGES: u32 = 5;

/// The name of the step in which a forge is asked.
const FORGE: &str = "forge";

/// Does something with a forge, and again after a pause if that may help. Each failure is written
/// down.
///
/// # Errors
/// What the last try came to.
pub async fn tried<'a, T>(
    app: &App,
    entry: &Entry,
    mut what: impl FnMut() -> BoxFuture<'a, Result<T, Trouble>> + Send,
) -> Result<T, Trouble> {
    let mut pauses = app.publisher.pauses.iter();
    loop {
        let trouble = match what().await {
            Ok(done) => return Ok(done),
            Err(trouble) => trouble,
        };
        let Some(pause) = pauses.next().filter(|_| trouble.may_pass()) else {
            return Err(trouble);
        };
        noted(entry, &trouble, *pause).await;
        tokio::time::sleep(*pause).await;
    }
}

async fn noted(entry: &Entry, trouble: &Trouble, pause: Duration) {
    let detail = format!(
        "{}; tried again in {} s",
        plain(&trouble.detail, 500),
        pause.as_secs()
    );
    let failed = Data::TaskStep(TaskStep {
        step: FORGE.to_owned(),
        outcome: StepOutcome::Failed,
        detail: Some(detail),
    });
    if let Err(fault) = entry.write(|_| vec![failed]).await {
        fault.log("tasks");
    }
}

/// What a repository is that was found by its name alone: published, if the box has an account
/// where it is.
#[must_use]
pub fn known(app: &App, found: TaskRepository) -> TaskRepository {
    app.publisher.repository(&found.source).unwrap_or(found)
}

/// Why a repository that is named can not be worked on, if a forge says so at once: that it is not
/// there for the box's token, is archived, or is neither to be pushed to, if it `is_pushed`, nor to be
/// forked. Whatever else is the matter is found out when the task's
/// turn has come.
pub async fn refusal(app: &App, repo: &str, is_pushed: bool) -> Option<String> {
    let asked = async {
        match parse(repo) {
            Ok(Named::Address(found)) => {
                let place = known(app, found).forge?;
                let (forge, slug) = app.publisher.forge(&place).ok()?;
                looked_at(&forge, &slug, is_pushed)
                    .await
                    .unwrap_or_else(Some)
            }
            Ok(Named::Folder(name)) => {
                let slug: Slug = name.parse().ok()?;
                let mut refusal = None;
                for forge in app.publisher.forges.iter().filter(|one| one.has_token()) {
                    match looked_at(forge, &slug, is_pushed).await {
                        Ok(found) => return found,
                        Err(why) => refusal = Some(why),
                    }
                }
                // A folder of the workspace may be called so.
                let refusal = refusal?;
                let trees = tree::found(app).await.ok()?;
                let found = find(Some(&name), "", &trees);
                found.is_err().then(|| refusal + hint(&name))
            }
            Err(_) => None,
        }
    };
    tokio::time::timeout(AT_ONCE, asked).await.ok()?
}

/// What a forge says of a repository: nothing, why it cannot be changed, or that it has none.
async fn looked_at(forge: &Forge, slug: &Slug, is_pushed: bool) -> Result<Option<String>, String> {
    if forge.kind() == ForgeKind::Git {
        return Ok(None);
    }
    match forge.repository(slug).await {
        Ok(found) if found.archived => Ok(Some(archived(&found.slug))),
        Ok(found) if is_pushed && !found.may_push && !found.may_fork => Ok(Some(format!(
            "the box's account may not push to {}, and nobody may fork it",
            found.slug
        ))),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NoRight) => {
            Err(error.to_string())
        }
        Err(_) => Ok(None),
    }
}

fn archived(slug: &Slug) -> String {
    format!("{slug} is archived, so nobody may change it")
}

/// What a task means that names no repository of the workspace and no address, by what the tokens of
/// the box see.
///
/// # Errors
/// As [`cib_tasks::repository::find`].
pub async fn found(
    app: &App,
    name: Option<&str>,
    prompt: &str,
    unfound: Unfound,
) -> Result<TaskRepository, Unfound> {
    if unfound.kind == TaskFault::AmbiguousRepo {
        return Err(unfound);
    }
    let mut meant: Vec<TaskRepository> = Vec::new();
    let mut problem = None;
    for forge in app
        .publisher
        .forges
        .iter()
        .filter(|forge| forge.has_token())
    {
        if let Some(name) = name {
            let Ok(slug) = name.parse() else { continue };
            match forge.repository(&slug).await {
                Ok(found) => meant.push(named(forge, &found.slug)),
                Err(error) => problem = Some(error.to_string()),
            }
            continue;
        }
        let mut slugs = Vec::new();
        let mut page = Some(1);
        while let Some(number) = page.filter(|number| *number <= PAGES) {
            match forge.repositories("", number).await {
                Ok(listed) => {
                    slugs.extend(listed.items.into_iter().map(|one| one.slug.to_string()));
                    page = listed.next;
                }
                Err(error) => {
                    problem = Some(error.to_string());
                    break;
                }
            }
        }
        for found in named_in(prompt, &slugs) {
            if let Ok(slug) = found.parse() {
                meant.push(named(forge, &slug));
            }
        }
    }
    match (&*meant, problem) {
        ([one], _) => Ok(one.clone()),
        ([], Some(problem)) => Err(Unfound::none(format!("{}; {problem}", unfound.detail))),
        ([], None) => Err(unfound),
        (several, _) => Err(Unfound::several(
            several.iter().map(|one| one.source.clone()).collect(),
        )),
    }
}

/// What somebody who was asked has answered: one of the candidates, or any address.
///
/// # Errors
/// A sentence, if that is none.
pub fn answered(app: &App, progress: &Progress, answer: &str) -> Result<TaskRepository, String> {
    let answer = answer.trim();
    let is_meant = |candidate: &&String| {
        let bare = candidate.strip_suffix(".git").unwrap_or(candidate);
        candidate.eq_ignore_ascii_case(answer)
            || bare.eq_ignore_ascii_case(answer)
            || (!answer.is_empty()
                && bare
                    .to_lowercase()
                    .ends_with(&format!("/{}", answer.to_lowercase())))
    };
    let meant: Vec<_> = progress.candidates.iter().filter(is_meant).collect();
    let candidate = match &*meant {
        [one] => one.as_str(),
        _ => answer,
    };
    match parse(candidate) {
        Ok(Named::Address(found)) => Ok(known(app, found)),
        Ok(Named::Folder(folder)) if meant.len() == 1 => {
            let name = folder.rsplit('/').next().unwrap_or_default();
            Ok(TaskRepository {
                name: cib_tasks::repository::tree_name(name),
                source: folder.clone(),
                forge: None,
            })
        }
        _ => Err(format!(
            "it is neither an address nor one of {}",
            progress.candidates.join(", ")
        )),
    }
}

/// Asks the forge what the repository of a task is now, and has control fetch it. Where it is and
/// what its own branch is is written down.
///
/// # Errors
/// What git and the forge say.
pub async fn fetched(
    app: &App,
    entry: &Entry,
    repository: &TaskRepository,
) -> Result<TaskRepository, Trouble> {
    let Some(forge) = &repository.forge else {
        return Ok(repository.clone());
    };
    let now = tried(app, entry, || now(app, repository, forge).boxed()).await?;
    let located = Outcome::Located(now.clone());
    entry
        .write(|progress| step::after(progress, located))
        .await
        .map_err(|fault| Trouble::new(TaskFault::Unknown, fault.detail()))?;
    if let Some(forge) = &now.forge {
        tried(app, entry, || app.publisher.fetch(app, forge).boxed()).await?;
    }
    Ok(now)
}

async fn now(
    app: &App,
    repository: &TaskRepository,
    known: &TaskForge,
) -> Result<TaskRepository, Trouble> {
    let (forge, slug) = app.publisher.forge(known)?;
    if forge.kind() == ForgeKind::Git {
        return Ok(repository.clone());
    }
    let found = forge.repository(&slug).await?;
    if found.archived {
        return Err(Trouble::new(TaskFault::NoRight, archived(&found.slug)));
    }
    let place = named(&forge, &found.slug);
    let forge = place.forge.map(|forge| TaskForge {
        default_branch: Some(found.default_branch).filter(|name| !name.is_empty()),
        fork: known.fork.clone(),
        ..forge
    });
    Ok(TaskRepository {
        // The tree stands under the name that it was given first.
        name: repository.name.clone(),
        source: place.source,
        forge,
    })
}

/// Publishes the branch of a task and opens its pull request; or forks the repository first, if the
/// box may not push to it.
pub async fn opened(app: &Arc<App>, entry: &Entry, progress: &Progress) -> Outcome {
    match try_open(app, entry, progress).await {
        Ok(outcome) => outcome,
        Err(trouble) => Outcome::Fault(trouble.kind, trouble.detail),
    }
}

async fn try_open(app: &Arc<App>, entry: &Entry, progress: &Progress) -> Result<Outcome, Trouble> {
    let Some(repository) = &progress.repository else {
        return Ok(Outcome::Opened(None, None));
    };
    let Some(forge) = repository
        .forge
        .as_ref()
        .filter(|_| entry.record.request.push)
    else {
        return Ok(Outcome::Opened(
            tree::push(app, entry, progress).await,
            None,
        ));
    };
    let may_push = tried(app, entry, || may_push(app, forge).boxed()).await?;
    if !may_push && forge.fork.is_none() {
        return forked(app, entry, repository, forge).await;
    }
    let pushed = tried(app, entry, || pushed(app, entry, progress).boxed());
    let pushed = match pushed.await {
        // The forge says so only when it is tried: a token may be of a narrower kind.
        Err(trouble) if trouble.kind == TaskFault::NoRight && forge.fork.is_none() => {
            return forked(app, entry, repository, forge)
                .await
                .map_err(|_| trouble);
        }
        pushed => pushed?,
    };
    if pushed.as_ref().is_some_and(|push| push.refused.is_some()) {
        return Ok(Outcome::Opened(pushed, None));
    }
    let opening = tried(app, entry, || pull::open(app, entry, progress).boxed()).await?;
    Ok(match opening {
        Opening::There(pr) => Outcome::Opened(pushed, Some(pr)),
        Opening::Declined(pr) => Outcome::Declined(pr),
        Opening::None(why) => {
            if let Some(why) = why {
                tracing::info!(task = %entry.id(), why, "no pull request");
            }
            Outcome::Opened(pushed, None)
        }
    })
}

/// Pushes, and takes what is not taken for a failure.
async fn pushed(
    app: &App,
    entry: &Entry,
    progress: &Progress,
) -> Result<Option<TaskPush>, Trouble> {
    let push = tree::push(app, entry, progress).await;
    match &push {
        Some(TaskPush {
            refused: Some(why),
            kind: Some(kind),
            ..
        }) => Err(Trouble::new(*kind, why.clone())),
        _ => Ok(push),
    }
}

async fn may_push(app: &App, repository: &TaskForge) -> Result<bool, Trouble> {
    let (forge, slug) = app.publisher.forge(repository)?;
    if forge.kind() == ForgeKind::Git {
        return Ok(true);
    }
    Ok(forge.repository(&slug).await?.may_push)
}

async fn forked(
    app: &App,
    entry: &Entry,
    repository: &TaskRepository,
    known: &TaskForge,
) -> Result<Outcome, Trouble> {
    let (forge, slug) = app.publisher.forge(known)?;
    let fork = tried(app, entry, || {
        async { Ok(forge.fork(&slug).await?) }.boxed()
    })
    .await?;
    Ok(Outcome::Located(TaskRepository {
        forge: Some(TaskForge {
            fork: Some(fork.slug.to_string()),
            ..known.clone()
        }),
        ..repository.clone()
    }))
}
