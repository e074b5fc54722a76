//! What of a session or a task is worth telling, as a function of what was told before.

use std::collections::{BTreeMap, BTreeSet};

use cib_protocol::session::{SessionId, SessionMeta, State};
use cib_protocol::task::{TaskId, TaskState};
use cib_protocol::time::Timestamp;
use cib_tasks::fold::Progress;
use serde::{Deserialize, Serialize};

/// What was told of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Turns whose end was told, or was not worth it.
    #[serde(rename = "t", default)]
    turns: u64,
    /// Whether its end was told.
    #[serde(rename = "e", default, skip_serializing_if = "is_false")]
    ended: bool,
    /// Open questions that were told.
    #[serde(rename = "q", default, skip_serializing_if = "BTreeSet::is_empty")]
    asked: BTreeSet<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "it is what serde hands over"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What was told of a task: in which attempt, where it stood then, and for what it waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskMark {
    #[serde(rename = "r")]
    pub(super) retries: u32,
    #[serde(rename = "s")]
    pub(super) state: TaskState,
    /// Until when it waits for Claude's API, if that is worth telling.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Timestamp>,
}

/// The longest wait, in milliseconds, of one that does not know when to go on. It tries again, and
/// waits again.
const BLIND: i64 = 3_600_000;

impl TaskMark {
    /// How a task stands. Of a row of waits without a time that somebody knows the first is told; of
    /// resets of a usage limit each is.
    pub(super) fn of(progress: &Progress) -> Self {
        let since = progress.since.map_or(0, Timestamp::as_millis);
        let is_told = |until: &Timestamp| progress.waits <= 1 || until.as_millis() - since > BLIND;
        Self {
            retries: progress.retries,
            state: progress.state,
            until: progress.until.filter(is_told),
        }
    }
}

/// What was told of everything. It is on the disk before anything of it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marks {
    pub(super) sessions: BTreeMap<SessionId, Mark>,
    #[serde(default)]
    pub(super) tasks: BTreeMap<TaskId, TaskMark>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A question of this id is open.
    Asks(String),
    /// The turn with this number is over.
    Ends(u64),
    /// The session failed.
    Fails,
    /// The session reached a limit.
    Limit,
}

impl News {
    /// What tells it from all else that happens to the same session.
    pub(super) fn key(&self, meta: &SessionMeta) -> String {
        match self {
            Self::Asks(id) => format!("asks {id}"),
            Self::Ends(turn) => format!("ends {turn}"),
            Self::Fails | Self::Limit => format!("over {}", meta.last_seq),
        }
    }
}

/// What happened to a session since a mark was made, and the mark to make now. Nothing that
/// happened to a session of which nothing is known is old: those that were there before anybody
/// wanted to know are marked with [`so_far`].
pub(super) fn of_session(mark: &Mark, meta: &SessionMeta) -> (Mark, Vec<News>) {
    let now = so_far(meta);
    let mut news = Vec::new();
    if meta.state == State::WaitingForInput {
        let new = meta.open_questions.iter().map(|question| &question.id);
        let new = new.filter(|id| !mark.asked.contains(*id));
        news.extend(new.map(|id| News::Asks(id.clone())));
    }
    if now.ended {
        let is_limit = meta
            .reason
            .as_deref()
            .is_some_and(|reason| reason.starts_with("limit "));
        match meta.state {
            _ if mark.ended => {}
            _ if is_limit => news.push(News::Limit),
            // Whoever stops a session knows that it has ended.
            State::Stopped => {}
            _ => news.push(News::Fails),
        }
    } else if meta.state == State::Idle && meta.turns > mark.turns {
        news.push(News::Ends(meta.turns));
    }
    let mut now = now;
    // A turn that ended while another had begun is told with that one.
    if !now.ended && meta.state != State::Idle {
        now.turns = now.turns.min(mark.turns);
    }
    (now, news)
}

/// The mark of a session of which nothing up to now is news.
pub(super) fn so_far(meta: &SessionMeta) -> Mark {
    Mark {
        turns: meta.turns,
        ended: !meta.state.is_live(),
        asked: meta
            .open_questions
            .iter()
            .map(|question| question.id.clone())
            .collect(),
    }
}

/// Whether where a task stands is news.
pub(super) fn of_task(mark: Option<TaskMark>, now: TaskMark) -> bool {
    let is_end = matches!(now.state, TaskState::Completed | TaskState::Failed);
    mark != Some(now) && (is_end || now.until.is_some())
}

#[cfg(test)]
mod tests {
    use cib_protocol::session::OpenQuestion;

    use super::*;

    fn meta() -> SessionMeta {
        let at = Timestamp::from_millis(0);
        cib_journal::fold::unknown(SessionId::from_u128(7), at)
    }

    fn asks(id: &str) -> OpenQuestion {
        OpenQuestion {
            id: id.to_owned(),
            prompt: "Which?".to_owned(),
            tool: None,
            options: Vec::new(),
            asked_at: Timestamp::from_millis(0),
        }
    }

    /// Looks twice: nothing is news a second time.
    fn look(mark: &mut Mark, meta: &SessionMeta) -> Vec<News> {
        let (now, news) = of_session(mark, meta);
        let (same, again) = of_session(&now, meta);
        assert_eq!((&same, again), (&now, Vec::new()));
        *mark = now;
        news
    }

    #[test]
    fn each_question_each_turn_and_the_end_are_news_once() {
        let (mut mark, mut meta) = (Mark::default(), meta());
        meta.state = State::Working;
        assert_eq!(look(&mut mark, &meta), []);
        meta.state = State::WaitingForInput;
        meta.open_questions = vec![asks("a"), asks("b")];
        assert_eq!(
            look(&mut mark, &meta),
            [News::Asks("a".into()), News::Asks("b".into())]
        );
        meta.open_questions = vec![asks("b"), asks("c")];
        assert_eq!(look(&mut mark, &meta), [News::Asks("c".into())]);
        meta.open_questions.clear();
        meta.state = State::Idle;
        meta.turns = 1;
        assert_eq!(look(&mut mark, &meta), [News::Ends(1)]);
        meta.state = State::Failed;
        assert_eq!(look(&mut mark, &meta), [News::Fails]);
    }

    #[test]
    fn a_turn_that_ended_while_nobody_looked_is_told_when_the_session_rests() {
        let (mut mark, mut meta) = (Mark::default(), meta());
        meta.state = State::Working;
        meta.turns = 1;
        assert_eq!(look(&mut mark, &meta), []);
        meta.state = State::Idle;
        assert_eq!(look(&mut mark, &meta), [News::Ends(1)]);
    }

    #[test]
    fn a_limit_is_no_failure_and_who_stops_a_session_is_not_told() {
        let mut meta = meta();
        meta.state = State::Failed;
        meta.reason = Some("limit max_turns".to_owned());
        assert_eq!(look(&mut Mark::default(), &meta), [News::Limit]);
        meta.state = State::Stopped;
        meta.reason = Some("exit".to_owned());
        assert_eq!(look(&mut Mark::default(), &meta), []);
    }

    #[test]
    fn what_was_before_is_no_news_and_what_a_resumed_session_does_is() {
        let mut meta = meta();
        meta.state = State::Stopped;
        meta.turns = 3;
        let mut mark = so_far(&meta);
        assert_eq!(look(&mut mark, &meta), []);
        meta.state = State::Idle;
        assert_eq!(look(&mut mark, &meta), []);
        meta.turns = 4;
        assert_eq!(look(&mut mark, &meta), [News::Ends(4)]);
    }

    #[test]
    fn a_task_is_told_of_at_its_end_and_again_at_the_end_of_a_retry() {
        let mark = |retries, state| TaskMark {
            retries,
            state,
            until: None,
        };
        let failed = mark(0, TaskState::Failed);
        assert!(of_task(Some(mark(0, TaskState::Working)), failed));
        assert!(of_task(None, failed));
        assert!(!of_task(Some(failed), failed));
        assert!(of_task(Some(failed), mark(1, TaskState::Failed)));
        assert!(!of_task(None, mark(0, TaskState::Cancelled)));
    }

    #[test]
    fn each_reset_of_a_limit_is_told_and_of_waits_without_a_time_the_first() {
        let mut progress = Progress {
            state: TaskState::Waiting,
            since: Some(Timestamp::from_millis(0)),
            waits: 1,
            ..Progress::default()
        };
        let mut look = |waits: u32, until: i64, before: Option<TaskMark>| {
            progress.waits = waits;
            progress.until = Some(Timestamp::from_millis(until));
            let now = TaskMark::of(&progress);
            (of_task(before, now), now)
        };
        let (is_news, first) = look(1, 30_000, None);
        assert!(is_news);
        assert!(!look(1, 30_000, Some(first)).0, "the same");
        let (is_news, again) = look(2, BLIND, Some(first));
        assert!(!is_news, "tried again, and nobody knows when it goes on");
        let (is_news, reset) = look(3, BLIND + 1000, Some(again));
        assert!(is_news);
        assert!(look(4, 3 * BLIND, Some(reset)).0);
        progress.until = None;
        progress.state = TaskState::Working;
        assert!(!of_task(Some(reset), TaskMark::of(&progress)));
    }
}
