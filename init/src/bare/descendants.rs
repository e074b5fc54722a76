//! Who is left when the command has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::sys::signal;

/// Pause between two rounds of SIGKILL: whoever was just being forked gets the next one.
pub(crate) const KILL_AGAIN: Duration = Duration::from_millis(10);
/// How long SIGKILL may take: a process in an uninterruptible wait, or one that belongs to
/// another user, would keep us for ever.
pub(crate) const UNKILLABLE: Duration = Duration::from_secs(2);

/// The descendants that have to go.
#[derive(Debug)]
pub struct Remaining {
    /// Whether every process of the namespace is one.
    everybody: bool,
    /// Process and start time of those that were sent SIGTERM already.
    asked: BTreeSet<(i32, u64)>,
    asked_everybody: bool,
}

impl Remaining {
    /// Those of this process: as PID 1, everybody in the namespace.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            everybody: rustix::process::getpid().is_init(),
            asked: BTreeSet::new(),
            asked_everybody: false,
        }
    }

    /// Sends SIGTERM to each that has not had it.
    pub fn ask(&mut self) {
        if !self.everybody {
            for (pid, started) in own_descendants() {
                if self.asked.insert((pid, started)) {
                    end(pid, libc::SIGTERM);
                }
            }
        } else if !self.asked_everybody {
            // One call, which the kernel makes while nobody can fork. Those that are born
            // later have a parent that is ending, and die at the deadline at the latest.
            self.asked_everybody = true;
            end(-1, libc::SIGTERM);
        }
    }

    /// Sends SIGKILL to all.
    pub fn kill(&self) {
        if self.everybody {
            end(-1, libc::SIGKILL);
        } else {
            for (pid, _) in own_descendants() {
                end(pid, libc::SIGKILL);
            }
        }
    }
}

/// Signals, and wakes who is stopped so that it can act on it. Who is gone already, or is not
/// ours to signal, is passed over.
fn end(target: i32, number: i32) {
    let _ = signal::send(target, number);
    if number != libc::SIGKILL {
        let _ = signal::send(target, libc::SIGCONT);
    }
}

fn own_descendants() -> Vec<(i32, u64)> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    descendants(own, &snapshot())
}

/// Parent and start time of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    parent: i32,
    started: u64,
}

/// Every process that `/proc` shows; nothing if it is not mounted.
fn snapshot() -> BTreeMap<i32, Entry> {
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    dir.filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parse_stat(&stat)?))
    })
    .collect()
}

/// `proc_pid_stat(5)`: the name is in parentheses and may contain anything, so fields are
/// counted from the last closing one. Field 4 is the parent, field 22 the start time.
fn parse_stat(stat: &[u8]) -> Option<Entry> {
    let end = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    Some(Entry {
        parent: fields.nth(1)?.parse().ok()?,
        started: fields.nth(17)?.parse().ok()?,
    })
}

fn descendants(root: i32, all: &BTreeMap<i32, Entry>) -> Vec<(i32, u64)> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, entry) in all {
        children.entry(entry.parent).or_default().push(*pid);
    }
    let mut found = Vec::new();
    let mut queue = vec![root];
    while let Some(parent) = queue.pop() {
        for pid in children.remove(&parent).unwrap_or_default() {
            found.push((pid, all[&pid].started));
            queue.push(pid);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse() {
        let stat = b"42 (a) b) (c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2";
        assert_eq!(
            parse_stat(stat),
            Some(Entry {
                parent: 7,
                started: 12345
            })
        );
    }

    #[test]
    fn grandchildren_are_descendants_and_strangers_are_not() {
        let entry = |parent| Entry { parent, started: 1 };
        let all = BTreeMap::from([(2, entry(1)), (3, entry(2)), (4, entry(3)), (5, entry(1))]);
        let mut found: Vec<i32> = descendants(2, &all).into_iter().map(|(p, _)| p).collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn our_own_entry_names_our_parent() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert_eq!(snapshot()[&own].parent, parent);
    }
}
