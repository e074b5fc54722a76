//! Tasks that make other tasks, each time that their schedule says.
//!
//! When a schedule has come last is written down before a task is made, and the next time is looked
//! for behind that: a clock that steps back makes nothing twice. What was missed while the box was
//! off, or because a clock stepped ahead, is not made up for.

use std::sync::Arc;
use std::time::Duration;

use cib_protocol::frame::Data;
use cib_protocol::task::{TaskFired, TaskState};
use cib_protocol::time::Timestamp;
use cib_tasks::schedule::Schedule;

use super::entry::Entry;
use super::store;
use crate::app::App;
use crate::fault::Fault;

/// How often it is looked whether a schedule has come.
const LOOK: Duration = Duration::from_secs(5);

/// How late a schedule may be to count, in milliseconds.
const LATE: i64 = 90_000;

/// Makes tasks at their times, for as long as this runs.
pub async fn keep(app: Arc<App>) {
    loop {
        pass(&app, Timestamp::now()).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// Makes those whose time has come.
pub async fn pass(app: &Arc<App>, now: Timestamp) {
    for entry in app.tasks.all() {
        if entry.state() != TaskState::Scheduled {
            continue;
        }
        if let Some(at) = next(&entry, now).filter(|at| *at <= now)
            && let Err(fault) = fire(app, &entry, at).await
        {
            fault.log("tasks");
        }
    }
}

/// The next time of a task's schedule.
#[must_use]
pub fn next(entry: &Entry, now: Timestamp) -> Option<Timestamp> {
    let text = entry.record.request.schedule.as_deref()?;
    let recent = Timestamp::from_millis(now.as_millis().saturating_sub(LATE));
    let known = entry.progress().fired_at.unwrap_or(entry.record.created_at);
    Schedule::parse(text).ok()?.next(known.max(recent))
}

async fn fire(app: &Arc<App>, entry: &Entry, at: Timestamp) -> Result<(), Fault> {
    let fired = |now: &cib_tasks::fold::Progress| match now.state {
        TaskState::Scheduled => vec![Data::TaskFired(TaskFired { at })],
        _ => Vec::new(),
    };
    let (_, is_fired) = entry.write(fired).await?;
    if !is_fired {
        return Ok(());
    }
    let mut request = entry.record.request.clone();
    request.prompt = entry.prompt().await?;
    request.schedule = None;
    // While the last one has not ended, it is the one.
    request.dedupe_key = Some(format!("schedule:{}", entry.id()));
    let (made, is_new) = app.tasks.create(request, entry.record.by.clone()).await?;
    tracing::info!(task = %made.id(), schedule = %entry.id(), is_new, "a schedule has come");
    app.notices.changed();
    store::turn(app).await;
    Ok(())
}
