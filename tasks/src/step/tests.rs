use std::collections::{BTreeMap, BTreeSet};

use cib_protocol::task::TaskForge;
use cib_protocol::time::Timestamp;
use proptest::prelude::*;

use super::*;

/// Everything outside of a task, which does not forget: what was done is done.
#[derive(Debug, Default)]
struct World {
    /// Commits that a branch was begun with: by the folder, so that a second one would be seen.
    begun: BTreeSet<String>,
    /// How often each session was made, and whether its turn is over.
    sessions: BTreeMap<SessionId, u32>,
    /// Ids that were given out.
    ids: u128,
    /// Commits that were made on the branch.
    commits: u64,
    /// Pull requests that were opened, by their branch.
    pulls: BTreeSet<String>,
    /// Repositories that were pushed to.
    pushed: BTreeSet<Option<String>>,
}

/// What happens at a step.
#[derive(Clone, Copy, Debug)]
enum Luck {
    /// It is done, and written down.
    Good,
    /// It is done, and whoever drives dies with so many frames written.
    Dies(usize),
    /// It fails.
    Fails,
    /// It has to wait.
    Waits,
    /// It has to wait, and goes on by itself.
    Postpones,
    /// There is a commit.
    Commits,
    /// Somebody cancels.
    Cancels,
}

fn tree(id: &str) -> TaskBranch {
    TaskBranch {
        workdir: "/workspace/tasks/1/r".to_owned(),
        base: Some("main".to_owned()),
        base_commit: Some("0".repeat(40)),
        branch: "claude/1".to_owned(),
        commit: id.to_owned(),
        pointers: 0,
    }
}

impl World {
    /// Does a step, as the world allows it.
    fn act(&mut self, step: &Step, luck: Luck, repository: Option<TaskRepository>) -> Outcome {
        let fault = |kind| Outcome::Fault(kind, "because the test wants it".to_owned());
        match (step, luck) {
            (Step::Rest, _) => Outcome::Begun,
            (Step::Note(outcome), _) => outcome.clone(),
            (Step::Find, Luck::Fails) => fault(TaskFault::NoRepo),
            (Step::Find, Luck::Waits) => Outcome::Asked(vec!["a/b".to_owned(), "c/b".to_owned()]),
            (Step::Find, _) => Outcome::Found(published()),
            (Step::Clone(_), Luck::Fails) => fault(TaskFault::CloneFailed),
            (Step::Clone(_), _) => {
                // The same date, author, tree and parent: the same id.
                self.begun.insert("1".repeat(40));
                Outcome::Cloned(tree(&"1".repeat(40)))
            }
            (Step::Open(_), Luck::Fails) => fault(TaskFault::NoRight),
            (Step::Open(_), Luck::Waits) => Outcome::Declined(pull()),
            (Step::Open(tree), _) => {
                let forge = repository.and_then(|found| found.forge);
                let forge = forge.expect("what was found is published");
                // Nothing is pushed anywhere before it is written down that it goes there.
                if forge.fork.is_none() {
                    let forge = TaskForge {
                        fork: Some("me/b".to_owned()),
                        ..forge
                    };
                    return Outcome::Located(TaskRepository {
                        forge: Some(forge),
                        ..TaskRepository::default()
                    });
                }
                self.pushed.insert(forge.fork);
                // It is looked for first.
                self.pulls.insert(tree.branch.clone());
                Outcome::Opened(Some(push(tree)), Some(pull()))
            }
            (Step::SetUp(..), Luck::Fails) => fault(TaskFault::SetupFailed),
            (Step::SetUp(..), _) => Outcome::SetUp(String::new()),
            (Step::Choose, _) => {
                self.ids += 1;
                Outcome::Chosen(SessionId::from_u128(self.ids), 0)
            }
            (Step::Work(_, session), luck) => {
                *self.sessions.entry(session.session).or_default() += 1;
                match luck {
                    Luck::Fails => fault(TaskFault::ExitCode),
                    Luck::Waits => Outcome::Waits("capacity".to_owned()),
                    Luck::Postpones => {
                        let until = Timestamp::from_millis(9);
                        Outcome::Postponed("capacity".to_owned(), until)
                    }
                    Luck::Commits => {
                        self.commits += 1;
                        Outcome::Committed(vec![TaskCommit {
                            id: format!("{:040}", self.commits),
                            subject: "work".to_owned(),
                        }])
                    }
                    _ => Outcome::Done("done".to_owned()),
                }
            }
            (Step::Settle, Luck::Fails) => {
                Outcome::Unpublished(TaskFault::SecretFound, "a token".to_owned())
            }
            (Step::Settle, _) => Outcome::Settled,
        }
    }
}

fn published() -> TaskRepository {
    TaskRepository {
        forge: Some(TaskForge {
            repository: "a/b".to_owned(),
            ..TaskForge::default()
        }),
        ..TaskRepository::default()
    }
}

fn pull() -> TaskPr {
    TaskPr {
        number: 7,
        ..TaskPr::default()
    }
}

fn push(tree: &TaskBranch) -> TaskPush {
    TaskPush {
        commit: tree.commit.clone(),
        refused: None,
        kind: None,
    }
}

fn request() -> CreateTask {
    CreateTask {
        prompt: "do it".to_owned(),
        setup: vec!["true".to_owned(), "true".to_owned()],
        ..CreateTask::default()
    }
}

/// A journal: what was written, and what it says.
#[derive(Default)]
struct Journal(Vec<Data>);

impl Journal {
    fn fold(&self) -> Progress {
        let mut progress = Progress::default();
        for (seq, data) in (1..).zip(&self.0) {
            progress.apply(
                seq,
                Timestamp::from_millis(i64::try_from(seq).unwrap()),
                data,
            );
        }
        progress
    }
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        6 => Just(Luck::Good),
        3 => (0_usize..3).prop_map(Luck::Dies),
        1 => Just(Luck::Fails),
        1 => Just(Luck::Waits),
        1 => Just(Luck::Postpones),
        2 => Just(Luck::Commits),
        1 => Just(Luck::Cancels),
    ]
}

proptest! {
    #[test]
    fn a_task_ends_with_a_reason_wherever_whoever_drives_it_dies(
        lucks in prop::collection::vec(luck(), 0..60),
    ) {
        let (request, mut world, mut journal) = (request(), World::default(), Journal::default());
        let mut lucks = lucks.into_iter();
        let mut steps = 0;
        loop {
            // Only what was written is known, as after a death.
            let progress = journal.fold();
            if progress.is_closed {
                break;
            }
            steps += 1;
            prop_assert!(steps < 100, "it does not end: {:?}", journal.0);
            let luck = lucks.next().unwrap_or(Luck::Good);
            if let Luck::Cancels = luck {
                journal.0.extend(after(&progress, Outcome::Cancelled("somebody".to_owned())));
                continue;
            }
            let step = next(&progress, &request);
            let outcome = match progress.state {
                TaskState::NeedsInput => Outcome::Answered(published(), "somebody".to_owned()),
                _ => world.act(&step, luck, progress.repository.clone()),
            };
            let frames = after(&progress, outcome);
            let kept = match luck {
                Luck::Dies(kept) => kept.min(frames.len()),
                _ => frames.len(),
            };
            journal.0.extend(frames.into_iter().take(kept));
        }
        let progress = journal.fold();
        prop_assert!(progress.state.is_ended());
        prop_assert_eq!(progress.state != TaskState::Completed, progress.error.is_some());
        if let Some(error) = &progress.error {
            prop_assert!(!error.remedy.is_empty());
        }
        // One branch is begun, once, and one session works, whatever happened.
        prop_assert!(world.begun.len() <= 1);
        prop_assert!(world.sessions.len() <= 1);
        prop_assert!(world.pulls.len() <= 1 && world.pushed.len() <= 1);
        prop_assert_eq!(next(&progress, &request), Step::Rest);
    }

    #[test]
    fn every_state_that_a_journal_may_come_to_has_a_way_on(
        outcomes in prop::collection::vec(0_usize..28, 0..40),
    ) {
        let request = request();
        let mut journal = Journal::default();
        for number in outcomes {
            let progress = journal.fold();
            let frames = after(&progress, any_outcome(number));
            let was_ended = progress.state.is_ended();
            journal.0.extend(frames);
            let now = journal.fold();
            // Nothing but a retry leaves an end, and nothing but its end an ending: or somebody who
            // does not wait for that of what is done.
            if was_ended {
                prop_assert!(now.state == progress.state || now.state == TaskState::Queued);
            }
            if progress.state.is_ending() {
                let is_left = progress.state == TaskState::Finishing
                    && now.state == TaskState::Cancelling;
                prop_assert!(now.state == progress.state || now.state.is_ended() || is_left);
            }
            let step = next(&now, &request);
            let may_rest =
                matches!(now.state, TaskState::Queued | TaskState::NeedsInput) || now.is_closed;
            prop_assert_eq!(step == Step::Rest, may_rest, "{:?}", now.state);
        }
    }
}

fn any_outcome(number: usize) -> Outcome {
    let push = || push(&tree(&"1".repeat(40)));
    match number {
        0 => Outcome::Begun,
        1 => Outcome::Found(TaskRepository::default()),
        2 => Outcome::Known,
        3 => Outcome::Cloned(tree(&"1".repeat(40))),
        4 => Outcome::Opened(Some(push()), Some(pull())),
        5 => Outcome::SetUp("said".to_owned()),
        6 => Outcome::Ready,
        7 => Outcome::Chosen(SessionId::from_u128(1), 0),
        8 => Outcome::Works,
        9 => Outcome::Waits("capacity".to_owned()),
        10 => Outcome::Committed(Vec::new()),
        11 => Outcome::Pushed(push()),
        12 => Outcome::Done("done".to_owned()),
        13 => Outcome::Fault(TaskFault::Unknown, String::new()),
        14 => Outcome::Settled,
        15 => Outcome::Closed,
        16 => Outcome::Cancelled("somebody".to_owned()),
        17 => Outcome::Asked(vec!["a/b".to_owned()]),
        18 => Outcome::Answered(published(), "somebody".to_owned()),
        19 => Outcome::Located(published()),
        20 => Outcome::Changed(pull()),
        21 => Outcome::Declined(pull()),
        22 => Outcome::Unpublished(TaskFault::PushRefused, "no".to_owned()),
        25 => Outcome::Seeks(SessionId::from_u128(2), 0),
        26 => Outcome::Nothing,
        27 => Outcome::Looks,
        23 => Outcome::Postponed("capacity".to_owned(), Timestamp::from_millis(9)),
        _ => Outcome::Retried("somebody".to_owned()),
    }
}

#[test]
fn a_session_that_is_cut_off_again_and_again_is_given_up_unless_it_commits() {
    let mut journal = Journal(vec![
        Data::TaskBranch(tree(&"1".repeat(40))),
        state(TaskState::Working),
    ]);
    let chosen = || Outcome::Chosen(SessionId::from_u128(7), 0);
    for _ in 0..MAX_STARTS {
        let frames = after(&journal.fold(), chosen());
        assert!(matches!(&*frames, [Data::TaskSession(_)]), "{frames:?}");
        journal.0.extend(frames);
    }
    let given_up = after(&journal.fold(), chosen());
    assert!(matches!(&*given_up, [Data::TaskState(change)] if change.state == TaskState::Failing));
    journal.0.push(Data::TaskCommit(TaskCommit {
        id: "2".repeat(40),
        subject: "work".to_owned(),
    }));
    let frames = after(&journal.fold(), chosen());
    assert!(matches!(&*frames, [Data::TaskSession(_)]), "{frames:?}");
}

#[test]
fn a_session_that_had_to_wait_was_not_cut_off() {
    let mut journal = Journal(vec![
        Data::TaskBranch(tree(&"1".repeat(40))),
        state(TaskState::Working),
    ]);
    let chosen = || Outcome::Chosen(SessionId::from_u128(7), 0);
    journal.0.extend(after(&journal.fold(), chosen()));
    for waits in 1..10 {
        let until = Timestamp::from_millis(9);
        let postponed = Outcome::Postponed("capacity".to_owned(), until);
        journal.0.extend(after(&journal.fold(), postponed));
        let progress = journal.fold();
        assert_eq!((progress.until, progress.waits), (Some(until), waits));
        assert!(matches!(next(&progress, &request()), Step::Work(..)));
        let frames = after(&progress, chosen());
        assert!(matches!(&*frames, [Data::TaskSession(_)]), "{frames:?}");
        journal.0.extend(frames);
        journal.0.extend(after(&journal.fold(), Outcome::Works));
        let progress = journal.fold();
        assert_eq!((progress.until, progress.starts), (None, 1));
    }
    journal.0.extend(after(&journal.fold(), chosen()));
    assert_eq!(journal.fold().starts, 2, "this one was cut off");
}

#[test]
fn a_retry_keeps_the_branch_and_begins_with_a_session_of_its_own() {
    let mut journal = Journal(vec![
        Data::TaskRepository(TaskRepository::default()),
        Data::TaskBranch(tree(&"1".repeat(40))),
        state(TaskState::Working),
        Data::TaskSession(TaskSession {
            session: SessionId::from_u128(7),
            turns: 0,
            finder: false,
        }),
    ]);
    journal.0.extend(failing(TaskFault::Timeout, "an hour"));
    journal.0.extend(after(&journal.fold(), Outcome::Settled));
    assert_eq!(journal.fold().state, TaskState::Failed);
    journal
        .0
        .extend(after(&journal.fold(), Outcome::Retried("me".to_owned())));
    journal.0.extend(after(&journal.fold(), Outcome::Begun));
    journal.0.extend(after(&journal.fold(), Outcome::Known));
    let progress = journal.fold();
    assert_eq!(
        (progress.retries, progress.error, progress.session),
        (1, None, None)
    );
    assert!(matches!(next(&journal.fold(), &request()), Step::Clone(_)));
    assert!(progress.branch.is_some());
}
