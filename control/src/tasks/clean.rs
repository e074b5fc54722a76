//! What tasks leave behind on the disk, and when it goes (`CIB_TASK_RETENTION`).

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cib_protocol::files::{Condition, FilesRequest, Place};
use cib_protocol::task::TaskForge;
use cib_protocol::time::Timestamp;
use cib_protocol::trees::FOLDER;
use cib_tasks::fold::Progress;

use super::entry::Entry;
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::sessions::retention::{Clock, INTERVAL, PORTION, believed};
use crate::work;

/// The file that says when the clock was believed last.
const MARK: &str = "control/task-retention";

/// Keeps tasks for so long after their end and no longer, for as long as this runs.
pub async fn keep(app: Arc<App>, kept: Duration, data: PathBuf) {
    let mark = data.join(MARK);
    let mut clock = Clock::new(believed(&mark));
    loop {
        let now = Timestamp::now();
        if clock.is_believed(now, Instant::now()) {
            if let Err(error) = std::fs::write(&mark, now.as_millis().to_string()) {
                tracing::warn!(%error, "when the clock was believed is not remembered");
            }
            pass(&app, now, kept).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whether nothing is lost with a task that ended so long ago. What was made and is nowhere else
/// stays until somebody says otherwise.
fn is_due(entry: &Entry, progress: &Progress, now: Timestamp, kept: Duration) -> bool {
    let Some(ended) = progress.ended_at.filter(|_| progress.is_closed) else {
        return false;
    };
    let age = now.as_millis().saturating_sub(ended.as_millis());
    let is_old = u128::try_from(age).is_ok_and(|age| age > kept.as_millis());
    let is_elsewhere = match (&progress.push, &progress.head) {
        _ if !progress.is_cloned => true,
        (Some(push), head) => {
            push.refused.is_none() && head.as_ref().is_none_or(|head| *head == push.commit)
        }
        (None, head) => head.is_none(),
    };
    is_old && is_elsewhere && progress.state.is_ended() && !entry.is_driven()
}

/// Removes a portion of what is not kept any longer, with its work trees, and control's own copies
/// of the repositories that no task is about any more.
pub async fn pass(app: &App, now: Timestamp, kept: Duration) {
    let mut left = HashSet::new();
    let mut removed = 0_usize;
    for entry in app.tasks.all() {
        let progress = entry.progress();
        if removed >= PORTION || !is_due(&entry, &progress, now, kept) {
            continue;
        }
        if let Err(fault) = remove(app, &entry, true).await {
            fault.log("tasks");
            continue;
        }
        removed += 1;
        let forge = progress.repository.and_then(|found| found.forge);
        left.extend(forge.map(|forge| (forge.host, forge.repository)));
    }
    for (host, repository) in left {
        copy(app, &host, &repository).await;
    }
    if removed > 0 {
        tracing::info!(removed, "tasks that ended long ago were removed");
    }
}

/// Forgets a task that has ended, with its work tree if that is to go too.
///
/// # Errors
/// [`Code::TaskRunning`], and what the disk says.
pub async fn remove(app: &App, entry: &Entry, with_tree: bool) -> Result<(), Fault> {
    if !entry.state().is_ended() {
        let detail = "it has not ended; cancel it first";
        return Err(Fault::new(Code::TaskRunning, detail));
    }
    if with_tree {
        let place = Place {
            root: "workspace".to_owned(),
            path: format!("{FOLDER}/{}", entry.id()),
        };
        let request = FilesRequest::Remove {
            place,
            recursive: true,
            condition: Condition::None,
        };
        match app.files.ask(&request).await {
            Err(fault) if fault.code() != Code::NoSuchFile => return Err(fault),
            _ => {}
        }
    }
    app.tasks.remove(entry).await
}

/// Removes control's copy of a repository, unless a task is about it or a person publishes there.
async fn copy(app: &App, host: &str, repository: &str) {
    let is_it = |forge: &TaskForge| forge.host == host && forge.repository == repository;
    let forge = TaskForge {
        host: host.to_owned(),
        repository: repository.to_owned(),
        ..TaskForge::default()
    };
    let Ok(bare) = app.publisher.bare(&forge) else {
        return;
    };
    // Whoever is about to clone it fetches it first, and waits here.
    let lock = app.publisher.lock(&bare);
    let _held = lock.lock_owned().await;
    let is_wanted = app.tasks.all().iter().any(|entry| {
        let found = entry.progress().repository.and_then(|found| found.forge);
        found.as_ref().is_some_and(is_it)
    });
    if is_wanted || app.publisher.is_used(&bare) {
        return;
    }
    let path = bare.path;
    if let Err(fault) = work::run(move || std::fs::remove_dir_all(path)).await {
        fault.log("tasks");
    }
}
