//! A task as text: its journal, and what its session says, as it comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cib_protocol::frame::{Data, Frame, Role};
use cib_protocol::session::SessionId;
use cib_protocol::task::{PrState, StepOutcome, plain};
use cib_protocol::time::Timestamp;
use futures_util::stream::{self, Stream};

use super::entry::Entry;
use crate::app::{App, Shutdown};
use crate::auth::Caller;
use crate::fault::Fault;
use crate::journal::cursor::{Cursor, Kinds, Start};
use crate::routes::streams::tail;

/// How often it is looked for more.
const LOOK: Duration = Duration::from_millis(250);

/// Looks after which a journal is asked whether it has grown, for where nobody says so.
const NUDGE: u32 = 20;

/// What of a session stands in the log.
const KINDS: &str = "text.delta,tool.use.start,ask.question,stop";

/// Characters of one entry of the log.
const MOST: usize = 20_000;

/// A task's log, as somebody reads it.
pub struct Log {
    app: Arc<App>,
    entry: Arc<Entry>,
    caller: Caller,
    shutdown: Shutdown,
    follows: bool,
    task: Cursor,
    session: Option<(SessionId, Cursor)>,
    /// Pieces that are to be sent.
    ready: VecDeque<Bytes>,
    /// What stands in the log and was not told to the session yet.
    untold: Vec<String>,
    /// Whether the last piece ended in the middle of a line.
    is_inside: bool,
}

impl Log {
    /// From the beginning; until the task has ended, if it is followed.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn open(
        app: &Arc<App>,
        entry: Arc<Entry>,
        caller: Caller,
        follows: bool,
    ) -> Result<Self, Fault> {
        Ok(Self {
            app: Arc::clone(app),
            caller,
            shutdown: app.shutdown(),
            follows,
            task: cursor(app, &entry, Start::After(0), Kinds::default()).await?,
            entry,
            session: None,
            ready: VecDeque::new(),
            untold: Vec::new(),
            is_inside: false,
        })
    }

    /// The text, piece by piece.
    pub fn text(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut log| async move {
            let piece = log.next().await?;
            Some((Ok(piece), log))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut looks = 0;
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            // What is known to be the end now has everything in front of it.
            let is_over = self.entry.progress().is_closed;
            // A journal that breaks ends the log; the box's log says why.
            let has_more = self.read().await.ok()?;
            if has_more {
                continue;
            }
            if is_over || !self.follows {
                return None;
            }
            looks += 1;
            if looks % NUDGE == 0 {
                self.task.nudge();
                if let Some((_, session)) = &self.session {
                    session.nudge();
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.shutdown.begun() => return None,
                _ = self.caller.lapse() => return None,
            }
        }
    }

    /// Reads what there is; whether there was anything.
    async fn read(&mut self) -> io::Result<bool> {
        // What the session says comes before what the task makes of it.
        if let Some((_, session)) = &mut self.session
            && let Some(batch) = session.ready().await?
        {
            let frames: Vec<_> = batch.lines().map(|line| line.bytes).collect();
            for frame in frames {
                self.take(&frame).await;
            }
            return Ok(true);
        }
        let Some(batch) = self.task.ready().await? else {
            return Ok(false);
        };
        let frames: Vec<_> = batch.lines().map(|line| line.bytes).collect();
        for frame in frames {
            self.take(&frame).await;
        }
        Ok(true)
    }

    async fn take(&mut self, line: &[u8]) {
        let Ok(frame) = serde_json::from_slice::<Frame>(line) else {
            return;
        };
        let Ok(Some(data)) = frame.decode() else {
            return;
        };
        if let Data::TaskSession(session) = &data
            && self.session.as_ref().map(|(id, _)| *id) != Some(session.session)
            && let Ok(Ok(tail)) = tail(&self.app, session.session).await
        {
            let opened = Cursor::open(tail, Start::After(0), Kinds::parse(KINDS)).await;
            self.session = opened.ok().map(|cursor| (session.session, cursor));
        }
        if let Data::TaskMessage(message) = &data {
            let place = self.untold.iter().position(|text| *text == message.text);
            match place.filter(|_| message.told) {
                // It stands there already.
                Some(place) => {
                    self.untold.remove(place);
                    return;
                }
                None if !message.told => self.untold.push(message.text.clone()),
                None => {}
            }
        }
        if let Some((text, is_whole)) = entry(frame.ts, &data) {
            let mut piece = String::new();
            if is_whole && self.is_inside {
                piece.push('\n');
            }
            piece.push_str(&text);
            if is_whole {
                piece.push('\n');
            }
            self.is_inside = !piece.ends_with('\n');
            self.ready.push_back(piece.into());
        }
    }
}

/// A place in the journal of a task.
///
/// # Errors
/// If it cannot be read.
pub async fn cursor(app: &App, entry: &Entry, start: Start, kinds: Kinds) -> Result<Cursor, Fault> {
    let tail = app.tasks.hub.tail(entry.id().journal());
    let opened = Cursor::open(tail.map_err(Fault::internal)?, start, kinds).await;
    opened.map_err(Fault::internal)
}

/// What stands in the log for a frame, and whether that is an entry of its own or a piece of what
/// Claude says.
fn entry(ts: Timestamp, data: &Data) -> Option<(String, bool)> {
    let mut text = format!("[{ts}] ");
    // Writing to a string cannot fail.
    let _ = match data {
        Data::Text(said) if said.role == Role::Assistant && said.agent.is_none() => {
            let said = said.text.chars();
            let said: String = said
                .filter(|c| !c.is_control() || "\n\t".contains(*c))
                .collect();
            return Some((said, false));
        }
        Data::Text(_) => return None,
        Data::ToolUseStart(start) => {
            let input = plain(&start.input.to_string(), 300);
            write!(text, "{}: {input}", plain(&start.tool, 100))
        }
        Data::AskQuestion(ask) => write!(text, "asks: {}", plain(&ask.prompt, 500)),
        Data::Stop(stop) => write!(text, "the turn ended: {}", plain(&stop.reason, 200)),
        Data::TaskState(change) => {
            let _ = write!(text, "{}", change.state.as_str());
            if let Some(by) = &change.by {
                let _ = write!(text, ", by {}", plain(by, 200));
            }
            if let Some(reason) = &change.reason {
                let _ = write!(text, ": {reason}");
            }
            match &change.error {
                Some(error) => write!(
                    text,
                    ": {}: {}\n{}",
                    error.kind.as_str(),
                    error.detail,
                    error.remedy
                ),
                None => Ok(()),
            }
        }
        Data::TaskStep(step) => {
            let how = match step.outcome {
                StepOutcome::Begun => "begun",
                StepOutcome::Done => "done",
                StepOutcome::Failed => "failed",
            };
            let detail = step.detail.as_deref().unwrap_or_default();
            write!(text, "{} {how}\n{detail}", step.step)
        }
        Data::TaskRepository(repository) => write!(text, "repository {}", repository.source),
        Data::TaskBranch(tree) => {
            let _ = write!(text, "branch {} in {}", tree.branch, tree.workdir);
            match tree.pointers {
                0 => Ok(()),
                count => write!(
                    text,
                    "; of {count} large files (Git LFS) there are only pointers: their contents could \
                     not be fetched"
                ),
            }
        }
        Data::TaskSession(session) => write!(text, "session {}", session.session),
        Data::TaskCommit(commit) => write!(text, "commit {} {}", commit.id, commit.subject),
        Data::TaskPush(push) => match &push.refused {
            None => write!(text, "pushed {}", push.commit),
            Some(why) => write!(text, "not pushed, the branch stays in the work tree: {why}"),
        },
        Data::TaskMessage(message) => {
            write!(text, "{}: {}", plain(&message.by, 200), message.text)
        }
        Data::TaskFired(fired) => write!(text, "the schedule came: {}", fired.at),
        Data::TaskChoice(choice) => write!(
            text,
            "say which repository is meant: {}",
            choice.candidates.join(", ")
        ),
        Data::TaskPr(pr) => {
            let state = match pr.state {
                PrState::Draft => "draft",
                PrState::Open => "open",
                PrState::Closed => "closed",
                PrState::Merged => "merged",
            };
            let _ = write!(text, "pull request {} ({state})", pr.url);
            match &pr.problem {
                Some(problem) => write!(text, ": {}", plain(problem, 500)),
                None => Ok(()),
            }
        }
        Data::TaskResult(_) | Data::Status(_) => return None,
        _ => return None,
    };
    Some((plain(&text, MOST), true))
}
