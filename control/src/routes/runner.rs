//! Tasks as clients of claude-code-runner ask for them: its routes, its words, its errors.

use cib_protocol::api::{
    CreateTask, RunnerDone, RunnerHealth, RunnerMinted, RunnerPrompt, RunnerTask, RunnerTasks,
    RunnerToken, TokenInfo, TokenKind,
};
use cib_protocol::secret::Secret;
use cib_protocol::task::TaskState;

use super::call::{Call, Reply};
use super::{tasks, tokens};
use crate::auth::scope::{Scope, Scopes};
use crate::auth::tokens::RUNNER_LABEL;
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

/// The token that was minted here, if there is one.
fn token(call: &Call) -> Vec<TokenInfo> {
    let mut tokens = call.app.gate.tokens().list();
    tokens.retain(|token| token.label == RUNNER_LABEL);
    tokens
}

/// Mints a token that may do what such a client does, in the place of the last one.
pub(super) async fn mint(call: Call) -> Result<Reply, Fault> {
    let scopes = [Scope::TasksRead, Scope::TasksWrite].map(Scope::as_str);
    let scopes = Scopes::parse(&scopes).map_err(Fault::internal)?;
    let earlier = token(&call);
    let kind = TokenKind::Bearer;
    let (_, text) = tokens::mint(&call, RUNNER_LABEL, scopes, None, kind).await?;
    for token in earlier {
        tokens::forget(&call, &token.id).await?;
    }
    Reply::json(&RunnerMinted {
        token: Secret::new(text),
    })
}

/// Its text is nowhere kept, so what is shown of it is how it begins.
pub(super) fn show(call: &Call) -> Result<Reply, Fault> {
    let token = token(call).pop();
    Reply::json(&RunnerToken {
        exists: token.is_some(),
        token: token.as_ref().map(|_| "ccr_********".to_owned()),
        created_at: token.map(|token| token.created_at),
    })
}

pub(super) async fn revoke(call: Call) -> Result<Reply, Fault> {
    for token in token(&call) {
        tokens::forget(&call, &token.id).await?;
    }
    Reply::json(&RunnerDone { success: true })
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
