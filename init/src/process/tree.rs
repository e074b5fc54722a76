//! Ends everything below a process, in whatever group or session it is.

use std::collections::HashMap;
use std::time::Duration;

use cib_base::sys::pidfd_open;
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::Processes;
use crate::reaper::ChildId;
use crate::sys::pidfd;

/// So long those below are looked for. Whoever is left then is left behind.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at who is still dying.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Kills all that is below a child, but not the child, which adopts orphans: none can get away
/// before it is found. It is stopped first, and so is everybody below it before the first is
/// killed, so that nobody is left who could start another.
pub(super) async fn end_below(processes: &Processes, child: ChildId) {
    let end = Instant::now() + PATIENCE;
    processes.signal(child, libc::SIGSTOP);
    while Instant::now() < end && signal_below(child, libc::SIGSTOP, b"Tt") > 0 {
        tokio::task::yield_now().await;
    }
    while Instant::now() < end && signal_below(child, libc::SIGKILL, b"") > 0 {
        sleep(LOOK_AGAIN).await;
    }
}

/// Signals whoever lives below a process and is in none of these states; how many those are.
fn signal_below(root: ChildId, signal: i32, but: &[u8]) -> usize {
    let root = root.pid().cast_signed();
    let mut signalled = 0;
    for pid in below(root, &processes()) {
        let Some(now) = entry(pid).filter(|now| !now.is_dead() && !but.contains(&now.state)) else {
            continue;
        };
        signalled += 1;
        // The number may be another's by now: what is opened is signalled if it is still the
        // process that was seen.
        if let Ok(process) = pidfd_open(Pid::from_raw(pid))
            && entry(pid).is_some_and(|then| then.began == now.began)
        {
            let _ = pidfd::signal(&process, signal);
        }
    }
    signalled
}

/// What `/proc` tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    state: u8,
    parent: i32,
    began: u64,
}

impl Entry {
    fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

fn processes() -> HashMap<i32, Entry> {
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return HashMap::new();
    };
    let numbers = dir
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok());
    numbers.filter_map(|pid| Some((pid, entry(pid)?))).collect()
}

fn entry(pid: i32) -> Option<Entry> {
    parse(&cib_foreign::own::read(format!("/proc/{pid}/stat")).ok()?)
}

/// `proc_pid_stat(5)`: the name is in parentheses and may contain anything, so fields are
/// counted from the last closing one: the state, the parent, and seventeen on the start.
fn parse(stat: &[u8]) -> Option<Entry> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    Some(Entry {
        state: *fields.next()?.as_bytes().first()?,
        parent: fields.next()?.parse().ok()?,
        began: fields.nth(17)?.parse().ok()?,
    })
}

/// The numbers of all whose line of parents leads to `root`.
fn below(root: i32, all: &HashMap<i32, Entry>) -> Vec<i32> {
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, entry) in all {
            // A table that was read while ids were used again may lead around.
            if entry.parent == parent && *pid != root && !found.contains(pid) {
                found.push(*pid);
                parents.push(*pid);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_below_is_found_and_nobody_else() {
        let entry = |parent| Entry {
            state: b'S',
            parent,
            began: 1,
        };
        let all = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 8), (8, 7)];
        let all = all.map(|(pid, parent)| (pid, entry(parent)));
        let mut found = below(2, &all.into_iter().collect());
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_confuse() {
        let stat = b"42 (a) b) (c) T 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2\n";
        let expected = Entry {
            state: b'T',
            parent: 7,
            began: 12345,
        };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse(b"42 (a) S"), None);
    }
}
