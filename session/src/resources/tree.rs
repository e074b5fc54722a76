//! What a process and its descendants use, added up from `/proc` where there is no group.
//!
//! Orphans of a session come to its launcher, which is their reaper, so none of them is missed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};

/// The sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// Bytes of resident sets; what processes share is counted with each of them.
    pub(super) memory: u64,
    /// Milliseconds of CPU time, with that of processes that were waited for.
    pub(super) cpu_ms: u64,
    /// Processes and threads.
    pub(super) pids: u64,
}

/// What the system says of itself, or what it is nearly everywhere.
fn configured(what: SysconfVar, usual: u64) -> u64 {
    let said = sysconf(what).ok().flatten();
    let said = said.and_then(|number| u64::try_from(number).ok());
    said.filter(|number| *number > 0).unwrap_or(usual)
}

impl Tree {
    /// Adds up the process `root` and everything below it, by `/proc` at `proc`.
    pub(super) fn of(proc: &Path, root: u32) -> Self {
        let page = configured(SysconfVar::PAGE_SIZE, 4096);
        let hertz = configured(SysconfVar::CLK_TCK, 100);
        let stats: HashMap<u32, Stat> = fs::read_dir(proc)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter_map(|pid| {
                // A process gives itself any name, also one that is no text.
                let stat = proc.join(pid.to_string()).join("stat");
                let text = cib_foreign::own::read_lossy(stat).ok()?;
                Some((pid, Stat::parse(&text)?))
            })
            .collect();
        let mut tree = Self::default();
        let mut ticks = 0_u64;
        for (&pid, stat) in &stats {
            if descends(&stats, pid, root) {
                tree.memory += stat.pages.saturating_mul(page);
                tree.pids += stat.threads;
                ticks += stat.ticks;
            }
        }
        tree.cpu_ms = ticks.saturating_mul(1000) / hertz;
        tree
    }
}

/// Whether `pid` is `root` or below it. A parent that is gone, or a loop made by a pid that
/// was used again while we read, ends the walk.
fn descends(stats: &HashMap<u32, Stat>, mut pid: u32, root: u32) -> bool {
    for _ in 0..=stats.len() {
        if pid == root {
            return true;
        }
        match stats.get(&pid) {
            Some(stat) => pid = stat.parent,
            None => return false,
        }
    }
    false
}

/// The fields of `proc_pid_stat(5)` that are needed.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    ticks: u64,
    threads: u64,
    pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses and may itself hold blanks and parentheses.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let at = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(at(4)?).ok()?,
            // User and system time, its own and that of children it waited for.
            ticks: at(14)? + at(15)? + at(16)? + at(17)?,
            threads: at(20)?,
            pages: at(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(parent: u32, ticks: u64, pages: u64) -> String {
        format!(
            "7 (a) b)) S {parent} 1 1 0 -1 4194560 1 1 0 0 {ticks} 1 2 3 20 0 2 0 99 4096 {pages} 0"
        )
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let parsed = Stat::parse(&stat(3, 10, 5)).unwrap();
        let expected = Stat {
            parent: 3,
            ticks: 16,
            threads: 2,
            pages: 5,
        };
        assert_eq!(parsed, expected);
    }

    #[test]
    fn a_tree_is_added_up_whatever_its_processes_call_themselves() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, parent) in [(10, 1), (11, 10), (12, 11), (20, 1)] {
            let dir = proc.path().join(pid.to_string());
            fs::create_dir(&dir).unwrap();
            let mut stat = stat(parent, 94, 1).into_bytes();
            assert_eq!(stat[3], b'a');
            // No text, as a process may call itself that would not be counted.
            stat[3] = 0xff;
            fs::write(dir.join("stat"), stat).unwrap();
        }
        let page = configured(SysconfVar::PAGE_SIZE, 4096);
        let tree = Tree::of(proc.path(), 10);
        assert_eq!(tree.memory, 3 * page);
        assert_eq!(tree.pids, 6);
        assert_eq!(
            tree.cpu_ms,
            3 * 100 * 1000 / configured(SysconfVar::CLK_TCK, 100)
        );
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let stat = |parent| Stat {
            parent,
            ticks: 0,
            threads: 1,
            pages: 0,
        };
        let stats = HashMap::from([(5, stat(6)), (6, stat(5))]);
        assert!(!descends(&stats, 5, 1));
    }
}
