//! Bounding CPU time where no control group does: by whole CPUs.

use std::hash::{DefaultHasher, Hash, Hasher};

use cib_protocol::session::SessionId;
use nix::sched::sched_getaffinity;
use nix::unistd::Pid;

/// As many CPUs of those that this process may use as a limit needs; none if all may be used.
/// Sessions begin at different CPUs, so that they do not all crowd onto the first.
#[must_use]
pub fn within(limit: f64, session: SessionId) -> Vec<u16> {
    match allowed() {
        Ok(allowed) => chosen(&allowed, limit, session).unwrap_or_default(),
        Err(error) => {
            tracing::warn!("the limit of {limit} CPUs is not enforced: {error}");
            Vec::new()
        }
    }
}

fn allowed() -> nix::Result<Vec<u16>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    let all = 0..nix::sched::CpuSet::count();
    let allowed = all.filter(|cpu| set.is_set(*cpu) == Ok(true));
    Ok(allowed.filter_map(|cpu| u16::try_from(cpu).ok()).collect())
}

/// Some of the CPUs that may be used; `None` if the limit allows all of them.
fn chosen(allowed: &[u16], limit: f64, session: SessionId) -> Option<Vec<u16>> {
    // A float cast saturates, and NaN becomes 0.
    let most = (limit.ceil() as usize).max(1);
    if most >= allowed.len() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    session.hash(&mut hasher);
    let first = usize::try_from(hasher.finish() % 1024).unwrap_or(0);
    let step = |step| allowed[(first + step) % allowed.len()];
    Some((0..most).map(step).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: [u16; 4] = [1, 3, 5, 7];

    #[test]
    fn a_limit_takes_whole_cpus_of_those_that_may_be_used() {
        for (limit, count) in [(0.5, 1), (1.0, 1), (1.5, 2), (f64::NAN, 1)] {
            let set = chosen(&FOUR, limit, SessionId::new_v4()).unwrap();
            assert_eq!(set.len(), count, "{limit}");
            assert!(set.iter().all(|cpu| FOUR.contains(cpu)));
        }
        for limit in [4.0, 3.5, f64::INFINITY] {
            assert_eq!(chosen(&FOUR, limit, SessionId::nil()), None);
        }
    }

    #[test]
    fn sessions_do_not_all_crowd_onto_one_cpu() {
        let sets: Vec<_> = (0..64)
            .map(|number| chosen(&FOUR, 1.0, SessionId::from_u128(number)).unwrap())
            .collect();
        for cpu in FOUR {
            assert!(
                sets.iter().any(|set| set.contains(&cpu)),
                "nobody uses {cpu}"
            );
        }
    }
}
