//! Tasks as clients of claude-code-runner ask for them: its routes, its words, its errors.

use cib_protocol::api::{CreateTask, RunnerHealth, RunnerPrompt, RunnerTask, RunnerTasks};
use cib_protocol::task::TaskState;

use super::call::{Call, Reply};
use super::tasks;
use crate::fault::{Code, Fault};
use crate::tasks::entry::Entry;

/// How the names of these routes begin.
pub(super) const PREFIX: &str = "runner_";

/// What is wrong, in the words that such a client knows.
#[must_use]
pub fn words(fault: &Fault) -> &str {
    match fault.code() {
        Code::NoSuchTask => "Not found",
        Code::Unauthorized => "Unauthorized",
        _ => fault.detail(),
    }
}

pub(super) async fn submit(call: Call) -> Result<Reply, Fault> {
    let RunnerPrompt { prompt } = call.json_or_default()?;
    let prompt = prompt.filter(|prompt| !prompt.is_empty());
    let prompt = prompt.ok_or_else(|| Fault::new(Code::BadValue, "prompt required"))?;
    let request = CreateTask {
        prompt,
        push: true,
        draft: true,
        ..CreateTask::default()
    };
    let (entry, _) = tasks::submit(&call, request).await?;
    let mut task = shown(&entry);
    task.status = "queued".to_owned();
    Reply::json(&task)
}

pub(super) async fn get(call: Call) -> Result<Reply, Fault> {
    let entry = tasks::of(&call)?;
    let mut task = shown(&entry);
    task.prompt = entry.prompt().await?;
    Reply::json(&task)
}

pub(super) fn list(call: &Call) -> Result<Reply, Fault> {
    let all = call.app.tasks.all();
    let of_its_kind = all
        .iter()
        .filter(|entry| entry.state() != TaskState::Scheduled);
    Reply::json(&RunnerTasks(
        of_its_kind.map(|entry| shown(entry)).collect(),
    ))
}

pub(super) fn health(call: &Call) -> Result<Reply, Fault> {
    let queue = call.app.tasks.queue();
    Reply::json(&RunnerHealth {
        ok: true,
        tasks: call.app.tasks.all().len() as u64,
        running: queue.queued + queue.running,
    })
}

/// A client polls while it reads `running`, so everything that has not ended reads so.
fn shown(entry: &Entry) -> RunnerTask {
    let task = entry.task();
    let error = task.error.as_ref();
    let cancelled = || (task.state == TaskState::Cancelled).then(|| "cancelled".to_owned());
    RunnerTask {
        id: task.id,
        status: match task.state {
            TaskState::Completed => "completed",
            state if state.is_ended() => "failed",
            _ => "running",
        }
        .to_owned(),
        started: task.created_at,
        finished: task.ended_at,
        log_file: format!("/task/{}/logs", task.id),
        error: error.map(|error| error.detail.clone()).or_else(cancelled),
        error_type: error
            .map(|error| error.kind.compatible().to_owned())
            .or_else(|| cancelled().map(|_| "unknown".to_owned())),
        pr_url: task.pr.map(|pr| pr.url),
        started_at: task.created_at,
        completed_at: task.ended_at,
        state: task.state,
        error_kind: error
            .map(|error| error.kind.as_str().to_owned())
            .or_else(cancelled),
        branch: task.branch.map(|tree| tree.branch),
        prompt: task.prompt,
    }
}
