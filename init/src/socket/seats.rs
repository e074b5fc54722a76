//! Limits how many clients are connected, and how often each is answered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use super::Rights;
use crate::pace::Pace;

/// Connections of one user at once. Control needs a handful.
const OF_A_USER: usize = 16;
/// Connections of all who may only look.
const OF_LOOKERS: usize = 48;
/// Requests of one user who may only look: so many at once, and so many a second.
const REQUESTS: (u32, u32) = (32, 16);
/// Users that are remembered though nobody of them is connected.
const REMEMBERED: usize = 64;

/// Who is connected. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Seats(Rc<RefCell<HashMap<u32, User>>>);

struct User {
    connections: usize,
    pace: Rc<Pace>,
}

impl Seats {
    /// A place for one more client of this user, unless there is none left.
    pub(super) fn take(&self, uid: u32) -> Option<Seat> {
        let mut users = self.0.borrow_mut();
        let looks = |uid: u32| !Rights::of(uid).may_change();
        let own = users.get(&uid).map_or(0, |user| user.connections);
        let lookers = users.iter().filter(|(uid, _)| looks(**uid));
        let lookers: usize = lookers.map(|(_, user)| user.connections).sum();
        if own >= OF_A_USER || (looks(uid) && lookers >= OF_LOOKERS) {
            return None;
        }
        let user = users.entry(uid).or_insert_with(|| User {
            connections: 0,
            pace: Rc::new(Pace::new(REQUESTS.0, REQUESTS.1)),
        });
        user.connections += 1;
        Some(Seat {
            seats: self.clone(),
            uid,
        })
    }
}

/// One of the places; free when it goes.
pub(super) struct Seat {
    seats: Seats,
    uid: u32,
}

impl Seat {
    /// How fast the user is answered; none for those who may change something.
    pub(super) fn pace(&self) -> Option<Rc<Pace>> {
        if Rights::of(self.uid).may_change() {
            return None;
        }
        let users = self.seats.0.borrow();
        users.get(&self.uid).map(|user| Rc::clone(&user.pace))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = self.seats.0.borrow_mut();
        if let Some(user) = users.get_mut(&self.uid) {
            user.connections -= 1;
        }
        // A pace goes with its user only when it would be no other one.
        if users.len() > REMEMBERED {
            let now = Instant::now();
            users.retain(|_, user| user.connections > 0 || !user.pace.is_fresh(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CONTROL_UID;
    use super::*;

    #[test]
    fn one_user_cannot_take_every_seat_and_no_number_of_them_those_of_control() {
        let seats = Seats::default();
        let mut held: Vec<_> = (0..OF_A_USER).map(|_| seats.take(1000).unwrap()).collect();
        assert!(seats.take(1000).is_none());
        for uid in 2000..2100 {
            held.extend(std::iter::from_fn(|| seats.take(uid)));
        }
        assert_eq!(held.len(), OF_LOOKERS);
        for uid in [0, CONTROL_UID] {
            let own: Vec<_> = std::iter::from_fn(|| seats.take(uid)).collect();
            assert_eq!(own.len(), OF_A_USER, "{uid}");
            assert!(own[0].pace().is_none());
        }
        drop(held);
        assert!(seats.take(1000).is_some());
    }

    #[test]
    fn a_user_that_comes_back_is_not_a_new_one() {
        let seats = Seats::default();
        let pace = || seats.take(1000).unwrap().pace().unwrap();
        let first = pace();
        assert!(Rc::ptr_eq(&first, &pace()));
    }
}
