//! What a group, or without groups a process and its descendants, uses.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Controller;

/// Memory, time and tasks. `None` is not known, which is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory now: of the group, page cache included, or the sum of resident sets.
    pub memory: Option<u64>,
    /// CPU time so far. Without a group, that of processes that already ended is missing
    /// unless somebody of the tree waited for them.
    pub cpu: Option<Duration>,
    /// Processes and threads now.
    pub tasks: Option<u64>,
}

pub(super) fn of_group(dirs: &[(Option<Controller>, PathBuf)]) -> Usage {
    let mut usage = Usage::default();
    for (controller, dir) in dirs {
        match controller {
            None => {
                usage.memory = number(&dir.join("memory.current"));
                usage.cpu = microseconds(&dir.join("cpu.stat"));
                usage.tasks = number(&dir.join("pids.current"));
            }
            Some(Controller::Memory) => usage.memory = number(&dir.join("memory.usage_in_bytes")),
            Some(Controller::CpuAccounting) => {
                usage.cpu = number(&dir.join("cpuacct.usage")).map(Duration::from_nanos);
            }
            Some(Controller::Tasks) => usage.tasks = number(&dir.join("pids.current")),
            Some(Controller::Cpu) => {}
        }
    }
    usage
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn microseconds(path: &Path) -> Option<Duration> {
    let text = fs::read_to_string(path).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))?;
    line.trim().parse().ok().map(Duration::from_micros)
}

/// What the process `root` and its descendants use, by `/proc` at `proc`.
#[must_use]
pub fn usage_of_tree(proc: &Path, root: u32) -> Usage {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let ticks = rustix::param::clock_ticks_per_second();
    let stats: HashMap<u32, Stat> = fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let text = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
            Some((pid, Stat::parse(&text)?))
        })
        .collect();
    let mut memory = 0;
    let mut time = 0;
    let mut tasks = 0;
    for (&pid, stat) in &stats {
        if descends(&stats, pid, root) {
            memory += stat.pages.saturating_mul(page);
            time += stat.ticks;
            tasks += stat.threads;
        }
    }
    let cpu = Duration::from_millis(time.saturating_mul(1000) / ticks.max(1));
    Usage {
        memory: Some(memory),
        cpu: Some(cpu),
        tasks: Some(tasks),
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
        assert_eq!(
            parsed,
            Stat {
                parent: 3,
                ticks: 16,
                threads: 2,
                pages: 5
            }
        );
    }

    #[test]
    fn a_tree_is_added_up_without_its_neighbours() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, parent) in [(10, 1), (11, 10), (12, 11), (20, 1)] {
            let dir = proc.path().join(pid.to_string());
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("stat"), stat(parent, 94, 1)).unwrap();
        }
        let page = u64::try_from(rustix::param::page_size()).unwrap();
        let usage = usage_of_tree(proc.path(), 10);
        assert_eq!(usage.memory, Some(3 * page));
        assert_eq!(usage.tasks, Some(6));
        assert!(usage.cpu.unwrap() > Duration::ZERO);
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let stats = HashMap::from([
            (
                5,
                Stat {
                    parent: 6,
                    ticks: 0,
                    threads: 1,
                    pages: 0,
                },
            ),
            (
                6,
                Stat {
                    parent: 5,
                    ticks: 0,
                    threads: 1,
                    pages: 0,
                },
            ),
        ]);
        assert!(!descends(&stats, 5, 1));
    }
}
