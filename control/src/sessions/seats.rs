//! How many sessions and shells may be live at once.
//!
//! Each is a Claude of some hundred megabytes, and the box has only so many. Sessions and shells
//! are counted apart, so that a full box can still be looked into.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cib_foreign::own;
use cib_protocol::session::{Program, SessionId};

use super::store::Store;
use crate::fault::{Code, Fault};

/// Bytes of memory that a session is reckoned with.
const SESSION: u64 = 400_000_000;

/// Sessions that any box may have.
const LEAST: usize = 2;

/// Shells that may be open at once.
pub const SHELLS: usize = 16;

/// Where the kernel says how much memory a container may use, by the version of its groups.
const LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// How many may be live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// As many as are asked for.
    Unlimited,
    /// So many.
    Limited(usize),
}

impl From<usize> for Most {
    /// Zero is no limit.
    fn from(most: usize) -> Self {
        match most {
            0 => Self::Unlimited,
            most => Self::Limited(most),
        }
    }
}

impl Most {
    /// As many as fit into the memory that the box has.
    #[must_use]
    pub fn by_memory() -> Self {
        Self::fitting(memory())
    }

    fn fitting(memory: Option<u64>) -> Self {
        let Some(memory) = memory else {
            return Self::Unlimited;
        };
        let fitting = usize::try_from(memory / SESSION).unwrap_or(usize::MAX);
        Self::Limited(fitting.max(LEAST))
    }
}

/// Bytes of memory that the box has, if that is known.
#[must_use]
pub fn memory() -> Option<u64> {
    let meminfo = own::read_to_string("/proc/meminfo").unwrap_or_default();
    let limits = LIMITS
        .iter()
        .filter_map(|path| own::read_to_string(path).ok());
    least(total(&meminfo), limits)
}

fn least(total: Option<u64>, limits: impl Iterator<Item = String>) -> Option<u64> {
    // "max", and a number beyond every memory, are no limits.
    let limits = limits.filter_map(|limit| limit.trim().parse::<u64>().ok());
    limits.chain(total).min()
}

/// Bytes of memory that the machine has.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The seats of the box.
#[derive(Debug)]
pub struct Seats {
    sessions: Most,
    shells: Most,
    starting: Arc<Mutex<Starting>>,
    /// Held while it is counted, so that of two that want the last seat one gets it.
    counting: tokio::sync::Mutex<()>,
}

/// Taken for the time in which a session starts; from then on it is counted as live.
#[derive(Debug)]
pub struct Seat {
    starting: Arc<Mutex<Starting>>,
    id: SessionId,
}

/// What starts at this moment.
type Starting = HashMap<SessionId, Program>;

fn locked<T>(set: &Mutex<T>) -> MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seats {
    /// Seats for so many sessions, and for [`SHELLS`] shells.
    #[must_use]
    pub fn new(sessions: Most) -> Self {
        Self {
            sessions,
            shells: Most::Limited(SHELLS),
            starting: Arc::default(),
            counting: tokio::sync::Mutex::default(),
        }
    }

    /// Takes a seat for what is about to start.
    ///
    /// # Errors
    /// [`Code::TooManySessions`] or [`Code::TooManyShells`], and what [`Store::list`] says.
    pub async fn take(
        &self,
        store: &Store,
        program: Program,
        id: SessionId,
    ) -> Result<Seat, Fault> {
        let most = match program {
            Program::Claude => self.sessions,
            Program::Shell => self.shells,
        };
        let _counting = self.counting.lock().await;
        if let Most::Limited(most) = most {
            // What starts is read before what is live: a session that comes up between the two
            // is then counted by both, and never by neither.
            let mut taken: HashSet<_> = locked(&self.starting)
                .iter()
                .filter(|(_, of)| **of == program)
                .map(|(id, _)| *id)
                .collect();
            let sessions = store.list(program).await?;
            let live = sessions.iter().filter(|meta| meta.state.is_live());
            taken.extend(live.map(|meta| meta.id));
            taken.remove(&id);
            if taken.len() >= most {
                return Err(full(program, taken.len(), most));
            }
        }
        locked(&self.starting).insert(id, program);
        Ok(Seat {
            starting: Arc::clone(&self.starting),
            id,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        locked(&self.starting).remove(&self.id);
    }
}

fn full(program: Program, live: usize, most: usize) -> Fault {
    match program {
        Program::Claude => Fault::new(
            Code::TooManySessions,
            format!(
                "{live} sessions are live and {most} may be; end one with DELETE \
                 /api/sessions/{{id}}, or start the box with a larger CIB_MAX_SESSIONS"
            ),
        ),
        Program::Shell => Fault::new(
            Code::TooManyShells,
            format!(
                "{live} shells are open and {most} may be; end one with DELETE /api/shells/{{id}}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(total: Option<u64>, limits: &[&str]) -> Most {
        Most::fitting(least(total, limits.iter().map(|limit| (*limit).to_owned())))
    }

    #[test]
    fn the_containers_limit_counts_before_the_machines_memory() {
        let gigabyte = 1_000_000_000;
        assert_eq!(fitting(Some(24 * gigabyte), &["max\n"]), Most::Limited(60));
        assert_eq!(
            fitting(Some(24 * gigabyte), &["4000000000\n"]),
            Most::Limited(10)
        );
        assert_eq!(
            fitting(Some(2 * gigabyte), &["9223372036854771712\n"]),
            Most::Limited(5)
        );
        assert_eq!(fitting(Some(gigabyte / 4), &[]), Most::Limited(LEAST));
        assert_eq!(fitting(None, &[]), Most::Unlimited);
    }

    #[test]
    fn the_machines_memory_is_read_from_what_the_kernel_prints() {
        let meminfo = "MemTotal:       24576000 kB\nMemFree:         1000 kB\n";
        assert_eq!(total(meminfo), Some(24_576_000 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(matches!(Most::by_memory(), Most::Limited(most) if most >= LEAST));
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Most::from(0), Most::Unlimited);
        assert_eq!(Most::from(3), Most::Limited(3));
    }
}
