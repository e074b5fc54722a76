//! Tasks: submit, show, steer, follow.

use std::sync::Arc;

use cib_protocol::api::{ChooseRepository, CreateTask, MessageTask, Task, TaskList, TaskQueue};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::Program;
use cib_protocol::task::{TaskId, TaskMessage, TaskState};
use cib_protocol::time::Timestamp;
use cib_tasks::check;
use cib_tasks::step::{self, Outcome};

use super::call::{Call, Reply};
use super::sessions::MAX_LIST;
use super::streams;
use crate::auth::credential;
use crate::auth::scope::Scope;
use crate::fault::{Code, Fault};
use crate::mcp;
use crate::metrics::Transport;
use crate::offers;
use crate::sessions::keeper;
use crate::stream::{Follow, sse};
use crate::tasks::choose::Choosing;
use crate::tasks::entry::Entry;
use crate::tasks::log::{self, Log};
use crate::tasks::{clean, drive, origin, pull, seek, store};

/// Bytes of a message, at most.
const MAX_MESSAGE: usize = 64 * 1024;

/// Messages that wait until the session of a task can hear them, at most.
const MAX_UNTOLD: usize = 32;

pub(super) async fn create(call: Call) -> Result<Reply, Fault> {
    let request: CreateTask = call.json()?;
    let (entry, is_new) = submit(&call, request).await?;
    let task = entry.task();
    if is_new {
        Reply::created(format!("/api/tasks/{}", task.id), &task)
    } else {
        Reply::json(&task)
    }
}

/// Makes a task and gives it its turn, if there is room.
pub(super) async fn submit(call: &Call, request: CreateTask) -> Result<(Arc<Entry>, bool), Fault> {
    let who = call.caller()?.who;
    let by = who.label().into_owned();
    if let Some(webhook) = &request.webhook {
        call.app.notices.check_webhook(webhook)?;
    }
    match (&request.provider_id, &request.model) {
        // What that has is for it to say.
        (Some(provider), _) => {
            // A provider's key is the box's, and who has a session has it.
            if !call.caller()?.scopes.allows(Scope::ProvidersRead) {
                return Err(Fault::scope_missing(Scope::ProvidersRead));
            }
            call.app.providers.find(provider).await?;
        }
        (None, Some(model)) => offers::check(&call.app, model).await?,
        (None, None) => {}
    }
    check::check(&request).map_err(|why| Fault::new(Code::BadValue, why))?;
    if let Some(repo) = &request.repo
        && let Some(why) = origin::refusal(&call.app, repo, request.push).await
    {
        return Err(Fault::new(Code::BadValue, format!("`repo`: {why}")));
    }
    let (entry, is_new) = call.app.tasks.create(request, by).await?;
    if is_new {
        call.app.notices.changed();
        tracing::info!(task = %entry.id(), caller = %who, "a task was submitted");
        store::turn(&call.app).await;
    }
    Ok((entry, is_new))
}

#[expect(clippy::unused_async, reason = "handlers are async")]
pub(super) async fn list(call: Call) -> Result<Reply, Fault> {
    let state = call.query.get("state");
    let state = match state.map(|name| (name, TaskState::named(name))) {
        Some((_, Some(state))) => Some(state),
        None => None,
        Some((name, None)) => {
            let names: Vec<_> = TaskState::ALL.iter().map(|state| state.as_str()).collect();
            let detail = format!("`state` is {}, not `{name}`", names.join(", "));
            return Err(Fault::new(Code::BadValue, detail));
        }
    };
    let after = call.query.get("after").map(place).transpose()?;
    let words = call.query.get("q").map(str::to_lowercase);
    let limit = call.query.number("limit").unwrap_or(MAX_LIST);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut tasks = Vec::new();
    let mut next = None;
    for entry in call.app.tasks.all() {
        let at = (entry.record.created_at, entry.id());
        if after.is_some_and(|after| at >= after) {
            continue;
        }
        let task = entry.task();
        let is_wanted = state.is_none_or(|state| task.state == state)
            && call
                .query
                .get("repo")
                .is_none_or(|repo| task.repo.as_deref() == Some(repo))
            && words.as_ref().is_none_or(|words| has(&task, words));
        if !is_wanted {
            continue;
        }
        if tasks.len() == limit {
            next = tasks
                .last()
                .map(|last: &Task| format!("{}_{}", last.created_at.as_millis(), last.id));
            break;
        }
        tasks.push(task);
    }
    Reply::json(&TaskList { tasks, next })
}

/// Reads what `next` of a list gave.
fn place(text: &str) -> Result<(Timestamp, TaskId), Fault> {
    let place = text.split_once('_').and_then(|(millis, id)| {
        let at = Timestamp::from_millis(millis.parse().ok()?);
        Some((at, id.parse().ok()?))
    });
    place.ok_or_else(|| Fault::new(Code::BadValue, "`after` is not a `next` of a list"))
}

/// Whether a task has these words, which are in lower case, in what a list shows of it.
fn has(task: &Task, words: &str) -> bool {
    let branch = task.branch.as_ref().map(|tree| &tree.branch);
    let id = task.id.to_string();
    [Some(&task.prompt), task.repo.as_ref(), branch, Some(&id)]
        .into_iter()
        .flatten()
        .any(|text| text.to_lowercase().contains(words))
}

pub(super) fn of(call: &Call) -> Result<Arc<Entry>, Fault> {
    call.app.tasks.get(call.part("id"))
}

pub(super) async fn get(call: Call) -> Result<Reply, Fault> {
    let entry = of(&call)?;
    Reply::json(&whole(&call, &entry).await?)
}

/// A task with all of its prompt, and what its session has used.
async fn whole(call: &Call, entry: &Entry) -> Result<Task, Fault> {
    let mut task = entry.task();
    task.prompt = entry.prompt().await?;
    if let Some(session) = task.session {
        // One that was purged, or is not there yet, has used nothing that is known.
        let meta = call.app.store.get(Program::Claude, session).await.ok();
        task.usage = meta.map(|meta| meta.usage);
    }
    Ok(task)
}

pub(super) async fn cancel(call: Call) -> Result<Reply, Fault> {
    let entry = of(&call)?;
    let who = call.caller()?.who;
    let cancelled = Outcome::Cancelled(who.label().into_owned());
    let (_, is_done) = entry.write(|now| step::after(now, cancelled)).await?;
    if !is_done {
        return Err(ended(&entry));
    }
    tracing::info!(task = %entry.id(), caller = %who, "a task was cancelled");
    drive::begin(&call.app, &entry);
    Reply::json(&entry.task())
}

pub(super) async fn retry(call: Call) -> Result<Reply, Fault> {
    let entry = of(&call)?;
    let who = call.caller()?.who;
    // What had a schedule is submitted anew.
    if entry.state() == TaskState::Completed || entry.record.request.schedule.is_some() {
        return Err(ended(&entry));
    }
    let retried = Outcome::Retried(who.label().into_owned());
    let (_, is_done) = entry.write(|now| step::after(now, retried)).await?;
    if !is_done {
        let detail = "it has not ended; there is nothing to retry";
        return Err(Fault::new(Code::TaskRunning, detail));
    }
    call.app.notices.changed();
    tracing::info!(task = %entry.id(), caller = %who, "a task is tried again");
    store::turn(&call.app).await;
    Reply::json(&entry.task())
}

fn ended(entry: &Entry) -> Fault {
    let detail = format!("the task is {}", entry.state().as_str());
    Fault::new(Code::TaskEnded, detail)
}

pub(super) async fn message(call: Call) -> Result<Reply, Fault> {
    let entry = of(&call)?;
    let MessageTask { text } = call.json()?;
    if text.trim().is_empty() || text.len() > MAX_MESSAGE || text.contains('\0') {
        let detail = format!("`text` has 1 to {MAX_MESSAGE} bytes, and no NUL byte");
        return Err(Fault::new(Code::BadValue, detail));
    }
    let progress = entry.progress();
    if progress.state.is_ended() || progress.state.is_ending() {
        return Err(ended(&entry));
    }
    if progress.untold.len() >= MAX_UNTOLD {
        let detail = format!("{MAX_UNTOLD} messages wait already");
        return Err(Fault::new(Code::TooManyTasks, detail));
    }
    // What is said to who asks which repository is meant says that.
    if progress.state == TaskState::NeedsInput
        && origin::answered(&call.app, &progress, &text).is_ok()
    {
        return answer(&call, &entry, &text).await;
    }
    let who = call.caller()?.who;
    // A session that cannot hear it now is told when it can.
    let told = match progress.session {
        Some(session) if progress.untold.is_empty() => {
            let request = KeeperRequest::Input {
                text: text.clone(),
                id: None,
                command: false,
                images: Vec::new(),
            };
            let runtime = call.app.store.runtime();
            keeper::tell(runtime, session.session, &who, &request)
                .await
                .is_ok()
        }
        _ => false,
    };
    let said = Outcome::Said(TaskMessage {
        text,
        by: who.label().into_owned(),
        told,
    });
    entry.write(|now| step::after(now, said)).await?;
    Reply::json(&entry.task())
}

pub(super) async fn choose(call: Call) -> Result<Reply, Fault> {
    let entry = of(&call)?;
    let ChooseRepository { repo } = call.json()?;
    answer(&call, &entry, &repo).await
}

/// Goes on with the repository that somebody has said is meant.
async fn answer(call: &Call, entry: &Arc<Entry>, repo: &str) -> Result<Reply, Fault> {
    let progress = entry.progress();
    let nothing = || {
        let detail = "the task does not wait to be told which repository is meant";
        Fault::new(Code::NothingAsked, detail)
    };
    if progress.state != TaskState::NeedsInput {
        return Err(nothing());
    }
    let repository = origin::answered(&call.app, &progress, repo)
        .map_err(|why| Fault::new(Code::BadValue, format!("`repo`: {why}")))?;
    let who = call.caller()?.who;
    let answered = Outcome::Answered(repository, who.label().into_owned());
    let (_, is_done) = entry.write(|now| step::after(now, answered)).await?;
    if !is_done {
        return Err(nothing());
    }
    store::turn(&call.app).await;
    Reply::json(&entry.task())
}

/// The tools of a session that looks for a repository. Who has no key of one learns nothing, not even
/// which tasks there are.
pub(super) async fn find(call: Call) -> Result<Reply, Fault> {
    let refused = || Fault::new(Code::Unauthorized, "this needs the key of such a session");
    let entry = of(&call).map_err(|_| refused())?;
    let key = credential::token(&call.headers).ok_or_else(refused)?;
    if !seek::opens(&entry, key).await {
        return Err(refused());
    }
    let choosing = Choosing {
        app: Arc::clone(&call.app),
        entry,
    };
    Ok(mcp::answer(Arc::new(choosing), &call.headers, &call.body).await)
}

pub(super) async fn ready(call: Call) -> Result<Reply, Fault> {
    let entry = of(&call)?;
    match pull::ready(&call.app, &entry).await {
        Ok(Some(_)) => Reply::json(&entry.task()),
        Ok(None) => {
            let detail = "the task has no pull request";
            Err(Fault::new(Code::NoPullRequest, detail))
        }
        Err(trouble) => Err(Fault::new(Code::ForgeFailed, trouble.detail)),
    }
}

pub(super) async fn remove(call: Call) -> Result<Reply, Fault> {
    let entry = of(&call)?;
    let with_tree = call.query.get("tree") == Some("true");
    clean::remove(&call.app, &entry, with_tree).await?;
    tracing::info!(task = %entry.id(), caller = %call.caller()?.who, "a task was removed");
    Ok(Reply::Nothing)
}

pub(super) async fn events(call: Call) -> Result<Reply, Fault> {
    let entry = of(&call)?;
    let start = streams::start(&call, None)?;
    let cursor = log::cursor(&call.app, &entry, start, streams::kinds(&call)).await?;
    let follow = Follow::new(&call.app, entry.id().journal(), cursor, call.caller()?);
    let gauge = call.app.metrics.streaming(Transport::Sse);
    Ok(Reply::Chunks {
        media: "text/event-stream",
        chunks: Box::pin(sse::body(follow, gauge, usize::MAX)),
    })
}

pub(super) async fn logs(call: Call) -> Result<Reply, Fault> {
    let follows = call.query.get("follow") != Some("0");
    let log = Log::open(&call.app, of(&call)?, call.caller()?, follows).await?;
    Ok(Reply::Chunks {
        media: "text/plain; charset=utf-8",
        chunks: Box::pin(log.text()),
    })
}

pub(super) fn queue(call: &Call) -> Result<Reply, Fault> {
    Reply::json(&call.app.tasks.queue())
}

pub(super) async fn set_queue(call: Call) -> Result<Reply, Fault> {
    let queue: TaskQueue = call.json()?;
    call.app.tasks.set_queue(queue).await?;
    tracing::info!(?queue, caller = %call.caller()?.who, "the queue of tasks was changed");
    store::turn(&call.app).await;
    Reply::json(&call.app.tasks.queue())
}
