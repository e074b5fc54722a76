//! All tasks, and whose turn it is.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use cib_protocol::api::{CreateTask, TaskQueue, TaskQueueState};
use cib_protocol::frame::Data;
use cib_protocol::task::{TaskChange, TaskId, TaskRecord, TaskState};
use cib_protocol::time::Timestamp;
use cib_tasks::queue::{self, Need, Room, Waiting};
use cib_tasks::step::Outcome;
use cib_tasks::{check, patience, step, times};

use super::drive;
use super::entry::{Entry, RECORD, read};
use super::journal::Journal;
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::journal::hub::Hub;
use crate::sessions::create::{check_effort, check_model};
use crate::sessions::seats::{self, Most};
use crate::work;

/// Tasks that are kept at most.
pub const MOST: usize = 2000;

/// Tasks that run at once at most, whatever is asked.
const MOST_RUNNING: u32 = 64;

/// Tasks that run at once if nothing is said, at most.
const RUNNING: usize = 4;

/// The file with what the queue was asked to be.
const QUEUE: &str = "queue.json";

/// The tasks of the box.
#[derive(Debug)]
pub struct Tasks {
    /// Their journals.
    pub hub: Hub,
    /// Pauses before Claude goes on again whose API failed.
    pub pauses: Vec<Duration>,
    /// In which time the repository of a task has to be found.
    pub finding: Duration,
    /// Where the box's API is, for sessions that reach it from inside.
    pub api: OnceLock<SocketAddr>,
    /// Bytes of memory for those that say how many they need.
    pub memory: u64,
    folder: PathBuf,
    entries: Mutex<HashMap<TaskId, Arc<Entry>>>,
    queue: Mutex<TaskQueue>,
    /// Held while one is made, so that of two with one key one is.
    making: tokio::sync::Mutex<()>,
    /// Held while turns are given, so that nobody gets two.
    turning: tokio::sync::Mutex<()>,
}

impl Tasks {
    /// The tasks in a folder, which is made if it is not there. Tasks that cannot be read are no
    /// reason to have no API.
    #[must_use]
    pub fn open(folder: &Path, most: Most) -> Self {
        let running = match most {
            Most::Unlimited => RUNNING,
            Most::Limited(most) => most.clamp(1, RUNNING),
        };
        let unset = TaskQueue {
            max_running: u32::try_from(running).unwrap_or(1),
            paused: false,
        };
        let queue = cib_foreign::own::read(folder.join(QUEUE)).ok();
        let queue = queue.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        let entries = builder.create(folder).and_then(|()| load(folder));
        let entries = entries.unwrap_or_else(|error| {
            tracing::error!(folder = %folder.display(), %error, "there are no tasks");
            HashMap::new()
        });
        Self {
            hub: Hub::named(folder, |journal| TaskId::of_journal(journal).to_string()),
            pauses: patience::PAUSES.map(Duration::from_secs).to_vec(),
            finding: times::FINDING,
            api: OnceLock::new(),
            memory: seats::memory().unwrap_or(u64::MAX),
            folder: folder.to_owned(),
            entries: Mutex::new(entries),
            queue: Mutex::new(queue.unwrap_or(unset)),
            making: tokio::sync::Mutex::default(),
            turning: tokio::sync::Mutex::default(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Code::NoSuchTask`] if there is none of that name.
    pub fn get(&self, id: &str) -> Result<Arc<Entry>, Fault> {
        let found = id
            .parse()
            .ok()
            .and_then(|id: TaskId| self.entries().get(&id).cloned());
        found.ok_or_else(|| Fault::new(Code::NoSuchTask, format!("there is no task {id:?}")))
    }

    /// All of them, the newest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.entries().values().cloned().collect();
        all.sort_by_key(|entry| std::cmp::Reverse((entry.record.created_at, entry.id())));
        all
    }

    /// Makes a task, unless one with the same key has not ended: then that one, and `false`. It is on
    /// the disk when this is answered.
    ///
    /// # Errors
    /// [`Code::BadValue`], with the field; [`Code::TooManyTasks`].
    pub async fn create(
        &self,
        request: CreateTask,
        by: String,
    ) -> Result<(Arc<Entry>, bool), Fault> {
        check::check(&request).map_err(|why| Fault::new(Code::BadValue, why))?;
        request.model.as_deref().map_or(Ok(()), check_model)?;
        request.effort.as_deref().map_or(Ok(()), check_effort)?;
        let _making = self.making.lock().await;
        if let Some(key) = &request.dedupe_key {
            let is_it = |entry: &&Arc<Entry>| {
                entry.record.request.dedupe_key.as_ref() == Some(key) && !entry.state().is_ended()
            };
            if let Some(known) = self.entries().values().find(is_it) {
                return Ok((Arc::clone(known), false));
            }
        }
        if self.entries().len() >= MOST {
            let detail = format!("the box keeps {MOST} tasks; remove some that have ended");
            return Err(Fault::new(Code::TooManyTasks, detail));
        }
        let record = TaskRecord {
            id: self.free_id()?,
            created_at: Timestamp::now(),
            by: by.clone(),
            request,
        };
        let folder = self.folder.join(record.id.to_string());
        let state = match record.request.schedule {
            Some(_) => TaskState::Scheduled,
            None => TaskState::Queued,
        };
        let change = TaskChange {
            state,
            by: Some(by),
            ..TaskChange::default()
        };
        let entry = work::run(move || keep(folder, record, change)).await?;
        let entry = Arc::new(entry);
        self.entries().insert(entry.id(), Arc::clone(&entry));
        Ok((entry, true))
    }

    fn free_id(&self) -> Result<TaskId, Fault> {
        loop {
            let id = TaskId(getrandom::u32().map_err(|error| Fault::internal(error.to_string()))?);
            if !self.entries().contains_key(&id) {
                return Ok(id);
            }
        }
    }

    /// Forgets a task that has ended, with its journal.
    ///
    /// # Errors
    /// [`Code::TaskRunning`] if it has not.
    pub async fn remove(&self, entry: &Entry) -> Result<(), Fault> {
        let _making = self.making.lock().await;
        if !entry.state().is_ended() {
            let detail = "it has not ended; cancel it first";
            return Err(Fault::new(Code::TaskRunning, detail));
        }
        self.entries().remove(&entry.id());
        let folder = entry.folder().to_owned();
        work::run(move || fs::remove_dir_all(folder)).await
    }

    /// The queue as it is.
    #[must_use]
    pub fn queue(&self) -> TaskQueueState {
        let TaskQueue {
            max_running,
            paused,
        } = self.asked();
        let states: Vec<_> = self.entries().values().map(|entry| entry.state()).collect();
        let count =
            |is: fn(TaskState) -> bool| states.iter().filter(|state| is(**state)).count() as u64;
        TaskQueueState {
            max_running,
            paused,
            queued: count(|state| state == TaskState::Queued),
            running: count(TaskState::is_running),
        }
    }

    /// How long the others wait with one that waits for Claude's API, at most: as long as one waits
    /// that does not know until when.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.pauses.iter().max().copied().unwrap_or_default()
    }

    fn asked(&self) -> TaskQueue {
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_paused(&self) -> bool {
        self.asked().paused
    }

    fn room(&self) -> Room {
        Room {
            most: usize::try_from(self.asked().max_running).unwrap_or(1),
            memory: self.memory,
        }
    }

    /// Asks the queue to be like this from now on.
    ///
    /// # Errors
    /// [`Code::BadValue`] if it cannot be.
    pub async fn set_queue(&self, queue: TaskQueue) -> Result<(), Fault> {
        if !(1..=MOST_RUNNING).contains(&queue.max_running) {
            let detail = format!("`max_running` is between 1 and {MOST_RUNNING}");
            return Err(Fault::new(Code::BadValue, detail));
        }
        let path = self.folder.join(QUEUE);
        work::run(move || {
            let text = serde_json::to_vec(&queue)?;
            cib_base::files::replace(&path, &text)
        })
        .await?;
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = queue;
        Ok(())
    }
}

/// Gives their turns to those that wait, as far as there is room.
pub async fn turn(app: &Arc<App>) {
    let tasks = &app.tasks;
    let _turning = tasks.turning.lock().await;
    let all = tasks.all();
    let (hold, now) = (tasks.hold(), Timestamp::now());
    let standing: Vec<_> = all.iter().map(|entry| entry.standing()).collect();
    let allowed = queue::allowed(&standing, hold, now);
    let mut room = tasks.room();
    if tasks.is_paused() || allowed == 0 {
        return;
    }
    let mut running = Vec::new();
    for (entry, standing) in all.iter().zip(&standing) {
        if standing.rests(hold, now) {
            // Nobody else has its branch, but its place and its memory.
            room.most += 1;
            running.push(Need {
                memory: 0,
                ..entry.need()
            });
        } else if standing.state.is_running() {
            running.push(entry.need());
        }
    }
    let waiting: Vec<_> = all
        .iter()
        .filter(|entry| entry.state() == TaskState::Queued)
        .map(|entry| waiting(entry))
        .collect();
    let turns = queue::turns(&waiting, &running, room);
    for id in turns.into_iter().take(allowed) {
        let Some(entry) = all.iter().find(|entry| entry.id() == id) else {
            continue;
        };
        let begun = entry.write(|now| step::after(now, Outcome::Begun)).await;
        match begun {
            Ok(_) => drive::begin(app, entry),
            // Its turn comes again when another task ends, or control is started again.
            Err(fault) => fault.log("tasks"),
        }
    }
}

/// Gives a task its place again that waited for Claude's API, if there is room for it.
pub async fn returns(app: &App, entry: &Entry) -> bool {
    let tasks = &app.tasks;
    let _turning = tasks.turning.lock().await;
    let all = tasks.all();
    let others = all.iter().filter(|other| other.id() != entry.id());
    let there: Vec<_> = others
        .filter(|other| other.standing().is_there())
        .map(|other| other.need())
        .collect();
    let has_room = !queue::turns(&[waiting(entry)], &there, tasks.room()).is_empty();
    if has_room {
        entry.returns.store(true, Ordering::SeqCst);
    }
    has_room
}

fn waiting(entry: &Entry) -> Waiting {
    Waiting {
        id: entry.id(),
        priority: entry.record.request.priority,
        created_at: entry.record.created_at,
        need: entry.need(),
    }
}

/// Goes on with the tasks that an earlier control left on their way, and gives turns.
pub async fn revive(app: &Arc<App>) {
    for entry in app.tasks.all() {
        let progress = entry.progress();
        let is_waiting = matches!(
            progress.state,
            TaskState::Queued | TaskState::Scheduled | TaskState::NeedsInput
        );
        if is_waiting || progress.is_closed {
            continue;
        }
        if let Err(fault) = entry.write(step::revived).await {
            fault.log("tasks");
        }
        tracing::info!(task = %entry.id(), state = progress.state.as_str(), "goes on");
        drive::begin(app, &entry);
    }
    turn(app).await;
}

/// Puts a new task on the disk. Its record comes last: without one there is no task.
fn keep(folder: PathBuf, record: TaskRecord, begins: TaskChange) -> io::Result<Entry> {
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let (mut journal, _) = Journal::open(&folder, record.id)?;
    journal.append(record.created_at, vec![Data::TaskState(begins)])?;
    let text = serde_json::to_vec(&record)?;
    cib_base::files::replace(&folder.join(RECORD), &text)?;
    if let Some(parent) = folder.parent() {
        cib_foreign::own::open(parent)?.sync_all()?;
    }
    Entry::open(folder, record)
}

/// Every task in a folder. What has no record was never answered, and goes.
fn load(folder: &Path) -> io::Result<HashMap<TaskId, Arc<Entry>>> {
    let mut entries = HashMap::new();
    for found in fs::read_dir(folder)? {
        let path = found?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| name.parse::<TaskId>().ok()) else {
            continue;
        };
        if !path.join(RECORD).exists() {
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!(task = %id, %error, "half a task stays");
            }
            continue;
        }
        let opened = read(&path.join(RECORD))
            .and_then(|record| Entry::open(path.clone(), record).map_err(Into::into));
        match opened {
            Ok(entry) if entry.id() == id => drop(entries.insert(id, Arc::new(entry))),
            Ok(_) => tracing::error!(task = %id, "its record is another task's"),
            Err(error) => tracing::error!(task = %id, %error, "cannot be read"),
        }
    }
    Ok(entries)
}
