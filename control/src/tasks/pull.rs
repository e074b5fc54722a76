//! The pull request of a task: opened as a draft before Claude begins, kept current while it works,
//! and ready at the end if the task asked for that.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cib_forge::body::{self, harmless};
use cib_forge::{Forge, ForgeError, Head, NewPull, Pull, PullChange, PullState, Slug};
use cib_protocol::forge::ForgeKind;
use cib_protocol::frame::{Data, Frame, Todo};
use cib_protocol::session::Program;
use cib_protocol::task::{PrState, TaskError, TaskFault, TaskForge, TaskPr, TaskState, plain};
use cib_tasks::fold::Progress;
use cib_tasks::step::{self, Outcome};
use tokio::time::Instant;

use super::entry::Entry;
use crate::app::App;
use crate::journal::cursor::{Cursor, Kinds, Start};
use crate::publish::bare::Trouble;
use crate::publish::leak::Secrets;
use crate::routes::streams::tail;

/// How often the text of a pull request is changed at most.
pub const OFTEN: Duration = Duration::from_secs(15);

/// Characters of a title.
const MAX_TITLE: usize = 100;

/// Characters of the prompt that a pull request tells.
const MAX_PROMPT: usize = 4000;

/// Todos that it tells.
const MAX_TODOS: usize = 50;

/// Bytes of a session's journal in which its todos are looked for.
const RECENT: u64 = 1024 * 1024;

/// What a pull request is, as a journal has it.
#[must_use]
pub fn told(pull: &Pull) -> TaskPr {
    TaskPr {
        number: pull.number,
        url: pull.url.clone(),
        state: match pull.state {
            PullState::Merged => PrState::Merged,
            PullState::Closed => PrState::Closed,
            PullState::Open if pull.draft => PrState::Draft,
            PullState::Open => PrState::Open,
        },
        problem: None,
    }
}

/// Where the branch of a task is.
fn head(entry: &Entry, forge: &TaskForge, slug: &Slug) -> Result<Head, Trouble> {
    let fork = forge.fork.as_deref().map(str::parse).transpose();
    let fork = fork.map_err(|_| Trouble::new(TaskFault::Unknown, "the fork has no usable name"))?;
    Ok(Head {
        slug: fork.unwrap_or_else(|| slug.clone()),
        branch: entry.branch(),
    })
}

/// What became of a pull request that was to be opened.
#[derive(Debug)]
pub enum Opening {
    /// It is there.
    There(TaskPr),
    /// A person has closed the one that there was.
    Declined(TaskPr),
    /// There can be none now; why.
    None(Option<String>),
}

/// Opens the pull request of a task, or finds the one that there is.
///
/// # Errors
/// What the forge says.
pub async fn open(app: &Arc<App>, entry: &Entry, progress: &Progress) -> Result<Opening, Trouble> {
    let found = progress
        .repository
        .as_ref()
        .and_then(|found| found.forge.as_ref());
    let (Some(repository), Some(tree)) = (found, &progress.branch) else {
        return Ok(Opening::None(None));
    };
    let (forge, slug) = app.publisher.forge(repository)?;
    let Some(base) = tree.base.clone() else {
        let why = "the repository had no commits, so there is nothing to ask for".to_owned();
        return Ok(Opening::None(Some(why)));
    };
    if forge.kind() == ForgeKind::Git {
        return Ok(Opening::None(None));
    }
    let head = head(entry, repository, &slug)?;
    let known = forge.pulls_of(&slug, &head).await?;
    if let Some(open) = known.iter().find(|pull| pull.state == PullState::Open) {
        return Ok(Opening::There(told(open)));
    }
    if let Some(last) = known.first().filter(|pull| pull.state == PullState::Closed) {
        return Ok(Opening::Declined(told(last)));
    }
    let new = NewPull {
        title: title(app, entry).await,
        body: body::keep("", &text(app, entry, progress, progress.state).await),
        head,
        base,
        draft: true,
    };
    match forge.open_pull(&slug, &new).await {
        Ok(opened) => Ok(Opening::There(told(&opened.pull))),
        Err(error @ ForgeError::NoCommits { .. }) => Ok(Opening::None(Some(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

/// Words of others, as they may stand where everybody reads them.
struct Shown(Secrets);

impl Shown {
    fn of(app: &App, entry: &Entry) -> Self {
        let mut secrets = app.publisher.secrets.clone();
        secrets.allowed.clone_from(&entry.record.request.allow);
        Self(secrets)
    }

    /// So many characters of them, which call nobody; none if there is a secret among all of them.
    fn words(&self, words: &str, most: usize) -> String {
        let words = plain(words, usize::MAX);
        match self.0.find(words.as_bytes()) {
            Some(what) => format!("({what} is in these words, so they are left out)"),
            None => harmless(&plain(&words, most)),
        }
    }

    /// The same on one line.
    fn line(&self, words: &str, most: usize) -> String {
        self.words(words, most).replace('\n', " ")
    }
}

/// The task in a line that calls nobody.
async fn title(app: &App, entry: &Entry) -> String {
    if entry.record.request.private_prompt {
        return format!("Task {}", entry.id());
    }
    let prompt = entry.prompt().await.unwrap_or_default();
    let line = prompt.trim().lines().next().unwrap_or_default();
    let line = Shown::of(app, entry).words(line, MAX_TITLE + 1);
    match line {
        line if line.trim().is_empty() => format!("Task {}", entry.id()),
        line if line.chars().count() > MAX_TITLE => {
            let cut: String = line.chars().take(MAX_TITLE - 1).collect();
            format!("{}\u{2026}", cut.trim_end())
        }
        line => line,
    }
}

/// What the box says in the pull request.
async fn text(app: &Arc<App>, entry: &Entry, progress: &Progress, state: TaskState) -> String {
    let request = &entry.record.request;
    let shown = Shown::of(app, entry);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match &app.publisher.public_url {
        Some(url) => write!(text, "[Task `{id}`]({url}/t/{id})", id = entry.id()),
        None => write!(text, "Task `{}`", entry.id()),
    };
    let _ = write!(text, ": **{}**", state.as_str());
    if let Some(reason) = progress.reason.as_ref().filter(|_| !state.is_ended()) {
        let _ = write!(text, ", {}", shown.line(reason, 300));
    }
    text.push_str("\n\n");
    if !request.private_prompt {
        let prompt = entry.prompt().await.unwrap_or_default();
        for line in shown.words(&prompt, MAX_PROMPT).lines() {
            let _ = writeln!(text, "> {line}");
        }
        text.push('\n');
    }
    let is_in_the_way = |error: &&TaskError| error.kind != TaskFault::Cancelled;
    if let Some(error) = progress.error.as_ref().filter(is_in_the_way) {
        let detail = shown.words(&error.detail, 1000);
        let _ = writeln!(
            text,
            "### What is in the way\n\n`{}`: {detail}\n",
            error.kind.as_str()
        );
        let _ = writeln!(text, "{}\n", error.remedy);
    }
    if let Some(refused) = progress
        .push
        .as_ref()
        .and_then(|push| push.refused.as_ref())
    {
        let refused = shown.words(refused, 500);
        let _ = writeln!(text, "### Not everything is published\n\n{refused}\n");
    }
    let pointers = progress.branch.as_ref().map_or(0, |tree| tree.pointers);
    if pointers > 0 {
        let _ = writeln!(
            text,
            "### Large files\n\nOf {pointers} large files (Git LFS) there were only pointers where \
             Claude worked: their contents could not be fetched.\n"
        );
    }
    if let Some(result) = &progress.result {
        let _ = writeln!(text, "### Result\n\n{}\n", shown.words(result, usize::MAX));
    }
    let todos = todos(app, progress).await;
    if !todos.is_empty() {
        text.push_str("### Todo\n\n");
        for todo in todos.iter().take(MAX_TODOS) {
            let done = if todo.status == "completed" { 'x' } else { ' ' };
            let subject = shown.line(&todo.subject, 200);
            let _ = writeln!(text, "- [{done}] {subject}");
        }
        text.push('\n');
    }
    if !progress.recent.is_empty() {
        let _ = writeln!(text, "### Commits ({})\n", progress.commits);
        for commit in &progress.recent {
            let id: String = commit.id.chars().take(8).collect();
            // It may be one that was not published.
            let _ = writeln!(text, "- `{id}` {}", shown.line(&commit.subject, 200));
        }
        text.push('\n');
    }
    if let Some(session) = &progress.session
        && let Ok(meta) = app.store.get(Program::Claude, session.session).await
    {
        let cost = meta.usage.cost_usd;
        let _ = writeln!(text, "{} turns, ${cost:.2}", meta.turns);
    }
    text
}

/// What the session of a task has to do.
async fn todos(app: &Arc<App>, progress: &Progress) -> Vec<Todo> {
    let Some(session) = &progress.session else {
        return Vec::new();
    };
    let mut todos = Vec::new();
    let Ok(Ok(tail)) = tail(app, session.session).await else {
        return todos;
    };
    let kinds = Kinds::parse("todo.update");
    let Ok(mut cursor) = Cursor::open(tail, Start::Recent(RECENT), kinds).await else {
        return todos;
    };
    while let Ok(Some(batch)) = cursor.ready().await {
        for line in batch.lines() {
            if let Ok(frame) = serde_json::from_slice::<Frame>(&line.bytes)
                && let Ok(Some(Data::TodoUpdate(update))) = frame.decode()
            {
                todos = update.items;
            }
        }
        tokio::task::yield_now().await;
    }
    todos
}

/// Keeps the text of a pull request current, from one life of the session to its end.
#[derive(Debug, Default)]
pub struct Keeping {
    said: Option<String>,
    at: Option<Instant>,
}

impl Keeping {
    /// Changes the text if it would say something else, and not too often. Opens the pull request
    /// first, where that could not be done before.
    pub async fn keep(&mut self, app: &Arc<App>, entry: &Entry) {
        if self.at.is_some_and(|at| at.elapsed() < OFTEN) {
            return;
        }
        let progress = entry.progress();
        let is_published = progress
            .push
            .as_ref()
            .is_some_and(|push| push.refused.is_none());
        if progress.pr.is_none() {
            if !is_published {
                return;
            }
            self.at = Some(Instant::now());
            match open(app, entry, &progress).await {
                Ok(Opening::There(pr)) => note(entry, Outcome::Changed(pr)).await,
                Ok(_) => {}
                Err(trouble) => {
                    tracing::info!(task = %entry.id(), detail = trouble.detail, "no pull request");
                }
            }
            return;
        }
        let text = text(app, entry, &progress, progress.state).await;
        if self.said.as_ref() == Some(&text) {
            return;
        }
        self.at = Some(Instant::now());
        match say(app, entry, &progress, &text).await {
            Ok(Some(pr)) if pr.state == PrState::Closed => note(entry, Outcome::Declined(pr)).await,
            Ok(Some(pr)) => {
                self.said = Some(text);
                note(entry, Outcome::Changed(pr)).await;
            }
            Ok(None) => {}
            Err(trouble) => {
                tracing::info!(task = %entry.id(), detail = trouble.detail, "the pull request is as it was");
            }
        }
    }
}

async fn note(entry: &Entry, outcome: Outcome) {
    if let Err(fault) = entry.write(|now| step::after(now, outcome)).await {
        fault.log("tasks");
    }
}

/// A forge, a repository there, and the number of a pull request.
type Place = (Arc<Forge>, Slug, u64);

/// Where the pull request of a task is, if it has one.
fn place(app: &App, progress: &Progress) -> Option<Result<Place, Trouble>> {
    let number = progress.pr.as_ref()?.number;
    let found = progress.repository.as_ref()?.forge.as_ref()?;
    let forge = app.publisher.forge(found);
    Some(forge.map(|(forge, slug)| (forge, slug, number)))
}

/// Says something in a pull request, beside what people say there.
async fn say(
    app: &App,
    entry: &Entry,
    progress: &Progress,
    text: &str,
) -> Result<Option<TaskPr>, Trouble> {
    let Some(place) = place(app, progress) else {
        return Ok(None);
    };
    let (forge, slug, number) = place?;
    let pull = forge.pull(&slug, number).await?;
    let body = body::keep(&pull.body, text);
    if pull.state != PullState::Open || body == pull.body {
        return Ok(Some(told(&pull)));
    }
    tracing::debug!(task = %entry.id(), number, "the pull request is changed");
    let change = PullChange {
        body: Some(body),
        ..PullChange::default()
    };
    Ok(Some(told(
        &forge.change_pull(&slug, number, &change).await?,
    )))
}

/// Says how a task ended, and that its pull request is ready if that was asked for.
///
/// # Errors
/// What the forge says.
pub async fn finish(app: &Arc<App>, entry: &Entry, end: TaskState) -> Result<(), Trouble> {
    let mut progress = entry.progress();
    let is_published = progress
        .push
        .as_ref()
        .is_some_and(|push| push.refused.is_none());
    if progress.pr.is_none()
        && is_published
        && end == TaskState::Completed
        && let Opening::There(pr) = open(app, entry, &progress).await?
    {
        note(entry, Outcome::Changed(pr)).await;
        progress = entry.progress();
    }
    let text = text(app, entry, &progress, end).await;
    let Some(pr) = say(app, entry, &progress, &text).await? else {
        return Ok(());
    };
    let is_wanted = end == TaskState::Completed && !entry.record.request.draft;
    note(entry, Outcome::Changed(pr.clone())).await;
    if is_wanted && pr.state == PrState::Draft {
        ready(app, entry).await?;
    }
    Ok(())
}

/// Says that the pull request of a task is ready for review.
///
/// # Errors
/// What the forge says.
pub async fn ready(app: &App, entry: &Entry) -> Result<Option<TaskPr>, Trouble> {
    let progress = entry.progress();
    let Some(place) = place(app, &progress) else {
        return Ok(None);
    };
    let (forge, slug, number) = place?;
    forge.ready(&slug, number).await?;
    let pr = told(&forge.pull(&slug, number).await?);
    note(entry, Outcome::Changed(pr.clone())).await;
    Ok(Some(pr))
}
