//! One task, from step to step.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cib_protocol::session::SessionId;
use cib_protocol::task::{TaskBranch, TaskFault, TaskRepository, TaskState};
use cib_protocol::trees::{CloneTree, TreeRequest};
use cib_tasks::fold::Progress;
use cib_tasks::repository;
use cib_tasks::step::{self, Outcome, Step};
use cib_tasks::times::Times;

use super::entry::Entry;
use super::{choose, login, origin, seek, settle, store, tree, work};
use crate::app::App;
use crate::publish::bare::Trouble;

/// The pause before something is tried again that failed for no reason of the task's.
const PAUSE: Duration = Duration::from_secs(2);

/// Takes a task from step to step in the background, if nobody does.
pub fn begin(app: &Arc<App>, entry: &Arc<Entry>) {
    if entry.driven.swap(true, Ordering::SeqCst) {
        return;
    }
    let (app, entry) = (Arc::clone(app), Arc::clone(entry));
    tokio::spawn(async move {
        loop {
            drive(&app, &entry).await;
            entry.driven.store(false, Ordering::SeqCst);
            // It may have been asked for anew in this moment.
            let rests = step::next(&entry.progress(), &entry.record.request) == Step::Rest;
            if rests || entry.driven.swap(true, Ordering::SeqCst) {
                break;
            }
        }
        login::heed(&app, &entry).await;
        // Others wait for its place.
        next_turn(app).await;
    });
}

/// As [`store::turn`], from a task of its own kind.
pub fn next_turn(app: Arc<App>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move { store::turn(&app).await })
}

async fn drive(app: &Arc<App>, entry: &Arc<Entry>) {
    loop {
        let mut states = entry.watch();
        let progress = entry.progress();
        let step = step::next(&progress, &entry.record.request);
        if step == Step::Rest {
            return;
        }
        // What goes on when somebody cancels is dropped; what saves the work then is not.
        let state = progress.state;
        let is_last = state.is_ended() || state.is_ending() && state != TaskState::Finishing;
        let is_cancelled = async {
            if is_last {
                std::future::pending::<()>().await;
            }
            let cancelled = states.wait_for(|state| *state == TaskState::Cancelling);
            if cancelled.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let outcome = tokio::select! {
            outcome = act(app, entry, &progress, step) => outcome,
            () = is_cancelled => continue,
        };
        // An end that was made for another one is made anew: a pull request says which it is.
        let is_overtaken = |now: &Progress| state.is_ending() && now.state != state;
        let frames = |now: &Progress| match is_overtaken(now) {
            true => Vec::new(),
            false => step::after(now, outcome.clone()),
        };
        while let Err(fault) = entry.write(&frames).await {
            fault.log("tasks");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Does a step.
async fn act(app: &Arc<App>, entry: &Arc<Entry>, progress: &Progress, step: Step) -> Outcome {
    let request = &entry.record.request;
    match step {
        // Never asked for: whoever drives it stops before.
        Step::Rest => Outcome::Closed,
        Step::Note(outcome) => outcome,
        Step::Find => match find(app, entry).await {
            Ok(outcome) | Err(outcome) => outcome,
        },
        Step::Clone(repository) => match clone(app, entry, &repository).await {
            Ok(branch) => Outcome::Cloned(branch),
            Err(trouble) => Outcome::Fault(trouble.kind, trouble.detail),
        },
        Step::Open(_) => origin::opened(app, entry, progress).await,
        Step::SetUp(_, number) => {
            let seconds = Times::of(request).setup;
            let command = request.setup.get(number).cloned().unwrap_or_default();
            match tree::run(app, entry, progress, command, seconds).await {
                Ok(output) => Outcome::SetUp(output),
                Err(why) => {
                    let detail = format!("setup command {}: {why}", number + 1);
                    Outcome::Fault(TaskFault::SetupFailed, detail)
                }
            }
        }
        Step::Choose => Outcome::Chosen(SessionId::new_v4(), 0),
        Step::Work(branch, session) => work::work(app, entry, &branch, &session).await,
        Step::Settle => settle::settle(app, entry).await,
    }
}

async fn clone(
    app: &Arc<App>,
    entry: &Entry,
    repository: &TaskRepository,
) -> Result<TaskBranch, Trouble> {
    let request = &entry.record.request;
    let repository = origin::fetched(app, entry, repository).await?;
    let partial = is_partial(app, &repository).await?;
    // Good until the tree stands.
    let (through, _ticket) = tree::through(app, entry, &repository)?.unzip();
    let ask = TreeRequest::Clone(Box::new(CloneTree {
        task: entry.id(),
        name: repository.name.clone(),
        source: repository.source.clone(),
        base: request.base.clone(),
        branch: entry.branch(),
        depth: request.depth,
        partial,
        through: through.map(Box::new),
        date: entry.record.created_at.as_millis() / 1000,
    }));
    let made = tree::made(app, entry, &repository.name, &ask).await;
    made.map_err(|fault| Trouble::new(TaskFault::CloneFailed, fault.detail()))
}

/// Whether the tree has at first only what stands in it: what is fetched from elsewhere, and what of
/// control's own is large.
async fn is_partial(app: &App, repository: &TaskRepository) -> Result<bool, Trouble> {
    match &repository.forge {
        None => Ok(!repository.source.starts_with('/')),
        Some(forge) => {
            let size = app.publisher.bare(forge)?.size().await?;
            Ok(size >= app.publisher.large)
        }
    }
}

async fn find(app: &Arc<App>, entry: &Arc<Entry>) -> Result<Outcome, Outcome> {
    if entry.progress().finder.is_some() {
        return Ok(seek::seek(app, entry).await);
    }
    let unknown = |detail: &str| Outcome::Fault(TaskFault::Unknown, detail.to_owned());
    let prompt = entry
        .prompt()
        .await
        .map_err(|fault| unknown(fault.detail()))?;
    let found = tree::found(app)
        .await
        .map_err(|fault| unknown(fault.detail()))?;
    let named = entry.record.request.repo.as_deref();
    let unfound = match repository::find(named, &prompt, &found) {
        Ok(repository) => return Ok(Outcome::Found(origin::known(app, repository))),
        Err(unfound) if !app.publisher.is_open() => {
            return Ok(Outcome::Fault(unfound.kind, unfound.detail));
        }
        Err(unfound) => unfound,
    };
    Ok(match origin::found(app, named, &prompt, unfound).await {
        Ok(repository) => Outcome::Found(repository),
        // Whoever answers says which; nothing is guessed.
        Err(unfound) if !unfound.candidates.is_empty() => Outcome::Asked(unfound.candidates),
        // The words name none, but somebody who reads may know what is meant.
        Err(_) if named.is_none() && choose::is_possible(app) => seek::seek(app, entry).await,
        Err(unfound) => Outcome::Fault(unfound.kind, unfound.detail),
    })
}
