//! What a session uses, and which of its limits on that it has reached.
//!
//! Where init could make a control group, the kernel counts and bounds, and tells when a bound
//! was hit. Where it could not, `/proc` is added up and the keeper itself looks now and then.

pub mod cpus;
mod group;
mod tree;

use std::path::{Path, PathBuf};

use cib_protocol::limits::{Limits, Resources};

use group::Group;
use tree::Tree;

/// Milliseconds between two looks at limits; more than a keeper takes to make itself small.
pub const LOOK_MS: u64 = 1500;

/// Milliseconds over which the use of CPUs is averaged, at least.
const RATE_MS: u64 = 1000;

/// The accounts of one session.
#[derive(Debug)]
pub struct Meter {
    group: Group,
    /// The launcher, the root of the session's processes.
    root: u32,
    /// CPU time of the session before this run of it, less what the accounts began with.
    cpu_before_ms: i64,
    /// The most memory that was ever seen.
    peak: Option<u64>,
    /// When CPU time was last looked at, and what it was.
    rated: Option<(u64, u64)>,
    cpus: Option<f64>,
    /// What the group had counted when this run began.
    killed: u64,
    refused: u64,
}

/// One reading.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    memory: Option<u64>,
    cpu_ms: Option<u64>,
    pids: Option<u64>,
}

impl Meter {
    /// Accounts of the process `root` and its descendants, in the group with these directories,
    /// if there are any. `before` is what earlier runs of the session used.
    #[must_use]
    pub fn new(root: u32, group: Vec<PathBuf>, before: Resources) -> Self {
        let mut meter = Self {
            group: Group::new(group),
            root,
            cpu_before_ms: 0,
            peak: before.memory_peak,
            rated: None,
            cpus: None,
            killed: 0,
            refused: 0,
        };
        // A group may be an old one that could not be removed.
        let began_ms = meter.group.cpu_ms().unwrap_or(0);
        meter.cpu_before_ms = signed(before.cpu_ms.unwrap_or(0)) - signed(began_ms);
        meter.killed = meter.group.killed().unwrap_or(0);
        meter.refused = meter.group.refused().unwrap_or(0);
        meter
    }

    /// What is used now and was used so far. How long the session ran is its clock's word.
    pub fn read(&mut self, now_ms: u64) -> Resources {
        let reading = self.reading();
        self.peak = [self.peak, reading.memory, self.group.memory_peak()]
            .into_iter()
            .flatten()
            .max();
        if let Some(cpu_ms) = reading.cpu_ms {
            self.rate(now_ms, cpu_ms);
        }
        let total_ms = reading
            .cpu_ms
            .map(|ms| signed(ms).saturating_add(self.cpu_before_ms));
        Resources {
            memory: reading.memory,
            memory_peak: self.peak,
            cpu_ms: total_ms.map(|ms| u64::try_from(ms).unwrap_or(0)),
            run_ms: None,
            cpus: self.cpus,
            pids: reading.pids,
        }
    }

    /// What was used when nothing is used any more.
    pub fn read_last(&mut self, now_ms: u64) -> Resources {
        Resources {
            memory: None,
            cpus: None,
            pids: None,
            ..self.read(now_ms)
        }
    }

    /// Whether anything has to be looked at every [`LOOK_MS`].
    #[must_use]
    pub fn watches(limits: &Limits) -> bool {
        limits.memory.is_some() || limits.pids.is_some()
    }

    /// Which limit was hit. Of a group the kernel says so; without one the sums do.
    #[must_use]
    pub fn reached(&self, limits: &Limits) -> Option<&'static str> {
        if !Self::watches(limits) {
            return None;
        }
        let (killed, refused) = (self.group.killed(), self.group.refused());
        let needs_sums = (limits.memory.is_some() && killed.is_none())
            || (limits.pids.is_some() && refused.is_none());
        let sums = if needs_sums {
            self.tree()
        } else {
            Tree::default()
        };
        let memory = limits.memory.is_some_and(|most| match killed {
            Some(killed) => killed > self.killed,
            None => sums.memory > most,
        });
        let pids = limits.pids.is_some_and(|most| match refused {
            Some(refused) => refused > self.refused,
            None => sums.pids > most,
        });
        if memory {
            Some("memory")
        } else if pids {
            Some("pids")
        } else {
            None
        }
    }

    /// Whether the group bounds CPU time, so that nobody else has to.
    #[must_use]
    pub fn bounds_cpu(&self) -> bool {
        self.group.bounds_cpu()
    }

    fn reading(&self) -> Reading {
        let mut reading = Reading {
            memory: self.group.memory(),
            cpu_ms: self.group.cpu_ms(),
            pids: self.group.pids(),
        };
        if reading.memory.is_none() || reading.cpu_ms.is_none() || reading.pids.is_none() {
            let tree = self.tree();
            reading.memory.get_or_insert(tree.memory);
            reading.cpu_ms.get_or_insert(tree.cpu_ms);
            reading.pids.get_or_insert(tree.pids);
        }
        reading
    }

    fn tree(&self) -> Tree {
        Tree::of(Path::new("/proc"), self.root)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds are far below 2^53"
    )]
    fn rate(&mut self, now_ms: u64, cpu_ms: u64) {
        let Some((at_ms, was_ms)) = self.rated else {
            self.rated = Some((now_ms, cpu_ms));
            return;
        };
        let time_ms = now_ms.saturating_sub(at_ms);
        if time_ms >= RATE_MS {
            self.cpus = Some(cpu_ms.saturating_sub(was_ms) as f64 / time_ms as f64);
            self.rated = Some((now_ms, cpu_ms));
        }
    }
}

fn signed(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn without_a_group_this_process_is_added_up_and_time_of_earlier_runs_counts() {
        let before = Resources {
            cpu_ms: Some(5000),
            memory_peak: Some(u64::MAX),
            ..Resources::default()
        };
        let mut meter = Meter::new(std::process::id(), Vec::new(), before);
        let now = meter.read(0);
        assert!(now.memory.unwrap() > 100_000, "{now:?}");
        assert!(now.pids.unwrap() >= 1);
        assert!((5000..60_000).contains(&now.cpu_ms.unwrap()), "{now:?}");
        assert_eq!((now.memory_peak, now.cpus), (Some(u64::MAX), None));
        let last = meter.read_last(RATE_MS);
        assert_eq!((last.memory, last.pids, last.cpus), (None, None, None));
        assert!(last.cpu_ms >= now.cpu_ms);
    }

    #[test]
    fn the_use_of_cpus_is_an_average_over_at_least_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let used = |ms: u64| {
            fs::write(dir.path().join("cpu.stat"), format!("usage_usec {ms}000\n")).unwrap();
        };
        used(100);
        let mut meter = Meter::new(
            std::process::id(),
            vec![dir.path().to_owned()],
            Resources::default(),
        );
        assert_eq!(meter.read(0).cpu_ms, Some(0), "the group was used before");
        used(400);
        assert_eq!(meter.read(500).cpus, None);
        used(3100);
        let now = meter.read(2000);
        assert_eq!((now.cpus, now.cpu_ms), (Some(1.5), Some(3000)));
    }

    #[test]
    fn a_groups_limit_is_reached_when_the_kernel_says_so_and_not_by_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        write("memory.events", "oom_kill 1\n");
        write("pids.events", "max 1\n");
        let meter = Meter::new(
            std::process::id(),
            vec![dir.path().to_owned()],
            Resources::default(),
        );
        let limits = Limits {
            memory: Some(1),
            pids: Some(1),
            ..Limits::default()
        };
        assert_eq!(meter.reached(&limits), None);
        write("pids.events", "max 2\n");
        assert_eq!(meter.reached(&limits), Some("pids"));
        write("memory.events", "oom_kill 2\n");
        assert_eq!(meter.reached(&limits), Some("memory"));
        assert_eq!(meter.reached(&Limits::default()), None);
    }

    #[test]
    fn without_a_group_the_sums_reach_the_limit() {
        let meter = Meter::new(std::process::id(), Vec::new(), Resources::default());
        let limit = |memory, pids| Limits {
            memory: Some(memory),
            pids: Some(pids),
            ..Limits::default()
        };
        assert_eq!(meter.reached(&limit(u64::MAX, u64::MAX)), None);
        assert_eq!(meter.reached(&limit(4096, u64::MAX)), Some("memory"));
        assert_eq!(meter.reached(&limit(u64::MAX, 0)), Some("pids"));
    }
}
