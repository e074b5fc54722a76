//! Bounding CPU time where no control group does: by whole CPUs.

use std::hash::{DefaultHasher, Hash, Hasher};

use cib_protocol::session::SessionId;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::log;

/// As many CPUs of those that this process may use as a limit needs; none if all may be used.
/// Sessions begin at different CPUs, so that they do not all crowd onto the first.
#[must_use]
pub fn within(limit: f64, session: SessionId) -> Vec<u16> {
    let set = match sched_getaffinity(None) {
        Ok(now) => chosen(&now, limit, session),
        Err(error) => {
            log!("the limit of {limit} CPUs is not enforced: {error}");
            None
        }
    };
    let chosen = set.iter().flat_map(|set| {
        (0..CpuSet::MAX_CPU)
            .filter(|cpu| set.is_set(*cpu))
            .filter_map(|cpu| u16::try_from(cpu).ok())
    });
    chosen.collect()
}

/// Some of the CPUs that may be used; `None` if the limit allows all of them.
fn chosen(allowed: &CpuSet, limit: f64, session: SessionId) -> Option<CpuSet> {
    let all: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    // A float cast saturates, and NaN becomes 0.
    let most = (limit.ceil() as usize).max(1);
    if most >= all.len() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    session.hash(&mut hasher);
    let first = usize::try_from(hasher.finish() % 1024).unwrap_or(0);
    let mut set = CpuSet::new();
    for step in 0..most {
        set.set(all[(first + step) % all.len()]);
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> CpuSet {
        let mut set = CpuSet::new();
        for cpu in [1, 3, 5, 7] {
            set.set(cpu);
        }
        set
    }

    #[test]
    fn a_limit_takes_whole_cpus_of_those_that_may_be_used() {
        for (limit, count) in [(0.5, 1), (1.0, 1), (1.5, 2), (f64::NAN, 1)] {
            let set = chosen(&four(), limit, SessionId::new_v4()).unwrap();
            assert_eq!(set.count(), count, "{limit}");
            assert!((0..8).all(|cpu| !set.is_set(cpu) || four().is_set(cpu)));
        }
        for limit in [4.0, 3.5, f64::INFINITY] {
            assert_eq!(chosen(&four(), limit, SessionId::nil()), None);
        }
    }

    #[test]
    fn sessions_do_not_all_crowd_onto_one_cpu() {
        let sets: Vec<_> = (0..64)
            .map(|number| chosen(&four(), 1.0, SessionId::from_u128(number)).unwrap())
            .collect();
        for cpu in [1, 3, 5, 7] {
            assert!(sets.iter().any(|set| set.is_set(cpu)), "nobody uses {cpu}");
        }
    }
}
