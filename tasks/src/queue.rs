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
    /// What it has to have for itself.
    pub claim: Option<Claim>,
}

/// Those whose turn has come, in their order: as many as there is room for, and of two that claim
/// the same the first alone.
#[must_use]
pub fn turns(waiting: &[Waiting], running: &[Option<Claim>], most: usize) -> Vec<TaskId> {
    let mut order: Vec<_> = waiting.iter().collect();
    order.sort_by_key(|task| (std::cmp::Reverse(task.priority), task.created_at, task.id));
    let mut taken: Vec<_> = running.iter().flatten().collect();
    let mut turns = Vec::new();
    for task in order {
        if running.len() + turns.len() >= most {
            break;
        }
        if let Some(claim) = &task.claim {
            if taken.contains(&claim) {
                continue;
            }
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
            claim: claim.map(|branch| ("repository".to_owned(), branch.to_owned())),
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
        assert_eq!(turns(&tasks, &[], 9), ids(&[3, 4, 1]));
        assert_eq!(turns(&tasks, &[None], 2), ids(&[3]));
        let x = Some(("repository".to_owned(), "x".to_owned()));
        assert_eq!(turns(&tasks, &[x], 9), ids(&[4, 1]));
        assert_eq!(turns(&tasks, &[None, None], 2), ids(&[]));
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
            let turns = turns(&tasks, &[], most);
            prop_assert!(turns.len() <= most);
            let claimed = |name: &str| {
                let of = |task: &&Waiting| task.claim.as_ref().is_some_and(|claim| claim.1 == name);
                tasks.iter().filter(of).filter(|task| turns.contains(&task.id)).count()
            };
            prop_assert!(claimed("a") <= 1 && claimed("b") <= 1);
            let free = tasks.iter().filter(|task| task.claim.is_none()).count();
            prop_assert!(turns.len() >= free.min(most));
        }
    }
}
