//! Looking for words in what sessions are called and in what was said in them.
//!
//! What they are called stands in the index, so that costs nothing but memory that is there. What
//! was said stands in journals, which are read for it one after the other, the newest session
//! first, until the time of one answer is up; the next question goes on behind the last session
//! that was looked through. Nothing is kept of it in between.

mod journal;
pub mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cib_protocol::api::{SearchHit, SearchPlace, SearchResult};
use cib_protocol::session::{Program, SessionMeta};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::fault::Fault;
use crate::sessions::store::Place;
use crate::work;
use journal::Looking;
use words::Words;

/// How long journals are read for one answer. The one at hand is looked through to its end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Questions for which journals are read at once; the others wait for their turn.
static READING: Semaphore = Semaphore::const_new(1);

/// What is asked for.
#[derive(Debug)]
pub struct Question {
    /// What is looked for.
    pub words: Words,
    /// Whether journals are read, and not only what the index has.
    pub is_deep: bool,
    /// Behind which session to go on.
    pub after: Option<Place>,
    /// Sessions that are told at most.
    pub limit: usize,
}

/// Looks.
///
/// # Errors
/// If the sessions cannot be read, or nobody has time for it.
pub async fn search(app: &App, question: Question) -> Result<SearchResult, Fault> {
    let (mut sessions, is_complete) = app.store.all(Program::Claude).await?;
    if let Some(after) = question.after {
        let begin = sessions.partition_point(|meta| Place::of(meta) >= after);
        sessions.drain(..begin);
    }
    let turn = match question.is_deep {
        true => {
            Some(work::in_time(async { READING.acquire().await.map_err(Fault::internal) }).await?)
        }
        false => None,
    };
    let deadline = Instant::now() + PATIENCE;
    let words = Arc::new(question.words);
    let mut hits = Vec::new();
    let mut next = None;
    let mut left = sessions.iter().peekable();
    while let Some(meta) = left.next() {
        let is_name = is_named(&words, meta);
        let places = match question.is_deep {
            true => look_through(app, meta, &words).await?,
            false => Vec::new(),
        };
        if is_name || !places.is_empty() {
            hits.push(hit(meta, is_name, places));
        }
        let is_over =
            hits.len() >= question.limit || question.is_deep && Instant::now() >= deadline;
        if is_over && left.peek().is_some() {
            next = Some(Place::of(meta).to_string());
            break;
        }
    }
    drop(turn);
    Ok(SearchResult {
        hits,
        next,
        incomplete: !is_complete,
    })
}

/// Reads a session's journal for words, in portions.
async fn look_through(
    app: &App,
    meta: &SessionMeta,
    words: &Arc<Words>,
) -> Result<Vec<SearchPlace>, Fault> {
    let (sessions, id) = (app.store.sessions().to_owned(), meta.id);
    let mut looking = work::portion(move |_| Looking::open(&sessions, id)).await?;
    loop {
        let words = Arc::clone(words);
        let (read, is_over) = work::portion(move |by| {
            let is_over = looking.read(&words, by);
            (looking, is_over)
        })
        .await?;
        if is_over {
            return Ok(read.found());
        }
        looking = read;
    }
}

/// Whether the words are in what a session is called: its title, where it works, and its id.
fn is_named(words: &Words, meta: &SessionMeta) -> bool {
    let title = meta.title.as_deref().unwrap_or_default();
    let text = format!("{title} {} {}", meta.workdir.display(), meta.id);
    words.find(&text).is_some()
}

fn hit(meta: &SessionMeta, name: bool, places: Vec<SearchPlace>) -> SearchHit {
    SearchHit {
        session: meta.id,
        title: meta.title.clone(),
        workdir: meta.workdir.clone(),
        state: meta.state,
        active_at: meta.active_at.unwrap_or(meta.created_at),
        name,
        places,
    }
}
