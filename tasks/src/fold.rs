//! How far a task is, folded from the frames of its journal.

use cib_protocol::frame::Data;
use cib_protocol::task::{
    StepOutcome, TaskBranch, TaskChange, TaskCommit, TaskError, TaskMessage, TaskPr, TaskPush,
    TaskRepository, TaskSession, TaskState,
};
use cib_protocol::time::Timestamp;

/// Name of the step that is a setup command.
pub const SETUP: &str = "setup";

/// Commits whose subjects are held.
pub const RECENT: usize = 50;

/// How far a task is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Where it stands.
    pub state: TaskState,
    /// Why it stands there, if that is not obvious.
    pub reason: Option<String>,
    /// Until when it waits before it goes on by itself.
    pub until: Option<Timestamp>,
    /// How often it has waited so since there was last a commit.
    pub waits: u32,
    /// What went wrong.
    pub error: Option<TaskError>,
    /// Retries so far.
    pub retries: u32,
    /// Which repository it is about.
    pub repository: Option<TaskRepository>,
    /// Its work tree and branch.
    pub branch: Option<TaskBranch>,
    /// Whether the tree was seen to stand in this run of the task.
    pub is_cloned: bool,
    /// Setup commands that are done in this run.
    pub set_up: usize,
    /// The session that looks for its repository in this run.
    pub finder: Option<TaskSession>,
    /// How often that was started.
    pub finds: u32,
    /// The session of this run.
    pub session: Option<TaskSession>,
    /// How often it was started since there was last a commit.
    pub starts: u32,
    /// Commits on the branch since it began.
    pub commits: u64,
    /// The last of them.
    pub head: Option<String>,
    /// The last of them, with their subjects: [`RECENT`] at most.
    pub recent: Vec<TaskCommit>,
    /// The last push.
    pub push: Option<TaskPush>,
    /// Its pull request.
    pub pr: Option<TaskPr>,
    /// Repositories of which somebody has to say which is meant.
    pub candidates: Vec<String>,
    /// What Claude said last in this run.
    pub result: Option<String>,
    /// When its schedule came last.
    pub fired_at: Option<Timestamp>,
    /// Messages that no session was told yet.
    pub untold: Vec<TaskMessage>,
    /// When its turn came first.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Milliseconds that Claude worked in this run, but for those since [`Progress::since`].
    pub worked_ms: u64,
    /// Since when it stands where it stands.
    pub since: Option<Timestamp>,
    /// When the last frame was written.
    pub last_at: Option<Timestamp>,
    /// Seq of the last frame.
    pub last_seq: u64,
    /// Whether the last frame closes the journal.
    pub is_closed: bool,
}

impl Progress {
    /// Takes up a frame.
    pub fn apply(&mut self, seq: u64, ts: Timestamp, data: &Data) {
        self.is_closed = false;
        match data {
            Data::TaskState(change) => self.change(ts, change),
            Data::TaskStep(step) if step.step == SETUP && step.outcome == StepOutcome::Done => {
                self.set_up += 1;
            }
            Data::TaskRepository(repository) => self.repository = Some(repository.clone()),
            Data::TaskBranch(branch) => {
                self.branch = Some(branch.clone());
                self.is_cloned = true;
            }
            Data::TaskSession(session) if session.finder => {
                self.finder = Some(session.clone());
                self.finds += u32::from(self.until.is_none());
            }
            Data::TaskSession(session) => {
                self.session = Some(session.clone());
                // One that had to wait was not cut off.
                self.starts += u32::from(self.until.is_none());
            }
            Data::TaskCommit(commit) => {
                self.commits += 1;
                self.head = Some(commit.id.clone());
                if self.recent.len() >= RECENT {
                    self.recent.remove(0);
                }
                self.recent.push(commit.clone());
                self.starts = self.starts.min(1);
                self.waits = 0;
            }
            Data::TaskPush(push) => self.push = Some(push.clone()),
            Data::TaskPr(pr) => self.pr = Some(pr.clone()),
            Data::TaskChoice(choice) => self.candidates.clone_from(&choice.candidates),
            Data::TaskFired(fired) => self.fired_at = Some(fired.at),
            Data::TaskResult(result) => self.result = Some(result.text.clone()),
            Data::TaskMessage(message) if message.told => {
                let is_it = |untold: &TaskMessage| untold.text == message.text;
                if let Some(at) = self.untold.iter().position(is_it) {
                    self.untold.remove(at);
                }
            }
            Data::TaskMessage(message) => self.untold.push(message.clone()),
            Data::Status(status) => self.is_closed = !status.state.is_live(),
            _ => {}
        }
        self.last_seq = seq;
        self.last_at = Some(ts);
    }

    fn change(&mut self, ts: Timestamp, change: &TaskChange) {
        if self.state == TaskState::Working {
            // Who goes on with it after a restart says so once more. What was between is not
            // Claude's time: nobody knows what it did.
            let until = match change.state {
                TaskState::Working => self.last_at.unwrap_or(ts),
                _ => ts,
            };
            self.worked_ms = self.worked_ms.saturating_add(self.gone(until));
        }
        if change.state == TaskState::Queued && self.state.is_ended() {
            self.retries += 1;
            self.error = None;
            self.is_cloned = false;
            self.set_up = 0;
            self.finder = None;
            self.finds = 0;
            self.session = None;
            self.starts = 0;
            self.waits = 0;
            self.result = None;
            self.worked_ms = 0;
            self.ended_at = None;
        }
        if change.state.is_running() && self.started_at.is_none() {
            self.started_at = Some(ts);
        }
        if change.state.is_ended() {
            self.ended_at = Some(ts);
        }
        if change.error.is_some() {
            self.error.clone_from(&change.error);
        }
        self.state = change.state;
        self.until = change.until;
        self.waits += u32::from(change.until.is_some());
        self.reason.clone_from(&change.reason);
        self.since = Some(ts);
    }

    /// Milliseconds from when it came where it stands until then.
    fn gone(&self, until: Timestamp) -> u64 {
        let since = self.since.map_or(until, |since| since);
        u64::try_from(until.as_millis() - since.as_millis()).unwrap_or(0)
    }

    /// Milliseconds that Claude has worked in this run. A clock that steps back takes none away.
    #[must_use]
    pub fn worked(&self, now: Timestamp) -> u64 {
        let present = match self.state {
            TaskState::Working => self.gone(now),
            _ => 0,
        };
        self.worked_ms.saturating_add(present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn state(state: TaskState) -> Data {
        Data::TaskState(TaskChange {
            state,
            ..TaskChange::default()
        })
    }

    #[test]
    fn only_the_time_in_which_claude_works_counts_and_not_that_of_a_restart() {
        let mut progress = Progress::default();
        let told = [
            (0, TaskState::Queued),
            (100, TaskState::Working),
            (110, TaskState::Waiting),
            (200, TaskState::Working),
        ];
        for (seq, (second, to)) in (1..).zip(told) {
            progress.apply(seq, at(second), &state(to));
        }
        assert_eq!(progress.worked(at(205)), 15_000);
        // The last that is known is of second 203; then the box was off for a day.
        let result = cib_protocol::task::TaskResult::default();
        progress.apply(5, at(203), &Data::TaskResult(result));
        progress.apply(6, at(86_400), &state(TaskState::Working));
        assert_eq!(progress.worked(at(86_401)), 14_000);
        assert_eq!(progress.worked(at(0)), 13_000, "a clock that stepped back");
    }
}
