//! What comes next of a task, and what is written down of how it went.
//!
//! Whoever drives a task asks [`next`], does it, and appends what [`after`] says. Everything may be
//! done again: what was done and not written down is asked for once more, and finds itself done.

use cib_protocol::api::CreateTask;
use cib_protocol::frame::{Data, Status};
use cib_protocol::session::{SessionId, State};
use cib_protocol::task::{
    StepOutcome, TaskBranch, TaskChange, TaskChoice, TaskCommit, TaskError, TaskFault, TaskMessage,
    TaskPr, TaskPush, TaskRepository, TaskResult, TaskSession, TaskState, TaskStep, plain,
};
use cib_protocol::time::Timestamp;

use crate::fold::{Progress, SETUP};

/// How often a session is started for one task while nothing is committed in between.
pub const MAX_STARTS: u32 = 3;

/// Characters of why it stands somewhere.
const MAX_REASON: usize = 1000;

/// Characters that are kept of what Claude said last.
const MAX_RESULT: usize = 4000;

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing, until somebody asks for it or its turn comes.
    Rest,
    /// Nothing has to be done but to write down that this is so.
    Note(Outcome),
    /// The repository is looked for.
    Find,
    /// The work tree is made.
    Clone(TaskRepository),
    /// The branch is pushed, if it is to be.
    Open(TaskBranch),
    /// A setup command is run: the one with this number.
    SetUp(TaskBranch, usize),
    /// A session is chosen.
    Choose,
    /// The session is started if it is not there, resumed if it was cut off, and followed.
    Work(TaskBranch, TaskSession),
    /// The session is ended, and what was made is saved and pushed.
    Settle,
}

/// How it went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its turn has come.
    Begun,
    /// The repository is this one.
    Found(TaskRepository),
    /// This session looks for the repository, which has ended so many turns.
    Seeks(SessionId, u64),
    /// It looks, also where it had to wait.
    Looks,
    /// Nothing that has to be written down.
    Nothing,
    /// Several may be meant, and somebody has to say which.
    Asked(Vec<String>),
    /// Somebody has said which, and who.
    Answered(TaskRepository, String),
    /// More is known of the repository: where it is now, what its own branch is, its fork.
    Located(TaskRepository),
    /// The repository is known.
    Known,
    /// The work tree stands.
    Cloned(TaskBranch),
    /// The branch was pushed, was not taken, or was not to be pushed; and there is a pull request
    /// for it, if it has one.
    Opened(Option<TaskPush>, Option<TaskPr>),
    /// The pull request is another than it was.
    Changed(TaskPr),
    /// A person has closed it, so the task is not wanted.
    Declined(TaskPr),
    /// A setup command was done.
    SetUp(String),
    /// All of them are done.
    Ready,
    /// This session works on it, which has ended so many turns.
    Chosen(SessionId, u64),
    /// Claude works.
    Works,
    /// Claude cannot work, because of this.
    Waits(String),
    /// Claude cannot work until then, because of this.
    Postponed(String, Timestamp),
    /// There are new commits.
    Committed(Vec<TaskCommit>),
    /// The branch was pushed, or was not taken.
    Pushed(TaskPush),
    /// Claude's turn is over, and this is what it said.
    Done(String),
    /// Something went wrong.
    Fault(TaskFault, String),
    /// What was made is saved.
    Settled,
    /// What was made is saved, and could not be published.
    Unpublished(TaskFault, String),
    /// The journal is closed.
    Closed,
    /// Somebody cancelled it.
    Cancelled(String),
    /// Somebody wants it to be tried again.
    Retried(String),
    /// Somebody said something.
    Said(TaskMessage),
}

/// What comes next.
#[must_use]
pub fn next(progress: &Progress, request: &CreateTask) -> Step {
    let tree = progress.branch.as_ref().filter(|_| progress.is_cloned);
    match progress.state {
        TaskState::Queued | TaskState::Scheduled | TaskState::NeedsInput => Step::Rest,
        state if state.is_ended() && progress.is_closed => Step::Rest,
        state if state.is_ended() => Step::Note(Outcome::Closed),
        state if state.is_ending() => Step::Settle,
        TaskState::Finding => match progress.repository {
            Some(_) => Step::Note(Outcome::Known),
            None => Step::Find,
        },
        TaskState::Cloning => match (tree, &progress.repository) {
            (Some(tree), _) => Step::Note(Outcome::Cloned(tree.clone())),
            (None, Some(repository)) => Step::Clone(repository.clone()),
            (None, None) => Step::Find,
        },
        _ => {
            // Without a tree nothing of the rest can be; a journal that says so was written by
            // nobody who went by this.
            let Some(tree) = tree else {
                let detail = "the journal has no work tree".to_owned();
                return Step::Note(Outcome::Fault(TaskFault::Unknown, detail));
            };
            match progress.state {
                TaskState::Opening => Step::Open(tree.clone()),
                TaskState::Preparing if progress.set_up < request.setup.len() => {
                    Step::SetUp(tree.clone(), progress.set_up)
                }
                TaskState::Preparing => Step::Note(Outcome::Ready),
                _ => match (&progress.result, &progress.session) {
                    (Some(result), _) => Step::Note(Outcome::Done(result.clone())),
                    (None, Some(session)) => Step::Work(tree.clone(), session.clone()),
                    (None, None) => Step::Choose,
                },
            }
        }
    }
}

/// The frames that say how it went, in their order. None at all if that is of no importance any
/// more: the task was cancelled meanwhile, or has ended.
#[must_use]
pub fn after(progress: &Progress, outcome: Outcome) -> Vec<Data> {
    let now = progress.state;
    match outcome {
        Outcome::Said(message) => return vec![Data::TaskMessage(message)],
        // Also what waits at its end for a forge that is away.
        Outcome::Cancelled(by)
            if !now.is_ended() && (now == TaskState::Finishing || !now.is_ending()) =>
        {
            return vec![cancelling(format!("by {by}"), Some(by))];
        }
        Outcome::Retried(by) if now.is_ended() => return vec![by_somebody(TaskState::Queued, by)],
        Outcome::Cancelled(_) | Outcome::Retried(_) => return Vec::new(),
        Outcome::Begun if now == TaskState::Queued => return vec![state(TaskState::Finding)],
        Outcome::Closed if now.is_ended() => return vec![closing(now)],
        Outcome::Committed(commits) if !now.is_ended() => {
            return commits.into_iter().map(Data::TaskCommit).collect();
        }
        Outcome::Pushed(push) if !now.is_ended() => return vec![Data::TaskPush(push)],
        Outcome::Answered(repository, by) if now == TaskState::NeedsInput => {
            return vec![
                Data::TaskRepository(repository),
                by_somebody(TaskState::Queued, by),
            ];
        }
        Outcome::Located(repository) if !now.is_ended() => {
            let is_new = progress.repository.as_ref() != Some(&repository);
            return Vec::from_iter(is_new.then_some(Data::TaskRepository(repository)));
        }
        Outcome::Changed(pr) => {
            let is_new = progress.pr.as_ref() != Some(&pr);
            let mut frames = Vec::from_iter(is_new.then_some(Data::TaskPr(pr)));
            // Behind the last frame of what has ended comes none but another last one.
            if is_new && progress.is_closed {
                frames.push(closing(now));
            }
            return frames;
        }
        Outcome::Unpublished(kind, detail) if now == TaskState::Finishing => {
            let failed = Data::TaskState(TaskChange {
                state: TaskState::Failed,
                error: Some(TaskError::new(kind, &detail)),
                ..TaskChange::default()
            });
            return vec![failed, closing(TaskState::Failed)];
        }
        Outcome::Settled | Outcome::Unpublished(..) if now.is_ending() => {
            let end = match now {
                TaskState::Cancelling => TaskState::Cancelled,
                TaskState::Failing => TaskState::Failed,
                _ => TaskState::Completed,
            };
            return vec![state(end), closing(end)];
        }
        _ if !now.is_running() || now.is_ending() => return Vec::new(),
        _ => {}
    }
    match outcome {
        Outcome::Found(repository) => {
            vec![Data::TaskRepository(repository), state(TaskState::Cloning)]
        }
        Outcome::Asked(candidates) => {
            let reason = format!("which repository is meant: {}", candidates.join(", "));
            vec![
                Data::TaskChoice(TaskChoice { candidates }),
                because(TaskState::NeedsInput, plain(&reason, MAX_REASON)),
            ]
        }
        Outcome::Declined(pr) => {
            let reason = format!("the pull request was closed: {}", pr.url);
            vec![Data::TaskPr(pr), cancelling(reason, None)]
        }
        Outcome::Seeks(session, turns)
            if progress.finds < MAX_STARTS || progress.until.is_some() =>
        {
            vec![Data::TaskSession(TaskSession {
                session,
                turns,
                finder: true,
            })]
        }
        Outcome::Seeks(..) => failing(
            TaskFault::NoRepo,
            "the session that looked for the repository was cut off again and again",
        ),
        Outcome::Looks if now == TaskState::Finding && progress.until.is_some() => {
            vec![state(TaskState::Finding)]
        }
        Outcome::Known => vec![state(TaskState::Cloning)],
        Outcome::Cloned(branch) => vec![Data::TaskBranch(branch), state(TaskState::Opening)],
        Outcome::Opened(push, pr) => {
            let pushed = push.map(Data::TaskPush).into_iter();
            pushed
                .chain(pr.map(Data::TaskPr))
                .chain([state(TaskState::Preparing)])
                .collect()
        }
        Outcome::SetUp(output) => vec![Data::TaskStep(TaskStep {
            step: SETUP.to_owned(),
            outcome: StepOutcome::Done,
            detail: Some(output).filter(|output| !output.is_empty()),
        })],
        Outcome::Ready => vec![state(TaskState::Working)],
        Outcome::Chosen(session, turns)
            if progress.starts < MAX_STARTS || progress.until.is_some() =>
        {
            vec![Data::TaskSession(TaskSession {
                session,
                turns,
                finder: false,
            })]
        }
        Outcome::Chosen(..) => failing(
            TaskFault::ExitCode,
            "the session was cut off again and again, and nothing was committed in between",
        ),
        Outcome::Works if now != TaskState::Working => vec![state(TaskState::Working)],
        Outcome::Waits(reason) if progress.reason.as_deref() != Some(&reason) => {
            vec![because(TaskState::Waiting, reason)]
        }
        Outcome::Postponed(reason, until) => vec![Data::TaskState(TaskChange {
            state: match now {
                // It goes on where it stands.
                TaskState::Finding => now,
                _ => TaskState::Waiting,
            },
            reason: Some(plain(&reason, MAX_REASON)),
            until: Some(until),
            ..TaskChange::default()
        })],
        Outcome::Done(text) => {
            let text = plain(&text, MAX_RESULT);
            vec![
                Data::TaskResult(TaskResult { text }),
                state(TaskState::Finishing),
            ]
        }
        Outcome::Fault(kind, detail) => failing(kind, &detail),
        _ => Vec::new(),
    }
}

/// That whoever drives the task has begun anew, which is written down where time is counted.
#[must_use]
pub fn revived(progress: &Progress) -> Vec<Data> {
    match progress.state {
        TaskState::Working => vec![Data::TaskState(TaskChange {
            state: TaskState::Working,
            reason: Some("control was started again".to_owned()),
            ..TaskChange::default()
        })],
        _ => Vec::new(),
    }
}

fn state(state: TaskState) -> Data {
    Data::TaskState(TaskChange {
        state,
        ..TaskChange::default()
    })
}

fn because(state: TaskState, reason: String) -> Data {
    Data::TaskState(TaskChange {
        state,
        reason: Some(reason),
        ..TaskChange::default()
    })
}

fn by_somebody(state: TaskState, by: String) -> Data {
    Data::TaskState(TaskChange {
        state,
        by: Some(by),
        ..TaskChange::default()
    })
}

fn cancelling(why: String, by: Option<String>) -> Data {
    Data::TaskState(TaskChange {
        state: TaskState::Cancelling,
        error: Some(TaskError::new(TaskFault::Cancelled, &why)),
        reason: by.is_none().then_some(why),
        by,
        ..TaskChange::default()
    })
}

fn failing(kind: TaskFault, detail: &str) -> Vec<Data> {
    vec![Data::TaskState(TaskChange {
        state: TaskState::Failing,
        error: Some(TaskError::new(kind, detail)),
        ..TaskChange::default()
    })]
}

/// The frame after which readers of a journal expect no other.
fn closing(end: TaskState) -> Data {
    Data::Status(Status {
        state: match end {
            TaskState::Failed => State::Failed,
            _ => State::Stopped,
        },
        elapsed_ms: 0,
    })
}

#[cfg(test)]
mod tests;
