//! The sessions and shells on the disk, as their journals have them.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cib_journal::fold::spent::Spent;
use cib_protocol::session::{Program, SessionId, SessionMeta, State};
use cib_protocol::time::Timestamp;

use super::index::{Index, Pass, View};
use super::keeper;
use crate::fault::{Code, Fault};
use crate::work;

/// Why a state is corrected to `interrupted`.
const KEEPER_GONE: &str = "the keeper is gone";

/// How long one session's journal is taken up for one request.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long journals that grew since are taken up for one list.
const PAGE_PATIENCE: Duration = Duration::from_millis(250);

/// How long journals that nobody has looked at yet are taken up for one list.
const LIST_PATIENCE: Duration = Duration::from_secs(2);

/// How often it may be written down what is known of the sessions.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// The directories in which sessions live.
#[derive(Clone, Debug)]
pub struct Store {
    index: Arc<Index>,
    runtime: PathBuf,
}

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// The sessions, the newest first.
    pub sessions: Vec<SessionMeta>,
    /// Where the next part begins; `None` behind the last.
    pub next: Option<String>,
    /// Whether sessions are missing because they were not looked at yet.
    pub is_incomplete: bool,
}

/// A place in a list, which goes from the newest to the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Timestamp, SessionId);

impl Place {
    /// Where a session stands.
    #[must_use]
    pub fn of(meta: &SessionMeta) -> Self {
        Self(meta.created_at, meta.id)
    }

    /// Reads what [`Page::next`] gave.
    ///
    /// # Errors
    /// [`Code::BadValue`] if it is something else.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let place = text.split_once('_').and_then(|(millis, id)| {
            let at = Timestamp::from_millis(millis.parse().ok()?);
            Some(Self(at, id.parse().ok()?))
        });
        place.ok_or_else(|| Fault::new(Code::BadValue, "`after` is not a `next` of a list"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.0.as_millis(), self.1)
    }
}

impl Store {
    /// Sessions under `<data>/sessions`, their sockets under `<runtime>/sessions`.
    #[must_use]
    pub fn new(data: &Path, runtime: &Path) -> Self {
        Self {
            index: Arc::new(Index::new(
                data.join("sessions"),
                data.join("control/sessions.jsonl"),
            )),
            runtime: runtime.to_owned(),
        }
    }

    /// Where the sessions' directories are.
    #[must_use]
    pub fn sessions(&self) -> &Path {
        self.index.sessions()
    }

    /// Where the sockets are.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Takes up every journal, in portions, so that the first list finds them known.
    pub async fn warm(&self) {
        let mut pass = Pass::default();
        loop {
            match self.scan(&mut pass).await {
                Ok(false) => {}
                // Somebody asks meanwhile, and comes first.
                Err(fault) if fault.code() == Code::Busy => tokio::time::sleep(work::TURN).await,
                _ => return,
            }
        }
    }

    /// Writes down from time to time what is known, for the next start, until it is dropped.
    pub async fn keep(&self) {
        loop {
            if self.index.is_due() {
                self.save().await;
            }
            tokio::time::sleep(KEEP_EVERY).await;
        }
    }

    /// Writes down what is known, for the next start.
    pub async fn save(&self) {
        let saved = self.portion(|store, _| store.index.save()).await;
        let error: Box<dyn Error + Send + Sync> = match saved {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.into(),
            Err(fault) => fault.detail().into(),
        };
        let path = self.index.cache().display();
        tracing::warn!(%path, error, "what is known of the sessions is not kept");
    }

    /// Everything that runs or ran this program, the newest first. What is damaged is in it
    /// and says so.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub async fn list(&self, program: Program) -> Result<Vec<SessionMeta>, Fault> {
        let page = self.page(program, None, usize::MAX).await?;
        Ok(page.sessions)
    }

    /// A part of that list: at most `limit` behind a place.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub async fn page(
        &self,
        program: Program,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let is_complete = self.known().await?;
        self.portion(move |store, _| store.page_now(program, after, limit, is_complete))
            .await
    }

    /// Every session of a kind that is known, as it was seen last, the newest first, and whether
    /// none is missing. No journal is opened for it but those that nobody has looked at yet.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub async fn all(&self, program: Program) -> Result<(Vec<Arc<SessionMeta>>, bool), Fault> {
        let is_complete = self.known().await?;
        let all = self.portion(move |store, _| {
            let mut all = store.index.snapshot();
            all.retain(|meta| meta.program == program);
            all.sort_unstable_by_key(|meta| std::cmp::Reverse(Place::of(meta)));
            all
        });
        Ok((all.await?, is_complete))
    }

    /// What every session of a kind used, and whether none is missing. It costs a look at each
    /// session's files, and of a journal what is new in it.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub async fn spent(
        &self,
        program: Program,
    ) -> Result<(Vec<(Arc<SessionMeta>, Arc<Spent>)>, bool), Fault> {
        let is_complete = self.known().await?;
        let spent = self.portion(move |store, _| {
            let by = Instant::now() + PAGE_PATIENCE;
            for meta in store.index.snapshot() {
                let _ = store.index.look(meta.id, by);
            }
            let mut spent = store.index.spent();
            spent.retain(|(meta, _)| meta.program == program);
            spent
        });
        Ok((spent.await?, is_complete))
    }

    /// Takes up the sessions that were not looked at yet, for as long as a list does; whether all
    /// are known then.
    async fn known(&self) -> Result<bool, Fault> {
        let deadline = Instant::now() + LIST_PATIENCE;
        let mut pass = Pass::default();
        loop {
            let is_complete = self.scan(&mut pass).await?;
            if is_complete || Instant::now() >= deadline {
                return Ok(is_complete);
            }
        }
    }

    /// A portion of a pass over all sessions; whether it is over.
    async fn scan(&self, pass: &mut Pass) -> Result<bool, Fault> {
        let mut begun = *pass;
        let scanned = self.portion(move |store, by| (store.index.scan(&mut begun, by), begun));
        let (scanned, begun) = scanned.await?;
        *pass = begun;
        scanned.map_err(Fault::internal)
    }

    fn page_now(
        &self,
        program: Program,
        after: Option<Place>,
        limit: usize,
        is_complete: bool,
    ) -> Page {
        let by = Instant::now() + PAGE_PATIENCE;
        let mut known = self.index.snapshot();
        known.retain(|meta| meta.program == program);
        known.sort_unstable_by_key(|meta| std::cmp::Reverse(Place::of(meta)));
        let begin = after.map_or(0, |after| {
            known.partition_point(|meta| Place::of(meta) >= after)
        });
        known.drain(..begin);
        let next = (known.len() > limit).then(|| Place::of(&known[limit - 1]).to_string());
        known.truncate(limit);
        let sessions = known
            .into_iter()
            .filter_map(|meta| match self.show(meta.id, by) {
                View::Known(meta) => Some(meta),
                View::Nothing => None,
                // As it was seen last.
                View::Unfinished => Some(meta),
            })
            .map(Arc::unwrap_or_clone)
            .collect();
        Page {
            sessions,
            next,
            is_incomplete: !is_complete,
        }
    }

    /// One session, or one shell.
    ///
    /// # Errors
    /// [`Code::NoSuchSession`] or [`Code::NoSuchShell`] if there is none of that id,
    /// [`Code::JournalUnreadable`] if its journal cannot be used.
    pub async fn get(&self, program: Program, id: SessionId) -> Result<SessionMeta, Fault> {
        match self.find(program, id).await {
            Ok(meta) if meta.last_seq == 0 && meta.damage.is_some() => {
                Err(unreadable(meta.damage.as_deref().unwrap_or_default()))
            }
            found => found,
        }
    }

    /// As [`Store::get`], also if its journal cannot be used: such a one is as the list has it,
    /// among the sessions.
    ///
    /// # Errors
    /// As [`Store::get`], but for the last.
    pub async fn find(&self, program: Program, id: SessionId) -> Result<SessionMeta, Fault> {
        let deadline = Instant::now() + PATIENCE;
        let view = loop {
            match self.portion(move |store, by| store.show(id, by)).await? {
                View::Unfinished if Instant::now() < deadline => {}
                view => break view,
            }
        };
        match view {
            View::Known(meta) if meta.program == program => Ok(Arc::unwrap_or_clone(meta)),
            View::Known(_) | View::Nothing => Err(nothing_of(program, id)),
            View::Unfinished => Err(unfinished()),
        }
    }

    /// What is to be seen of a session or a shell, as far as a portion of work goes.
    ///
    /// # Errors
    /// [`Code::Busy`] if its turn does not come.
    pub async fn view(&self, id: SessionId) -> Result<View, Fault> {
        self.portion(move |store, by| store.show(id, by)).await
    }

    /// Whether there is a session, or a shell, of that id.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn check(&self, program: Program, id: SessionId) -> Result<(), Fault> {
        self.get(program, id).await.map(|_| ())
    }

    /// Whether the journal of that id may be read as a session's, or a shell's. One that is
    /// just starting may be either.
    ///
    /// # Errors
    /// As [`Store::get`], if it is something else.
    pub async fn admit(&self, program: Program, id: SessionId) -> Result<(), Fault> {
        let found = self.blocking(move |store| store.index.program(id)).await?;
        match found {
            Ok(Some(found)) if found != program => Err(nothing_of(program, id)),
            Ok(_) => Ok(()),
            Err(why) => Err(unreadable(&why)),
        }
    }

    /// Whether sessions can be read at all.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        fs::read_dir(self.sessions()).is_ok()
    }

    /// Does something that reads files, where it holds nobody up.
    ///
    /// # Errors
    /// [`Code::Busy`] if its turn does not come.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let store = self.clone();
        let work = work::run(move || Ok::<_, Infallible>(work(&store)));
        work::in_time(work).await
    }

    /// Does a portion of something that reads long journals.
    ///
    /// # Errors
    /// [`Code::Busy`] if its turn does not come.
    async fn portion<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, Instant) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let store = self.clone();
        work::portion(move |by| work(&store, by)).await
    }

    /// What the journal says, corrected by what can be seen: a keeper that was killed cannot
    /// say so itself.
    fn show(&self, id: SessionId, by: Instant) -> View {
        let view = self.index.look(id, by);
        let is_live = |view: &View| matches!(view, View::Known(meta) if meta.state.is_live());
        if !is_live(&view) || keeper::is_listening(&keeper::socket(&self.runtime, id)) {
            return view;
        }
        // A keeper that just ended in order wrote how before it stopped listening.
        let mut fresh = self.index.look(id, by);
        if let View::Known(meta) = &mut fresh
            && meta.state.is_live()
        {
            let meta = Arc::make_mut(meta);
            meta.state = State::Interrupted;
            meta.reason = Some(KEEPER_GONE.to_owned());
            meta.claude_pid = None;
        }
        fresh
    }
}

fn unreadable(why: &str) -> Fault {
    Fault::new(Code::JournalUnreadable, why)
}

fn unfinished() -> Fault {
    let detail = "the session's journal is long and not taken up yet; try again later";
    Fault::new(Code::Busy, detail)
}

/// The answer for a session, or a shell, that is not there.
#[must_use]
pub fn nothing_of(program: Program, id: impl fmt::Display) -> Fault {
    match program {
        Program::Claude => Fault::new(Code::NoSuchSession, format!("there is no session {id}")),
        Program::Shell => Fault::new(Code::NoSuchShell, format!("there is no shell {id}")),
    }
}
