//! Whose turn it is.

use std::time::Duration;

use cib_protocol::task::{TaskId, TaskState};
use cib_protocol::time::Timestamp;

/// What of a repository only one task at a time may have: a branch that was named.
pub type Claim = (String, String);

/// A task that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: TaskId,
    /// Those with a higher one come first.
    pub priority: i32,
    /// Of those with the same one, the oldest comes first.
    pub created_at: Timestamp,
    /// What it has to have.
    pub need: Need,
}

/// What a task has to have while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// For itself.
    pub claim: Option<Claim>,
    /// Bytes of memory, if it says how many.
    pub memory: u64,
}

/// How much room there is for tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tasks that run at once.
    pub most: usize,
    /// Bytes of memory of those that say how many they need.
    pub memory: u64,
}

/// Where a task stands, as far as that concerns the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Where.
    pub state: TaskState,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Until when it waits for Claude's API. That is the word of its session, which is the agent's.
    pub until: Option<Timestamp>,
    /// Whether that is over, and it has its place again.
    pub returns: bool,
    /// When its turn came first.
    pub started_at: Option<Timestamp>,
}

impl Standing {
    /// Whether it waits for Claude's API.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.state.is_running() && self.until.is_some() && !self.returns
    }

    /// Whether it works, or is about to.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.state.is_running() && !self.is_away()
    }

    /// Whether it waits for longer than the others wait with it: then it takes no place until its
    /// time comes.
    #[must_use]
    pub fn rests(&self, hold: Duration, now: Timestamp) -> bool {
        let is_early = self.until.is_some_and(|until| now < until);
        self.is_away() && is_early && !is_within(self.since, hold, now)
    }
}

/// How many may begin, whatever the room, where some wait for Claude's API. For so long none does:
/// it would only find out the same. Then one does, alone, until it has found out or has had as long
/// itself; and when one that began since then has come to its end, nobody waits any more.
#[must_use]
pub fn allowed(all: &[Standing], hold: Duration, now: Timestamp) -> usize {
    let began_after = |one: &Standing, since| one.started_at.is_some_and(|at| Some(at) > since);
    let is_refuted = |since| {
        let mut ended = all.iter().filter(|one| one.state == TaskState::Completed);
        ended.any(|one| began_after(one, since))
    };
    // One that is back has found nothing out before it works.
    let is_known = |one: &&Standing| one.state.is_running() && one.until.is_some();
    let known: Vec<_> = all
        .iter()
        .filter(is_known)
        .map(|one| one.since)
        .filter(|since| !is_refuted(*since))
        .collect();
    if known.iter().any(|since| is_within(*since, hold, now)) {
        return 0;
    }
    let Some(last) = known.into_iter().max() else {
        return usize::MAX;
    };
    let finds_out = |one: &Standing| {
        one.is_there() && began_after(one, last) && is_within(one.started_at, hold, now)
    };
    usize::from(!all.iter().any(finds_out))
}

/// Whether it is not so long since then. A clock that stepped back makes nobody wait.
fn is_within(since: Option<Timestamp>, hold: Duration, now: Timestamp) -> bool {
    let gone = since.map(|since| now.as_millis() - since.as_millis());
    let gone = gone.and_then(|gone| u128::try_from(gone).ok());
    gone.is_some_and(|gone| gone < hold.as_millis())
}

/// Those whose turn has come, in their order: as many as there is room for, and of two that claim
/// the same the first alone. One for whose memory there is no room holds up those behind it, which
/// could keep it waiting for ever; one that needs more than there is runs alone.
#[must_use]
pub fn turns(waiting: &[Waiting], running: &[Need], room: Room) -> Vec<TaskId> {
    let mut order: Vec<_> = waiting.iter().collect();
    order.sort_by_key(|task| (std::cmp::Reverse(task.priority), task.created_at, task.id));
    let mut taken: Vec<_> = running
        .iter()
        .filter_map(|one| one.claim.as_ref())
        .collect();
    let mut memory = running
        .iter()
        .fold(0_u64, |sum, one| sum.saturating_add(one.memory));
    let mut turns = Vec::new();
    for task in order {
        if running.len() + turns.len() >= room.most {
            break;
        }
        if let Some(claim) = &task.need.claim
            && taken.contains(&claim)
        {
            continue;
        }
        let with_it = memory.saturating_add(task.need.memory);
        if task.need.memory > 0 && memory > 0 && with_it > room.memory {
            break;
        }
        memory = with_it;
        if let Some(claim) = &task.need.claim {
            taken.push(claim);
        }
        turns.push(task.id);
    }
    turns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(id: u32, priority: i32, second: i64, claim: Option<&str>) -> Waiting {
        Waiting {
            id: TaskId(id),
            priority,
            created_at: Timestamp::from_millis(second * 1000),
            need: Need {
                claim: claim.map(|branch| ("repository".to_owned(), branch.to_owned())),
                memory: 0,
            },
        }
    }

    fn room(most: usize) -> Room {
        Room { most, memory: 10 }
    }

    fn other(memory: u64) -> Need {
        Need {
            claim: None,
            memory,
        }
    }

    #[test]
    fn the_important_come_first_then_the_old_and_a_branch_has_one_at_a_time() {
        let tasks = [
            waiting(1, 0, 10, None),
            waiting(2, 0, 5, Some("x")),
            waiting(3, 7, 20, Some("x")),
            waiting(4, 0, 6, Some("y")),
        ];
        let ids = |ids: &[u32]| ids.iter().map(|id| TaskId(*id)).collect::<Vec<_>>();
        assert_eq!(turns(&tasks, &[], room(9)), ids(&[3, 4, 1]));
        assert_eq!(turns(&tasks, &[other(0)], room(2)), ids(&[3]));
        let x = Need {
            claim: Some(("repository".to_owned(), "x".to_owned())),
            memory: 0,
        };
        assert_eq!(turns(&tasks, &[x], room(9)), ids(&[4, 1]));
        assert_eq!(turns(&tasks, &[other(0), other(0)], room(2)), ids(&[]));
    }

    #[test]
    fn memory_that_is_asked_for_is_never_given_twice_and_nobody_is_passed_by() {
        let needs = |id: u32, memory: u64| Waiting {
            need: other(memory),
            ..waiting(id, 0, i64::from(id), None)
        };
        let tasks = [needs(1, 4), needs(2, 8), needs(3, 0), needs(4, 1)];
        let ids = |ids: &[u32]| ids.iter().map(|id| TaskId(*id)).collect::<Vec<_>>();
        assert_eq!(turns(&tasks, &[], room(9)), ids(&[1]));
        assert_eq!(turns(&tasks[1..], &[other(4)], room(9)), ids(&[]));
        assert_eq!(turns(&tasks[1..], &[other(0)], room(9)), ids(&[2, 3, 4]));
        // It can only run alone.
        let large = [needs(1, 99), needs(2, 1)];
        assert_eq!(turns(&large, &[], room(9)), ids(&[1]));
        assert_eq!(turns(&large, &[other(1)], room(9)), ids(&[]));
    }

    #[test]
    fn one_that_waits_holds_up_the_others_for_so_long_and_then_one_of_them_finds_out() {
        let hold = Duration::from_secs(3600);
        let at = |second: i64| Some(Timestamp::from_millis(second * 1000));
        let allowed = |all: &[Standing], second: i64| {
            allowed(all, hold, Timestamp::from_millis(second * 1000))
        };
        let now = |second: i64| Timestamp::from_millis(second * 1000);
        let away = |since: i64| Standing {
            state: TaskState::Waiting,
            since: at(since),
            until: at(600_000),
            started_at: at(0),
            ..Standing::default()
        };
        let works = |began: i64, state| Standing {
            state,
            since: at(began),
            started_at: at(began),
            ..Standing::default()
        };
        let (working, done) = (TaskState::Working, TaskState::Completed);
        assert_eq!(allowed(&[works(1, working)], 5), usize::MAX);
        // What worked already finds nothing out.
        let first = [away(10), works(1, working), works(2, done)];
        assert_eq!((allowed(&first, 11), allowed(&first, 3609)), (0, 0));
        assert_eq!((allowed(&first, 3610), allowed(&first, 9)), (1, 1));
        assert!(!away(10).rests(hold, now(3609)) && away(10).rests(hold, now(3610)));
        assert!(!away(10).rests(hold, now(600_000)), "its time has come");
        // One finds out, and has its time for that; then another does.
        let finds = |state| [away(10), works(3610, state)];
        assert_eq!(allowed(&finds(working), 3700), 0);
        assert_eq!(allowed(&finds(working), 7210), 1);
        assert_eq!(allowed(&finds(TaskState::Failed), 3700), 1);
        assert_eq!(allowed(&finds(done), 3700), usize::MAX);
        // It found out the same.
        let same = [away(10), away(3700)];
        assert_eq!((allowed(&same, 3800), allowed(&same, 7300)), (0, 1));
        // Whoever has come back is there.
        let back = Standing {
            returns: true,
            ..away(10)
        };
        assert!(back.is_there() && !back.rests(hold, now(3610)));
        assert_eq!((allowed(&[back], 11), allowed(&[back], 3610)), (0, 1));
    }

    proptest! {
        #[test]
        fn never_more_run_than_may_and_no_room_is_left_while_one_could(
            given in prop::collection::vec((-3..3_i32, 0..50_i64, 0..4_usize), 0..30),
            most in 0..10_usize,
        ) {
            let names = [None, Some("a"), Some("b"), None];
            let tasks: Vec<_> = (0..)
                .zip(&given)
                .map(|(id, (priority, second, name))| waiting(id, *priority, *second, names[*name]))
                .collect();
            let turns = turns(&tasks, &[], room(most));
            prop_assert!(turns.len() <= most);
            let claimed = |name: &str| {
                let of = |task: &&Waiting| task.need.claim.as_ref().is_some_and(|claim| claim.1 == name);
                tasks.iter().filter(of).filter(|task| turns.contains(&task.id)).count()
            };
            prop_assert!(claimed("a") <= 1 && claimed("b") <= 1);
            let free = tasks.iter().filter(|task| task.need.claim.is_none()).count();
            prop_assert!(turns.len() >= free.min(most));
        }
    }
}
