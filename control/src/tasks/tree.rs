//! What is done in a task's work tree: asked of `cib-files`, whose answers are the agent's word.

use std::time::Duration;

use cib_protocol::files::{FilesReply, FilesRequest};
use cib_protocol::task::{TaskBranch, TaskCommit, TaskFault, TaskPush, TaskRepository, plain};
use cib_protocol::trees::{FOLDER, FoundTree, Through, TreeReply, TreeRequest};
use cib_tasks::check::is_branch;
use cib_tasks::fold::Progress;

use super::entry::Entry;
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::files::ask::unexpected;
use crate::publish::Ticket;
use crate::publish::bare::Trouble;

/// How long what git does by itself may take, and what stands in front of it in the same tree.
const SOON: Duration = Duration::from_secs(100);

/// How long a clone may take.
const CLONING: Duration = Duration::from_secs(21 * 60);

/// How long a push may take.
const PUSHING: Duration = Duration::from_secs(6 * 60);

/// Characters of what a setup command said that are kept.
const MAX_SAID: usize = 1500;

/// Commits of a task that are each written down. Of more, those that are seen last are.
const MAX_COMMITS: u64 = 1000;

/// How often something is asked again that nobody could answer.
const TRIES: u32 = 4;

/// The pause before that, the first time.
const PAUSE: Duration = Duration::from_millis(500);

async fn ask(app: &App, ask: &TreeRequest, within: Duration) -> Result<TreeReply, Fault> {
    let request = FilesRequest::Tree { ask: ask.clone() };
    let mut pause = PAUSE;
    for tried in 1.. {
        match app.files.ask_long(&request, within).await {
            Ok(FilesReply::Tree(reply)) => return Ok(reply),
            Ok(_) => return Err(unexpected()),
            Err(fault)
                if tried < TRIES && matches!(fault.code(), Code::FilesUnavailable | Code::Busy) =>
            {
                tokio::time::sleep(pause).await;
                pause *= 4;
            }
            Err(fault) => return Err(fault),
        }
    }
    Err(unexpected())
}

/// The repositories of the workspace.
///
/// # Errors
/// If they cannot be looked for.
pub async fn found(app: &App) -> Result<Vec<FoundTree>, Fault> {
    match ask(app, &TreeRequest::Find {}, SOON).await? {
        TreeReply::Found(found) => Ok(found),
        _ => Err(unexpected()),
    }
}

/// Makes the work tree, and sees to it that what is said of it can be.
///
/// # Errors
/// In git's own words.
pub async fn made(
    app: &App,
    entry: &Entry,
    name: &str,
    clone: &TreeRequest,
) -> Result<TaskBranch, Fault> {
    let TreeReply::Tree(mut branch) = ask(app, clone, CLONING).await? else {
        return Err(unexpected());
    };
    let root = app.roots.first().ok_or_else(unexpected)?;
    let place = root.join(FOLDER).join(entry.id().to_string()).join(name);
    let is_commit = |commit: &Option<String>| commit.as_deref().is_none_or(is_id);
    if std::path::Path::new(&branch.workdir) != place
        || branch.branch != entry.branch()
        || !is_id(&branch.commit)
        || !is_commit(&branch.base_commit)
    {
        return Err(unexpected());
    }
    branch.base = branch.base.filter(|base| is_branch(base));
    Ok(branch)
}

/// Runs a setup command, and tells what it said.
///
/// # Errors
/// How it ended, with what it said.
pub async fn run(
    app: &App,
    entry: &Entry,
    progress: &Progress,
    command: String,
    seconds: u64,
) -> Result<String, String> {
    let run = TreeRequest::Run {
        task: entry.id(),
        name: name(progress),
        command,
        seconds,
    };
    let within = Duration::from_secs(seconds) + SOON;
    match ask(app, &run, within).await {
        Ok(TreeReply::Ran { code, late, output }) => {
            let said = last(&output);
            match code {
                Some(0) => Ok(said),
                _ if late => Err(format!("it took more than {seconds} seconds\n{said}")),
                Some(code) => Err(format!("exit {code}\n{said}")),
                None => Err(format!("a signal ended it\n{said}")),
            }
        }
        Ok(_) => Err(unexpected().detail().to_owned()),
        Err(fault) => Err(fault.detail().to_owned()),
    }
}

/// The end of a text.
fn last(text: &str) -> String {
    let letters = text.chars().count();
    let end: String = text
        .chars()
        .skip(letters.saturating_sub(MAX_SAID))
        .collect();
    plain(&end, MAX_SAID)
}

/// Commits on the branch that nobody wrote down yet.
///
/// # Errors
/// If the tree cannot be looked at.
pub async fn commits(
    app: &App,
    entry: &Entry,
    progress: &Progress,
) -> Result<Vec<TaskCommit>, Fault> {
    let Some(branch) = &progress.branch else {
        return Ok(Vec::new());
    };
    let known = progress.head.as_ref().unwrap_or(&branch.commit);
    let asked = TreeRequest::Commits {
        task: entry.id(),
        name: name(progress),
        branch: branch.branch.clone(),
        since: known.clone(),
    };
    match ask(app, &asked, SOON).await? {
        TreeReply::Commits(commits) => {
            let known = commits.len() as u64 + progress.commits;
            let few = if known > MAX_COMMITS {
                1
            } else {
                commits.len()
            };
            let skipped = commits.len().saturating_sub(few);
            Ok(commits
                .into_iter()
                .skip(skipped)
                .filter(|commit| is_id(&commit.id))
                .map(|commit| TaskCommit {
                    subject: plain(&commit.subject, 200).replace('\n', " "),
                    id: commit.id,
                })
                .collect())
        }
        _ => Err(unexpected()),
    }
}

/// Commits everything that is not committed, if there is anything.
///
/// # Errors
/// If that cannot be done.
pub async fn save(
    app: &App,
    entry: &Entry,
    progress: &Progress,
    message: &str,
) -> Result<(), Fault> {
    let Some(branch) = &progress.branch else {
        return Ok(());
    };
    let save = TreeRequest::Save {
        task: entry.id(),
        name: name(progress),
        branch: branch.branch.clone(),
        message: message.to_owned(),
    };
    match ask(app, &save, SOON).await? {
        TreeReply::Saved(_) => Ok(()),
        _ => Err(unexpected()),
    }
}

/// Pushes the branch to where the repository came from, if it is to be: by coder's own rights, or
/// through control where the box publishes it. That it was not taken is no failure of the task.
pub async fn push(app: &App, entry: &Entry, progress: &Progress) -> Option<TaskPush> {
    let (Some(branch), Some(repository)) = (&progress.branch, &progress.repository) else {
        return None;
    };
    if !entry.record.request.push {
        return None;
    }
    let commit = progress.head.as_ref().unwrap_or(&branch.commit).clone();
    let refused = |kind: Option<TaskFault>, detail: &str| TaskPush {
        commit: commit.clone(),
        refused: Some(plain(detail, 1000)),
        kind,
    };
    let through = match through(app, entry, repository) {
        Ok(through) => through,
        Err(trouble) => return Some(refused(Some(trouble.kind), &trouble.detail)),
    };
    let (through, _ticket) = through.unzip();
    let is_published = through.is_some();
    let push = TreeRequest::Push {
        task: entry.id(),
        name: name(progress),
        branch: branch.branch.clone(),
        source: repository.source.clone(),
        through: through.map(Box::new),
    };
    // What an earlier push of the agent's own came to is no answer to this one.
    let _ = app.publisher.refusal(entry.id());
    let answered = ask(app, &push, PUSHING).await;
    let refusal = app.publisher.refusal(entry.id());
    Some(match (answered, refusal) {
        (Ok(TreeReply::Pushed(push)), _) if is_id(&push.commit) && push.refused.is_none() => {
            if is_published && !is_taken(app, repository, branch, &push.commit).await {
                return Some(refused(
                    Some(TaskFault::PushRefused),
                    "the work tree pushes elsewhere than to the box",
                ));
            }
            TaskPush { kind: None, ..push }
        }
        (_, Some(trouble)) => refused(Some(trouble.kind), &trouble.detail),
        (Ok(TreeReply::Pushed(push)), None) if is_id(&push.commit) => TaskPush {
            refused: push.refused.map(|why| plain(&why, 1000)),
            kind: is_published.then_some(TaskFault::PushRefused),
            ..push
        },
        (Ok(_), None) => refused(None, unexpected().detail()),
        (Err(fault), None) => refused(None, fault.detail()),
    })
}

/// Whether control's own copy of a repository has a branch at a commit: the word of nobody else.
async fn is_taken(
    app: &App,
    repository: &TaskRepository,
    branch: &TaskBranch,
    commit: &str,
) -> bool {
    let Some(forge) = &repository.forge else {
        return false;
    };
    let Ok(bare) = app.publisher.bare(forge) else {
        return false;
    };
    matches!(bare.at(&branch.branch).await, Ok(Some(at)) if at == commit)
}

/// How git in the tree of a task reaches a repository that the box publishes, with what shows that
/// control has started it.
///
/// # Errors
/// That the box has no account there any more.
pub fn through(
    app: &App,
    entry: &Entry,
    repository: &TaskRepository,
) -> Result<Option<(Through, Ticket)>, Trouble> {
    let Some(found) = &repository.forge else {
        return Ok(None);
    };
    let publisher = &app.publisher;
    let (forge, slug) = publisher.forge(found)?;
    let ticket = publisher.ticket(entry.id())?;
    let url = forge.clone_url(&slug);
    let url = url.strip_suffix(&format!("{slug}.git")).unwrap_or(&url);
    let through = Through {
        url: url.to_owned(),
        instead: format!("cib://{}/", forge.host()),
        socket: publisher.socket().display().to_string(),
        programs: publisher.programs(),
        ticket: ticket.name.clone(),
    };
    Ok(Some((through, ticket)))
}

fn name(progress: &Progress) -> String {
    let repository = progress.repository.as_ref();
    repository.map_or_else(String::new, |repository| repository.name.clone())
}

/// Whether a text is the id of a commit.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
