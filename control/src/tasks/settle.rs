//! The end of a task: its session ends, and what was made is saved and pushed.
//!
//! Nothing here keeps a task from its end: what cannot be done stands in the box's log, and what was
//! made stays in the work tree.

use std::sync::Arc;
use std::time::Duration;

use cib_protocol::session::{Program, SessionId};
use cib_protocol::task::{TaskFault, TaskPr, TaskState, plain};
use cib_tasks::step::{self, Outcome};
use futures_util::FutureExt as _;

use super::entry::Entry;
use super::{origin, pull, tree};
use crate::app::App;
use crate::fault::Fault;
use crate::sessions::ending;

/// How long a session that is starting is waited for.
const STARTING: Duration = Duration::from_secs(130);

/// How long a session has to end when it is asked to.
const ASKED: Duration = Duration::from_secs(5);

/// How long it has when it is made to.
const MADE: Duration = Duration::from_secs(5);

/// How long what was made may take to be published when nobody waits for it any more.
const HASTE: Duration = Duration::from_secs(8);

/// Does all of that, and says what it came to.
pub async fn settle(app: &Arc<App>, entry: &Entry) -> Outcome {
    let progress = entry.progress();
    for session in [&progress.finder, &progress.session].into_iter().flatten() {
        let starting = entry.starting.lock();
        // One that hangs in its start is left to init.
        let _ = tokio::time::timeout(STARTING, starting).await;
        if let Err(fault) = end(app, session.session).await {
            fault.log("tasks");
        }
    }
    if progress.branch.is_none() {
        return Outcome::Settled;
    }
    let message = match progress.state {
        TaskState::Cancelling => Some("WIP: the task was cancelled"),
        TaskState::Failing => Some("WIP: the task failed"),
        // What Claude has left after it said that it is done is not what was asked for.
        _ => None,
    };
    if let Some(message) = message
        && let Err(fault) = tree::save(app, entry, &progress, message).await
    {
        fault.log("tasks");
    }
    if progress
        .repository
        .is_none_or(|found| found.forge.is_none())
    {
        if let Err(fault) = take_up(app, entry, true).await {
            fault.log("tasks");
        }
        return Outcome::Settled;
    }
    let end = match progress.state {
        TaskState::Cancelling => TaskState::Cancelled,
        TaskState::Failing => TaskState::Failed,
        _ => TaskState::Completed,
    };
    let publishing = publish(app, entry, end);
    if end == TaskState::Completed {
        return publishing.await;
    }
    match tokio::time::timeout(HASTE, publishing).await {
        Ok(outcome) => outcome,
        Err(_) => {
            tracing::warn!(task = %entry.id(), "the forge takes long, and the task ends without it");
            Outcome::Settled
        }
    }
}

/// Publishes what is not published yet, and says in the pull request how the task ends.
async fn publish(app: &Arc<App>, entry: &Entry, end: TaskState) -> Outcome {
    // Of what failed or was cancelled nobody is to wait for a forge that is away.
    let pauses = match end {
        TaskState::Completed => &*app.publisher.pauses,
        _ => &[],
    };
    let mut pauses = pauses.iter();
    let push = loop {
        if let Err(fault) = take_up(app, entry, true).await {
            fault.log("tasks");
        }
        let push = entry.progress().push;
        let is_away = push.as_ref().and_then(|push| push.kind) == Some(TaskFault::ForgeDown);
        match pauses.next().filter(|_| is_away) {
            Some(pause) => tokio::time::sleep(*pause).await,
            None => break push,
        }
    };
    let refused = push.and_then(|push| Some((push.kind?, push.refused?)));
    let end = match (&refused, end) {
        (Some(_), TaskState::Completed) => TaskState::Failed,
        (_, end) => end,
    };
    let finished = if end == TaskState::Completed {
        origin::tried(app, entry, || pull::finish(app, entry, end).boxed()).await
    } else {
        pull::finish(app, entry, end).await
    };
    if let Err(trouble) = finished {
        tracing::warn!(task = %entry.id(), detail = trouble.detail, "the pull request is as it was");
        if let Some(pr) = entry.progress().pr {
            let pr = TaskPr {
                problem: Some(plain(&trouble.detail, 500)),
                ..pr
            };
            let changed = entry
                .write(|now| step::after(now, Outcome::Changed(pr)))
                .await;
            if let Err(fault) = changed {
                fault.log("tasks");
            }
        }
    }
    match refused {
        Some((kind, detail)) => Outcome::Unpublished(kind, detail),
        None => Outcome::Settled,
    }
}

/// Writes down which commits there are, and pushes them. A push that found the forge away is tried
/// again if it may be.
///
/// # Errors
/// If the tree cannot be looked at, or nothing can be written.
pub async fn take_up(app: &Arc<App>, entry: &Entry, again: bool) -> Result<(), Fault> {
    let commits = tree::commits(app, entry, &entry.progress()).await?;
    let (progress, _) = entry
        .write(|now| step::after(now, Outcome::Committed(commits)))
        .await?;
    let pushed = progress.push.as_ref();
    let is_there = match (&progress.head, pushed) {
        (None, _) => true,
        (Some(head), Some(push)) => {
            push.commit == *head && !(again && push.kind == Some(TaskFault::ForgeDown))
        }
        (Some(_), None) => false,
    };
    if is_there {
        return Ok(());
    }
    if let Some(push) = tree::push(app, entry, &progress).await
        && progress.push.as_ref() != Some(&push)
    {
        entry
            .write(|now| step::after(now, Outcome::Pushed(push)))
            .await?;
    }
    Ok(())
}

/// Ends a session, however long it takes it to listen.
///
/// # Errors
/// If it cannot be asked to end.
pub async fn end(app: &Arc<App>, id: SessionId) -> Result<(), Fault> {
    for (kill, patience) in [(false, ASKED), (true, MADE)] {
        match app.store.find(Program::Claude, id).await {
            Ok(meta) if meta.state.is_live() => {}
            // There is none, or it has ended.
            _ => return Ok(()),
        }
        ending::stop(app, id, kill, None).await?;
        ending::wait(app, id, patience).await;
    }
    Ok(())
}
