//! One task: what was asked, and how far it is.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cib_protocol::api::Task;
use cib_protocol::frame::Data;
use cib_protocol::task::{TaskId, TaskRecord, TaskState, plain};
use cib_protocol::time::Timestamp;
use cib_tasks::fold::Progress;
use cib_tasks::queue::{Need, Standing};
use tokio::sync::watch;

use super::journal::Journal;
use super::schedule;
use crate::fault::Fault;
use crate::work;

/// The file with what was asked.
pub const RECORD: &str = "task.json";

/// Characters of a prompt that are held, and shown in a list.
const HEAD: usize = 500;

/// One task.
#[derive(Debug)]
pub struct Entry {
    /// What was asked, with the beginning of the prompt alone.
    pub record: TaskRecord,
    /// Whether somebody takes it from step to step.
    pub driven: AtomicBool,
    /// Held while its session is being started, which goes on whatever becomes of the task.
    pub starting: Arc<tokio::sync::Mutex<()>>,
    /// Whether a wait for Claude's API is over, and it has its place again.
    pub returns: AtomicBool,
    folder: PathBuf,
    progress: Mutex<Progress>,
    /// Held while something is written down, so that it fits to what is there.
    writing: tokio::sync::Mutex<()>,
    journal: Arc<Mutex<Journal>>,
    state: watch::Sender<TaskState>,
}

impl Entry {
    /// A task whose folder is there, with what its journal says.
    ///
    /// # Errors
    /// If the journal cannot be opened.
    pub fn open(folder: PathBuf, mut record: TaskRecord) -> io::Result<Self> {
        record.request.prompt = plain(&record.request.prompt, HEAD);
        let (journal, written) = Journal::open(&folder, record.id)?;
        let mut progress = Progress::default();
        for (seq, ts, data) in &written {
            progress.apply(*seq, *ts, data);
        }
        Ok(Self {
            driven: AtomicBool::new(false),
            starting: Arc::default(),
            returns: AtomicBool::new(false),
            state: watch::Sender::new(progress.state),
            progress: Mutex::new(progress),
            writing: tokio::sync::Mutex::default(),
            journal: Arc::new(Mutex::new(journal)),
            record,
            folder,
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.record.id
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.held().clone()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> TaskState {
        self.held().state
    }

    /// Tells where it stands whenever that changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<TaskState> {
        self.state.subscribe()
    }

    fn held(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what `frames` makes of how far it is, and says how far it is then. Nothing is
    /// written if there is nothing to say.
    ///
    /// # Errors
    /// If the disk does not take it; then nothing has happened.
    pub async fn write(
        &self,
        frames: impl FnOnce(&Progress) -> Vec<Data>,
    ) -> Result<(Progress, bool), Fault> {
        let _writing = self.writing.lock().await;
        let frames = frames(&self.held());
        if frames.is_empty() {
            return Ok((self.progress(), false));
        }
        let journal = Arc::clone(&self.journal);
        let written = work::run(move || {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.append(Timestamp::now(), frames)
        })
        .await?;
        let progress = {
            let mut progress = self.held();
            for (seq, ts, data) in &written {
                progress.apply(*seq, *ts, data);
            }
            progress.clone()
        };
        self.state.send_replace(progress.state);
        tracing::debug!(task = %self.id(), state = progress.state.as_str(), "went on");
        Ok((progress, true))
    }

    /// Whether somebody takes it from step to step.
    #[must_use]
    pub fn is_driven(&self) -> bool {
        self.driven.load(Ordering::SeqCst)
    }

    /// Where it stands, as far as that concerns the others.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let progress = self.held();
        Standing {
            state: progress.state,
            since: progress.since,
            until: progress.until,
            returns: self.returns.load(Ordering::SeqCst),
            started_at: progress.started_at,
        }
    }

    /// The whole prompt.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub async fn prompt(&self) -> Result<String, Fault> {
        let path = self.folder.join(RECORD);
        let record = work::run(move || read(&path)).await?;
        Ok(record.request.prompt)
    }

    /// The branch that it works on, or will.
    #[must_use]
    pub fn branch(&self) -> String {
        let named = self.record.request.branch.clone();
        named.unwrap_or_else(|| format!("claude/{}", self.id()))
    }

    /// What it has to have: for itself a branch that was named, and memory if it says how much.
    #[must_use]
    pub fn need(&self) -> Need {
        let request = &self.record.request;
        let claim = |branch| (request.repo.clone().unwrap_or_default(), branch);
        let limits = request.limits.as_ref();
        Need {
            claim: request.branch.clone().map(claim),
            memory: limits.and_then(|limits| limits.memory).unwrap_or(0),
        }
    }

    /// What it is, as it is shown.
    #[must_use]
    pub fn task(&self) -> Task {
        let (record, progress) = (&self.record, self.progress());
        let found = progress.repository.map(|repository| repository.source);
        Task {
            id: record.id,
            state: progress.state,
            reason: progress.reason,
            until: progress.until,
            prompt: record.request.prompt.clone(),
            repo: found.or_else(|| record.request.repo.clone()),
            branch: progress.branch,
            finder: progress.finder.map(|finder| finder.session),
            session: progress.session.map(|session| session.session),
            usage: None,
            commits: progress.commits,
            head: progress.head,
            push: progress.push,
            pr: progress.pr,
            candidates: match progress.state {
                TaskState::NeedsInput => progress.candidates,
                _ => Vec::new(),
            },
            result: progress.result,
            error: progress.error,
            attempt: progress.retries + 1,
            priority: record.request.priority,
            dedupe_key: record.request.dedupe_key.clone(),
            schedule: record.request.schedule.clone(),
            next_at: match progress.state {
                TaskState::Scheduled => schedule::next(self, Timestamp::now()),
                _ => None,
            },
            by: record.by.clone(),
            created_at: record.created_at,
            started_at: progress.started_at,
            ended_at: progress.ended_at,
            last_seq: progress.last_seq,
        }
    }
}

/// Reads what was asked.
///
/// # Errors
/// If it cannot be read, or is not what it was.
pub fn read(path: &Path) -> Result<TaskRecord, Box<dyn Error + Send + Sync>> {
    let bytes = cib_foreign::own::read(path)?;
    Ok(serde_json::from_slice(&bytes)?)
}
