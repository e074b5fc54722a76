//! Places for connections: how many each peer and each caller may hold, and whose goes when
//! room is needed.
//!
//! A connection begins as a newcomer and stays one until a request on it was let in. Newcomers
//! never keep anybody out: when there are too many of them, the peer that has most for its
//! share loses the one that has been idle longest, and a place is always left for the next.
//! Callers have shares too, and the master's cannot be used up by the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::auth::Who;
use crate::auth::address::Kin;
use crate::fault::{Code, Fault};

/// Places by who may hold them, worked out from how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// All of them.
    all: usize,
    /// Those that newcomers may hold together.
    newcomers: usize,
    /// Those that callers may hold together: newcomers find room in the rest.
    callers: usize,
    /// Those that callers other than the master may hold together.
    others: usize,
    /// Those that one such caller may hold.
    caller: usize,
}

impl Shares {
    pub(super) fn of(all: usize) -> Self {
        let part = |divisor: usize| (all / divisor).max(1);
        let callers = all.saturating_sub(part(16)).max(1);
        Self {
            all,
            newcomers: part(2),
            callers,
            others: callers.saturating_sub(part(8)).max(1),
            caller: part(4),
        }
    }
}

/// How much less of a newcomers' place the programs in the box count for than another peer:
/// nobody but the agent has a reason to be many there.
const OWN: usize = 8;

/// Who holds a place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    Newcomer,
    Master,
    Other(String),
}

impl From<&Who> for Holder {
    fn from(who: &Who) -> Self {
        match who {
            // Where nobody is asked for a token everybody is the master.
            Who::Master | Who::Anybody => Self::Master,
            Who::Device { id, .. } => Self::Other(format!("device {id}")),
            Who::Account(name) => Self::Other(format!("account {name}")),
            Who::User(name) => Self::Other(format!("user {name}")),
            Who::Link(via) => Self::Other(format!("link {via}")),
            Who::Broker => Self::Other("mqtt".to_owned()),
        }
    }
}

#[derive(Debug)]
struct Entry {
    kin: Kin,
    holder: Holder,
    /// Requests and streams under way.
    busy: usize,
    /// Rises with every change: the lowest has waited longest.
    since: u64,
    leave: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    clock: u64,
}

impl Table {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn count(&self, which: impl Fn(&Entry) -> bool) -> usize {
        self.entries.values().filter(|entry| which(entry)).count()
    }

    /// Sends away a newcomer of the peer that has most of them for its share.
    fn send_away_newcomer(&mut self) -> bool {
        let mut weights: HashMap<Kin, usize> = HashMap::new();
        for entry in self.entries.values() {
            if entry.holder == Holder::Newcomer {
                let weight = if entry.kin == Kin::Own { OWN } else { 1 };
                *weights.entry(entry.kin).or_default() += weight;
            }
        }
        let heaviest = weights.into_iter().max_by_key(|(_, weight)| *weight);
        heaviest.is_some_and(|(kin, _)| {
            self.send_away(|entry| entry.holder == Holder::Newcomer && entry.kin == kin)
        })
    }

    /// Sends away the connection that has waited longest of those, an idle one first. A
    /// caller's request is never cut off for somebody else's sake.
    fn send_away(&mut self, which: impl Fn(&Entry) -> bool) -> bool {
        let oldest = self
            .entries
            .iter()
            .filter(|(_, entry)| {
                which(entry) && (entry.busy == 0 || entry.holder == Holder::Newcomer)
            })
            .min_by_key(|(_, entry)| (entry.busy > 0, entry.since))
            .map(|(id, _)| *id);
        let Some(entry) = oldest.and_then(|id| self.entries.remove(&id)) else {
            return false;
        };
        entry.leave.notify_one();
        true
    }
}

#[derive(Debug)]
struct Inner {
    shares: Shares,
    table: Mutex<Table>,
    /// Connections that have not yet closed, those that were sent away included.
    open: watch::Sender<usize>,
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All places of a server.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Inner>);

/// How a newcomer came in.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) place: Place,
    /// Whether somebody else had to go for it.
    pub(super) sent_away: bool,
}

/// One connection's place, free again when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Place(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    inner: Arc<Inner>,
    id: u64,
    leave: Arc<Notify>,
}

/// A request or a stream under way.
#[derive(Debug)]
pub(super) struct Busy(Place);

impl Places {
    pub(super) fn new(connections: usize) -> Self {
        Self(Arc::new(Inner {
            shares: Shares::of(connections),
            table: Mutex::default(),
            open: watch::Sender::new(0),
        }))
    }

    /// A place for a connection that has just been accepted; `None` if there is no room for it
    /// and none can be made.
    pub(super) fn enter(&self, kin: Kin) -> Option<Entrance> {
        let shares = self.0.shares;
        let mut table = self.0.table();
        let mut sent_away = false;
        if table.count(|entry| entry.holder == Holder::Newcomer) >= shares.newcomers {
            sent_away |= table.send_away_newcomer();
        }
        if table.entries.len() >= shares.all {
            let made = table.send_away_newcomer()
                || table.send_away(|entry| matches!(entry.holder, Holder::Other(_)))
                || table.send_away(|_| true);
            if !made {
                return None;
            }
            sent_away = true;
        }
        let id = table.tick();
        let leave = Arc::new(Notify::new());
        table.entries.insert(
            id,
            Entry {
                kin,
                holder: Holder::Newcomer,
                busy: 0,
                since: id,
                leave: Arc::clone(&leave),
            },
        );
        self.0.open.send_modify(|open| *open += 1);
        Some(Entrance {
            place: Place(Arc::new(Seat {
                inner: Arc::clone(&self.0),
                id,
                leave,
            })),
            sent_away,
        })
    }

    /// Waits until every connection has closed.
    pub(super) async fn emptied(&self) {
        let mut open = self.0.open.subscribe();
        // An error would mean that the sender is gone, and it is held here.
        let _ = open.wait_for(|open| *open == 0).await;
    }
}

impl Place {
    /// Waits until the place is wanted for somebody else.
    pub(super) async fn wanted(&self) {
        self.0.leave.notified().await;
    }

    /// A request begins.
    pub(super) fn begin(&self) -> Busy {
        if let Some(entry) = self.0.inner.table().entries.get_mut(&self.0.id) {
            entry.busy += 1;
        }
        Busy(self.clone())
    }

    /// Makes the place a caller's: a request on the connection was let in.
    ///
    /// # Errors
    /// [`Code::TooManyConnections`] if the caller has its share of them, all at work.
    pub(super) fn claim(&self, who: &Who) -> Result<(), Fault> {
        self.take(Holder::from(who))
    }

    /// Makes the place one of those by which an opened port is looked at. What listens there knows
    /// the address as well, so these are a share of their own and never the master's.
    ///
    /// # Errors
    /// As [`Place::claim`].
    pub(super) fn claim_for_port(&self, who: &Who) -> Result<(), Fault> {
        self.take(Holder::Other(format!("ports of {who}")))
    }

    fn take(&self, holder: Holder) -> Result<(), Fault> {
        let shares = self.0.inner.shares;
        let mut table = self.0.inner.table();
        let id = self.0.id;
        if table
            .entries
            .get(&id)
            .is_some_and(|entry| entry.holder == holder)
        {
            return Ok(());
        }
        // The connection itself is neither counted nor sent away. One that is not there was
        // sent away while its request came in.
        let Some(mut entry) = table.entries.remove(&id) else {
            return Err(too_many());
        };
        let room = |table: &mut Table, share: usize, which: &dyn Fn(&Entry) -> bool| {
            table.count(which) < share || table.send_away(which)
        };
        let is_other = |entry: &Entry| matches!(entry.holder, Holder::Other(_));
        let is_caller = |entry: &Entry| entry.holder != Holder::Newcomer;
        let has_room = match &holder {
            Holder::Other(_) => {
                room(&mut table, shares.caller, &|entry| entry.holder == holder)
                    && room(&mut table, shares.others, &is_other)
            }
            Holder::Master | Holder::Newcomer => true,
        } && (table.count(is_caller) < shares.callers
            || table.send_away(is_other)
            || table.send_away(is_caller));
        if has_room {
            entry.holder = holder;
        }
        table.entries.insert(id, entry);
        if has_room { Ok(()) } else { Err(too_many()) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.inner.table().entries.remove(&self.id);
        self.inner.open.send_modify(|open| *open -= 1);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let seat = &self.0.0;
        let mut table = seat.inner.table();
        let now = table.tick();
        if let Some(entry) = table.entries.get_mut(&seat.id) {
            entry.busy -= 1;
            entry.since = now;
        }
    }
}

/// The fault of a connection beyond the limit.
pub(super) fn too_many() -> Fault {
    Fault::new(
        Code::TooManyConnections,
        "as many connections are open as may be; close some, or try again later",
    )
    .retry_after(std::time::Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::FutureExt as _;

    use super::*;

    fn peer(n: u32) -> Kin {
        Kin::Peer(IpAddr::V4(Ipv4Addr::from_bits(n)).into())
    }

    fn device(id: &str) -> Who {
        Who::Device {
            id: id.to_owned(),
            label: String::new(),
        }
    }

    fn enter(places: &Places, kin: Kin) -> Place {
        places.enter(kin).unwrap().place
    }

    fn is_wanted(place: &Place) -> bool {
        place.wanted().now_or_never().is_some()
    }

    #[test]
    fn idle_newcomers_of_a_peer_with_many_go_before_anybody_else_oldest_first() {
        let places = Places::new(64);
        let most = Shares::of(64).newcomers;
        let other = enter(&places, peer(2));
        let crowd: Vec<_> = (0..most + 2).map(|_| enter(&places, peer(1))).collect();
        let gone: Vec<_> = crowd.iter().map(is_wanted).collect();
        assert_eq!(gone[..3], [true; 3]);
        assert!(!gone[3..].contains(&true));
        assert!(!is_wanted(&other));
        let next = enter(&places, peer(3));
        assert!(is_wanted(&crowd[3]));
        assert!(!is_wanted(&other) && !is_wanted(&next));
    }

    #[test]
    fn the_programs_in_the_box_are_one_peer_with_a_small_share() {
        let places = Places::new(1024);
        let owner = enter(&places, peer(1));
        let own: Vec<_> = (0..1024).map(|_| enter(&places, Kin::Own)).collect();
        // Somebody outside, with hundreds, who lost nothing for the agent's sake.
        let outside: Vec<_> = (0..400).map(|_| enter(&places, peer(2))).collect();
        assert!(!is_wanted(&owner));
        assert!(!outside.iter().any(is_wanted));
        let left = own.iter().filter(|place| !is_wanted(place)).count();
        assert_eq!(left, Shares::of(1024).newcomers - 401);
    }

    #[test]
    fn many_peers_together_leave_the_last_newcomer_in_and_every_caller() {
        let places = Places::new(64);
        let callers: Vec<_> = (0..8)
            .map(|n| {
                let place = enter(&places, peer(1000 + n));
                place.claim(&Who::Master).unwrap();
                place
            })
            .collect();
        let crowd: Vec<_> = (0..500).map(|n| enter(&places, peer(n))).collect();
        assert!(!callers.iter().any(is_wanted));
        assert!(!is_wanted(crowd.last().unwrap()));
        crowd.last().unwrap().claim(&Who::Master).unwrap();
    }

    #[test]
    fn the_others_cannot_use_up_the_places_of_the_master() {
        let places = Places::new(64);
        let mut held = Vec::new();
        let mut refused = 0;
        for n in 0..200_u32 {
            let place = enter(&places, peer(n));
            let busy = place.begin();
            match place.claim(&device(&(n % 10).to_string())) {
                Ok(()) => held.push((place, busy)),
                Err(fault) => {
                    assert_eq!(fault.code(), Code::TooManyConnections);
                    refused += 1;
                }
            }
        }
        assert_eq!(
            (held.len(), refused),
            (Shares::of(64).others, 200 - held.len())
        );
        let owner = enter(&places, peer(7));
        owner.claim(&Who::Master).unwrap();
        assert!(!held.iter().any(|(place, _)| is_wanted(place)));
    }

    #[test]
    fn one_device_has_its_share_and_its_idle_connection_makes_room() {
        let places = Places::new(64);
        let share = Shares::of(64).caller;
        let take = |n| {
            let place = enter(&places, peer(n));
            place.claim(&device("tv")).map(|()| place)
        };
        let held: Vec<_> = (0..4).map(|n| take(n).unwrap()).collect();
        let busy: Vec<_> = held.iter().map(Place::begin).collect();
        let idle: Vec<_> = (4..share)
            .map(|n| take(u32::try_from(n).unwrap()).unwrap())
            .collect();
        let next = take(99).unwrap();
        assert!(is_wanted(&idle[0]) && !is_wanted(&idle[1]));
        assert!(!held.iter().any(is_wanted));
        drop((busy, next));
    }

    #[tokio::test]
    async fn a_place_is_free_when_its_last_holder_goes() {
        let places = Places::new(4);
        let place = enter(&places, peer(1));
        let busy = place.begin();
        drop(place);
        assert!(places.emptied().now_or_never().is_none());
        drop(busy);
        places.emptied().await;
        assert!(places.0.table().entries.is_empty());
    }
}
