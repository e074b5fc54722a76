//! To whom a port was opened: by a capability, which is an address that nobody can guess.
//!
//! A browser sends neither cookie nor proof for what a page of an origin that is nobody's loads,
//! so the address itself has to open it. It opens one port and nothing else, for as long as
//! whoever opened it is let in. Nothing of it outlives this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cib_protocol::time::Timestamp;
use futures_util::FutureExt as _;

use crate::auth::Caller;
use crate::auth::digest::Digest;
use crate::fault::{Code, Fault};

/// How long an opened port stays open.
const LIFE: Duration = Duration::from_hours(12);

/// How long it may be unused.
const IDLE: Duration = Duration::from_hours(1);

/// Ports that one caller may have open, and all together; the one that was unused longest goes.
const EACH: usize = 16;
const ALL: usize = 256;

/// Requests and sockets that one caller may have under way, and all together.
const VISITS_EACH: usize = 64;
const VISITS: usize = 256;

/// Bytes of a capability.
const CAPABILITY: usize = 16;

/// Every opened port.
#[derive(Clone, Debug, Default)]
pub struct Grants(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// By the digest of its capability.
    grants: HashMap<String, Grant>,
    /// Visits under way, by caller.
    visits: HashMap<String, usize>,
}

#[derive(Debug)]
struct Grant {
    port: u16,
    caller: Caller,
    made: Instant,
    used: Instant,
}

impl Grant {
    fn is_over(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(self.made) >= LIFE
            || now.saturating_duration_since(self.used) >= IDLE
            || self.caller.lapse().now_or_never().is_some()
    }
}

/// One request or socket of a browser to an opened port.
#[derive(Debug)]
pub struct Visit {
    /// The port.
    pub port: u16,
    /// Who opened it.
    pub caller: Caller,
    who: String,
    capability: String,
    grants: Grants,
}

impl Grants {
    /// Opens a port for a caller: its capability, and when it ends at the latest. Has to be called
    /// inside of the runtime.
    ///
    /// # Errors
    /// The kernel's answer, if it has no random bytes.
    pub fn open(&self, port: u16, caller: Caller) -> Result<(String, Timestamp), getrandom::Error> {
        let mut bytes = [0; CAPABILITY];
        getrandom::fill(&mut bytes)?;
        let capability = cib_base::hex::encode(&bytes);
        let life = i64::try_from(LIFE.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp::from_millis(Timestamp::now().as_millis().saturating_add(life));
        let until = caller.expires_at().map_or(until, |own| own.min(until));
        let now = Instant::now();
        let mut table = self.table();
        table.grants.retain(|_, grant| !grant.is_over(now));
        let who = caller.who.to_string();
        table.make_room(EACH, |grant| grant.caller.who.to_string() == who);
        table.make_room(ALL, |_| true);
        let grant = Grant {
            port,
            caller,
            made: now,
            used: now,
        };
        table.grants.insert(named(&capability), grant);
        Ok((capability, until))
    }

    /// A visit by a capability; nothing if it opens none, or no longer. Has to be called inside of
    /// the runtime.
    ///
    /// # Errors
    /// [`Code::TooManyConnections`].
    pub fn visit(&self, capability: &str) -> Result<Option<Visit>, Fault> {
        let (name, now) = (named(capability), Instant::now());
        let mut table = self.table();
        let Some(grant) = table.grants.get_mut(&name) else {
            return Ok(None);
        };
        if grant.is_over(now) {
            table.grants.remove(&name);
            return Ok(None);
        }
        grant.used = now;
        let (port, caller) = (grant.port, grant.caller.clone());
        let who = caller.who.to_string();
        let all: usize = table.visits.values().sum();
        let own = table.visits.get(&who).copied().unwrap_or_default();
        if own >= VISITS_EACH || all >= VISITS {
            let detail = "as many connections to ports are open as may be";
            let wait = Duration::from_secs(1);
            return Err(Fault::new(Code::TooManyConnections, detail).retry_after(wait));
        }
        table.visits.insert(who.clone(), own + 1);
        drop(table);
        Ok(Some(Visit {
            port,
            caller,
            who,
            capability: name,
            grants: self.clone(),
        }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes the one that was unused longest, as long as there are as many as may be.
    fn make_room(&mut self, most: usize, which: impl Fn(&Grant) -> bool) {
        let counted = |table: &Self| table.grants.values().filter(|grant| which(grant)).count();
        while counted(self) >= most {
            let of = self.grants.iter().filter(|(_, grant)| which(grant));
            let oldest = of.min_by_key(|(_, grant)| grant.used);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.grants.remove(&name);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut table = self.grants.table();
        // A socket may have been open for long: its port was in use until now.
        if let Some(grant) = table.grants.get_mut(&self.capability) {
            grant.used = Instant::now();
        }
        if let Some(visits) = table.visits.get_mut(&self.who) {
            *visits -= 1;
            if *visits == 0 {
                table.visits.remove(&self.who);
            }
        }
    }
}

/// What a capability is kept by: finding one by its digest tells nothing of it by its duration.
fn named(capability: &str) -> String {
    Digest::of(capability).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Who;

    fn caller(name: &str) -> Caller {
        Caller::unlimited(Who::User(name.to_owned()))
    }

    fn open(grants: &Grants, port: u16, name: &str) -> String {
        grants.open(port, caller(name)).unwrap().0
    }

    #[tokio::test]
    async fn a_capability_opens_its_port_and_no_other_word_does() {
        let grants = Grants::default();
        let one = open(&grants, 3000, "ann");
        let two = open(&grants, 3001, "ann");
        assert_ne!(one, two);
        assert_eq!(one.len(), 2 * CAPABILITY);
        assert_eq!(grants.visit(&one).unwrap().unwrap().port, 3000);
        assert_eq!(grants.visit(&two).unwrap().unwrap().port, 3001);
        for none in ["", "0", &one[1..], &one.to_uppercase()] {
            assert!(
                grants.visit(none).unwrap().is_none() || none == one,
                "{none}"
            );
        }
    }

    #[tokio::test]
    async fn one_that_is_old_or_unused_for_long_opens_nothing() {
        let now = Instant::now();
        let mut grant = Grant {
            port: 1,
            caller: caller("ann"),
            made: now,
            used: now,
        };
        assert!(!grant.is_over(now + IDLE - Duration::from_secs(1)));
        assert!(grant.is_over(now + IDLE));
        grant.used = now + LIFE;
        assert!(grant.is_over(now + LIFE));
    }

    #[tokio::test]
    async fn a_caller_has_so_many_ports_and_so_many_visits_and_takes_none_of_anothers() {
        let grants = Grants::default();
        let hers = open(&grants, 1, "ann");
        let first = open(&grants, 2, "bob");
        for port in 0..u16::try_from(EACH).unwrap() {
            open(&grants, 100 + port, "bob");
        }
        assert!(grants.visit(&first).unwrap().is_none());
        let last = open(&grants, 3, "bob");
        let held: Vec<_> = (0..VISITS_EACH).map(|_| grants.visit(&last)).collect();
        assert!(held.iter().all(|visit| visit.as_ref().unwrap().is_some()));
        let refused = grants.visit(&last).unwrap_err();
        assert_eq!(refused.code(), Code::TooManyConnections);
        assert!(grants.visit(&hers).unwrap().is_some());
        drop(held);
        assert!(grants.visit(&last).unwrap().is_some());
    }
}
