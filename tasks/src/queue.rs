//! Whose turn it is.

use cib_protocol::task::TaskId;
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
