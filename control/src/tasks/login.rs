//! Claude's login, as tasks find it: one that does not hold any more is no reason to have every task in
//! the queue fail.

use std::sync::Arc;

use cib_protocol::api::TaskQueue;
use cib_protocol::task::{TaskFault, TaskState};

use super::entry::Entry;
use crate::app::App;

/// Pauses the queue if a task failed because Claude's login does not hold any more. Whoever logs Claude
/// in again lets it go on.
pub async fn heed(app: &Arc<App>, entry: &Entry) {
    let progress = entry.progress();
    let kind = progress.error.map(|error| error.kind);
    if progress.state != TaskState::Failed || kind != Some(TaskFault::AuthExpired) {
        return;
    }
    let queue = app.tasks.queue();
    if queue.paused {
        return;
    }
    let paused = TaskQueue {
        max_running: queue.max_running,
        paused: true,
    };
    match app.tasks.set_queue(paused).await {
        Ok(()) => tracing::warn!(
            task = %entry.id(),
            queued = queue.queued,
            "Claude's login does not hold any more; the queue of tasks is paused"
        ),
        Err(fault) => fault.log("tasks"),
    }
}
