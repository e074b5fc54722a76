//! Looks at sessions and tasks for as long as somebody wants to be told of them, and puts what is news
//! into the outbox.
//!
//! What was told is written down behind what is to be told: control may die between the two, and makes
//! the same deliveries again, which are known by their ids.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cib_protocol::api::{Notice, NoticeEvent};
use cib_protocol::session::{Program, SessionId, SessionMeta};
use cib_protocol::task::{TaskFault, TaskId, TaskState, plain};
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::deliver;
use super::news::{self, Marks, News, TaskMark};
use super::outbox::{Stored, To};
use crate::app::App;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::tasks::entry::Entry;
use crate::tasks::said;
use crate::work;

/// How often tasks are looked at, which wake nobody.
const TICK: Duration = Duration::from_secs(2);

/// How long changes are waited for that come together.
const BREATH: Duration = Duration::from_millis(150);

/// The pause before something is tried again that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Characters of a title.
const MAX_TITLE: usize = 100;

/// Characters of a text.
const MAX_TEXT: usize = 500;

/// How long ago a task may have ended whose end was not told yet, in milliseconds.
const LATE: i64 = 600_000;

/// Notices of one session or task in an hour. Claude can ask as often as it likes.
const MOST_AN_HOUR: u32 = 60;

/// What was told, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    marks: Marks,
    /// Whether nobody wanted to know since then: nothing that happened meanwhile is news.
    #[serde(default)]
    rests: bool,
}

/// Looks whenever somebody wants it, until the box ends.
pub(super) async fn run(app: Arc<App>) {
    let mut shutdown = app.shutdown();
    let mut changes = app.notices.changes();
    loop {
        changes.borrow_and_update();
        if is_wanted(&app) {
            let mut watch = Watch::of(&app);
            tokio::select! {
                () = shutdown.begun() => return,
                () = watch.run() => {}
            }
        }
        tokio::select! {
            () = shutdown.begun() => return,
            // An error means that the application is gone.
            _ = changes.changed() => {}
        }
    }
}

/// Whether somebody wants to be told of anything.
fn is_wanted(app: &App) -> bool {
    let notices = &app.notices;
    notices.channels.all().iter().any(|channel| channel.enabled)
        || !notices.subscriptions.all().is_empty()
        || app.tasks.all().iter().any(|entry| is_awaited(entry))
}

/// Whether a webhook of its own waits for a task: also for one that ended before anybody looked.
fn is_awaited(entry: &Entry) -> bool {
    entry.record.request.webhook.is_some()
        && (!entry.state().is_ended()
            || entry.progress().ended_at.is_some_and(|at| {
                Timestamp::now().as_millis().saturating_sub(at.as_millis()) < LATE
            }))
}

struct Watch<'a> {
    app: &'a Arc<App>,
    path: PathBuf,
    marks: Marks,
    /// Notices in this hour.
    counts: HashMap<String, u32>,
    hour: Instant,
}

impl<'a> Watch<'a> {
    fn of(app: &'a Arc<App>) -> Self {
        Self {
            app,
            path: app.notices.folder.join("told.json"),
            marks: Marks::default(),
            counts: HashMap::new(),
            hour: Instant::now(),
        }
    }

    async fn run(&mut self) {
        let _listening = Feed::listen(self.app);
        let mut told = self.app.feed.changes();
        let mut changes = self.app.notices.changes();
        self.app.feed.ready().await;
        while let Err(fault) = self.begin().await {
            fault.log("notices");
            tokio::time::sleep(PAUSE).await;
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            told.borrow_and_update();
            if let Err(fault) = self.pass().await {
                fault.log("notices");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if !is_wanted(self.app) {
                let rested = self.save(true).await;
                return rested.unwrap_or_else(|fault| fault.log("notices"));
            }
            tokio::select! {
                _ = told.changed() => tokio::time::sleep(BREATH).await,
                _ = changes.changed() => {}
                _ = tick.tick() => {}
            }
        }
    }

    /// Takes up what was told. What happened while nobody wanted to know is no news.
    async fn begin(&mut self) -> Result<(), Fault> {
        let path = self.path.clone();
        let kept = work::run(move || match cib_foreign::own::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice::<Kept>(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        });
        let kept = kept.await?;
        if let Some(kept) = kept {
            self.marks = kept.marks;
            if !kept.rests {
                return Ok(());
            }
        }
        for meta in self.sessions().await? {
            self.marks.sessions.insert(meta.id, news::so_far(&meta));
        }
        for entry in self.app.tasks.all() {
            // Whoever asked for a task with a webhook wanted to know from the beginning.
            if entry.record.request.webhook.is_none() {
                self.marks.tasks.insert(entry.id(), mark(&entry));
            }
        }
        self.save(false).await
    }

    async fn save(&self, rests: bool) -> Result<(), Fault> {
        let kept = Kept {
            marks: self.marks.clone(),
            rests,
        };
        let path = self.path.clone();
        work::run(move || cib_base::files::replace(&path, &serde_json::to_vec(&kept)?)).await
    }

    /// All sessions. The first look at them may take a while.
    async fn sessions(&self) -> Result<Vec<Arc<SessionMeta>>, Fault> {
        loop {
            let (sessions, is_complete) = self.app.store.all(Program::Claude).await?;
            if is_complete {
                return Ok(sessions);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn pass(&mut self) -> Result<(), Fault> {
        if self.hour.elapsed() > Duration::from_secs(3600) {
            self.hour = Instant::now();
            self.counts.clear();
        }
        let sessions = self.sessions().await?;
        let tasks = self.app.tasks.all();
        let workers: HashMap<SessionId, TaskId> = tasks
            .iter()
            .filter(|entry| !entry.state().is_ended())
            .flat_map(|entry| {
                let progress = entry.progress();
                let both = [progress.finder, progress.session];
                both.map(|one| one.map(|session| (session.session, entry.id())))
            })
            .flatten()
            .collect();
        let mut marks = Marks::default();
        let mut notices = Vec::new();
        for entry in &tasks {
            let now = mark(entry);
            let before = self.marks.tasks.get(&entry.id()).copied();
            if news::of_task(before, now) {
                notices.push(of_task(entry, now));
            }
            marks.tasks.insert(entry.id(), now);
        }
        for meta in &sessions {
            let before = self.marks.sessions.get(&meta.id);
            let (now, news) = news::of_session(before.unwrap_or(&news::Mark::default()), meta);
            for one in news {
                let task = workers.get(&meta.id).copied();
                notices.extend(of_session(self.app, meta, &one, task).await?);
            }
            marks.sessions.insert(meta.id, now);
        }
        self.end_links(&sessions).await;
        self.end_subscriptions().await;
        for notice in notices {
            self.tell(notice).await.map_err(Fault::internal)?;
        }
        if marks != self.marks {
            self.marks = marks;
            self.save(false).await?;
        }
        Ok(())
    }

    /// Puts a notice into the outbox, for everybody who wants it.
    async fn tell(&mut self, notice: Notice) -> io::Result<()> {
        let app = self.app;
        let about = match (notice.task, notice.session) {
            (Some(task), _) => task.to_string(),
            (None, session) => session.unwrap_or_default().to_string(),
        };
        let count = self.counts.entry(about.clone()).or_default();
        *count += 1;
        if *count > MOST_AN_HOUR {
            tracing::warn!(
                about,
                "is told no more in this hour: there was too much of it"
            );
            return Ok(());
        }
        let mut to = Vec::new();
        for channel in app.notices.channels.all() {
            if channel.wants(notice.event) {
                to.push(To::Channel(channel.id));
            }
        }
        for one in app.notices.subscriptions.all() {
            let scopes = one.scopes(&app.gate, Timestamp::now());
            let may = scopes.is_some_and(|scopes| scopes.allows(deliver::needed(&notice)));
            if may && one.events.contains(&notice.event) {
                to.push(To::Push(one.id));
            }
        }
        if let Some(task) = notice.task
            && let Ok(entry) = app.tasks.get(&task.to_string())
            && let Some(webhook) = &entry.record.request.webhook
            && webhook
                .events
                .as_ref()
                .is_none_or(|events| events.contains(&notice.event))
        {
            to.push(To::Task);
        }
        for to in to {
            let delivery = Stored::new(notice.clone(), to);
            if !app.notices.outbox.has(&delivery.id) {
                app.notices.outbox.put(delivery).await?;
            }
        }
        Ok(())
    }

    /// Ends the codes of questions that were answered otherwise.
    async fn end_links(&self, sessions: &[Arc<SessionMeta>]) {
        let known: BTreeMap<_, _> = sessions.iter().map(|meta| (meta.id, meta)).collect();
        for id in self.app.notices.answers.sessions() {
            let open: Vec<_> = known.get(&id).map_or(Vec::new(), |meta| {
                let questions = meta.open_questions.iter();
                questions.map(|question| &*question.id).collect()
            });
            if let Err(error) = self.app.notices.answers.revoke(id, &open).await {
                tracing::warn!(%error, "codes of answered questions are not forgotten");
            }
        }
    }

    /// Ends subscriptions whose account, token or sign-in has ended.
    async fn end_subscriptions(&self) {
        let app = self.app;
        let now = Timestamp::now();
        let over = |one: &super::push::subscriptions::Stored| one.scopes(&app.gate, now).is_none();
        if let Err(fault) = app.notices.subscriptions.remove(over).await {
            fault.log("notices");
        }
    }
}

fn mark(entry: &Entry) -> TaskMark {
    TaskMark::of(&entry.progress())
}

fn id(about: &str, what: &str) -> String {
    let digest = Sha256::digest(format!("{about} {what}"));
    cib_base::hex::encode(&digest[..8])
}

/// What is told of a task that has ended, or waits for Claude's API.
fn of_task(entry: &Entry, mark: TaskMark) -> Notice {
    let progress = entry.progress();
    let about = format!("task {}", entry.id());
    let mut notice = Notice {
        id: id(&about, &format!("{} {}", mark.retries, mark.state.as_str())),
        event: NoticeEvent::Limit,
        at: Timestamp::now(),
        task: Some(entry.id()),
        session: progress.session.as_ref().map(|session| session.session),
        title: title(&entry.record.request.prompt),
        text: String::new(),
        until: mark.until,
        question: None,
        options: Vec::new(),
    };
    if let Some(until) = mark.until {
        let reason = progress.reason.as_deref().unwrap_or("Claude's API");
        notice.id = id(&about, &format!("{} until {until}", mark.retries));
        notice.text = plain(&format!("Until {until} it waits for {reason}"), MAX_TEXT);
        return notice;
    }
    let error = progress
        .error
        .as_ref()
        .filter(|_| mark.state == TaskState::Failed);
    let event = match error.map(|error| error.kind) {
        None => NoticeEvent::Finished,
        Some(TaskFault::Timeout | TaskFault::BudgetExhausted | TaskFault::CapacityReached) => {
            NoticeEvent::Limit
        }
        Some(_) => NoticeEvent::Failed,
    };
    let event = match (event, mark.state) {
        (NoticeEvent::Finished, TaskState::Failed) => NoticeEvent::Failed,
        (event, _) => event,
    };
    let text = match error {
        Some(error) => format!("{}: {} {}", error.kind.as_str(), error.detail, error.remedy),
        None => progress.result.unwrap_or_default(),
    };
    Notice {
        event,
        text: plain(&text, MAX_TEXT),
        ..notice
    }
}

/// The first line of a text, as a title.
fn title(text: &str) -> String {
    plain(text.trim().lines().next().unwrap_or_default(), MAX_TITLE)
}

/// What is told of a session, if anything. What its task tells is not told twice.
async fn of_session(
    app: &Arc<App>,
    meta: &SessionMeta,
    news: &News,
    task: Option<TaskId>,
) -> Result<Option<Notice>, Fault> {
    let name = match meta.title.as_deref().map(title) {
        Some(name) if !name.is_empty() => name,
        _ => plain(&meta.workdir.display().to_string(), MAX_TITLE),
    };
    let about = format!("session {}", meta.id);
    let mut notice = Notice {
        id: id(&about, &news.key(meta)),
        event: NoticeEvent::Failed,
        at: Timestamp::now(),
        task,
        session: Some(meta.id),
        title: name,
        text: plain(meta.reason.as_deref().unwrap_or_default(), MAX_TEXT),
        until: None,
        question: None,
        options: Vec::new(),
    };
    match news {
        News::Asks(id) => {
            let mut open = meta.open_questions.iter();
            let Some(question) = open.find(|question| question.id == *id) else {
                return Ok(None);
            };
            notice.event = NoticeEvent::Waiting;
            notice.text = plain(&question.prompt, MAX_TEXT);
            notice.question = Some(id.clone());
            notice.options.clone_from(&question.options);
        }
        _ if task.is_some() => return Ok(None),
        News::Limit => notice.event = NoticeEvent::Limit,
        News::Fails => {}
        News::Ends(_) => {
            let said = said::last(app, meta.id).await?;
            // Whoever interrupts a turn knows that it is over.
            if said
                .stop
                .as_ref()
                .is_some_and(|stop| stop.reason == "interrupted")
            {
                return Ok(None);
            }
            let (event, text) = match said.fault() {
                None => (NoticeEvent::Finished, said.text),
                Some((TaskFault::BudgetExhausted | TaskFault::CapacityReached, detail)) => {
                    (NoticeEvent::Limit, detail)
                }
                Some((_, detail)) => (NoticeEvent::Failed, detail),
            };
            notice.event = event;
            notice.text = plain(&text, MAX_TEXT);
        }
    }
    Ok(Some(notice))
}
