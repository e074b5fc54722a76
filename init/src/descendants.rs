//! Ends the processes that are left when a command or a box has ended.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::wait::WaitPidFlag;

use crate::signals;
use crate::sys::{signal, wait};

/// Pause between two rounds of SIGKILL: whoever was just being forked gets the next one.
pub const KILL_AGAIN: Duration = Duration::from_millis(10);
/// From SIGTERM to SIGCONT: a process that runs has taken the first by then, and its handler is
/// not put off by the second.
pub const WAKE_AFTER: Duration = Duration::from_millis(50);
/// How long SIGKILL may take: a process in an uninterruptible wait, or one that belongs to
/// another user, would keep us for ever.
pub const UNKILLABLE: Duration = Duration::from_secs(2);

/// Deaths that are taken before the clock is looked at again.
const BATCH: usize = 64;

/// Asks every descendant that is left to end, waits until they have, and kills after `grace`,
/// or when a signal asks for it. Every signal must be blocked. Returns whether all are gone.
pub fn clear(grace: Duration) -> bool {
    // Most often nobody is.
    if matches!(reap(), Reaped::NoChild) {
        return true;
    }
    let mut remaining = Remaining::of_this_process();
    let mut kill_at = Instant::now() + grace;
    let mut wake_at = None;
    loop {
        let now = Instant::now();
        let timeout = match reap() {
            Reaped::NoChild => return true,
            Reaped::More => Duration::ZERO,
            Reaped::Nobody if now < kill_at => {
                if remaining.ask() {
                    wake_at = Some(now + WAKE_AFTER);
                }
                if wake_at.is_some_and(|then| then <= now) {
                    remaining.wake();
                    wake_at = None;
                }
                wake_at.map_or(kill_at, |then| then.min(kill_at)) - now
            }
            Reaped::Nobody if now < kill_at + UNKILLABLE => {
                remaining.kill();
                KILL_AGAIN
            }
            Reaped::Nobody => return false,
        };
        // Asked to end while the rest is given its grace: it has had some.
        if signal::take(Some(timeout)).is_some_and(signals::asks_to_end) {
            kill_at = kill_at.min(Instant::now());
        }
    }
}

enum Reaped {
    /// There may be more.
    More,
    /// Nobody else is dead, and somebody is alive.
    Nobody,
    /// There is no child at all.
    NoChild,
}

fn reap() -> Reaped {
    for _ in 0..BATCH {
        match wait::any(WaitPidFlag::WNOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return Reaped::Nobody,
            Err(_) => return Reaped::NoChild,
        }
    }
    Reaped::More
}

/// The descendants of this process that have to go: as PID 1, everybody in the namespace.
#[derive(Debug)]
pub struct Remaining {
    everybody: bool,
    asked_everybody: bool,
    /// When those began that were sent SIGTERM already, by process id.
    asked: BTreeMap<i32, u64>,
}

impl Remaining {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            everybody: std::process::id() == 1,
            asked_everybody: false,
            asked: BTreeMap::new(),
        }
    }

    /// Sends SIGTERM to each that has not had it; whether there was one. They are to be woken
    /// [`WAKE_AFTER`] that: who is stopped acts on it only then.
    pub fn ask(&mut self) -> bool {
        if self.everybody {
            // One call, which the kernel makes while nobody can fork. Those that are born
            // later have a parent that is ending, and die at the deadline at the latest.
            let is_first = !self.asked_everybody;
            if is_first {
                self.asked_everybody = true;
                self.each(libc::SIGTERM);
            }
            return is_first;
        }
        let mut any = false;
        for (pid, began) in descendants() {
            if self.asked.insert(pid, began) != Some(began) {
                let _ = signal::send(pid, libc::SIGTERM);
                any = true;
            }
        }
        any
    }

    /// Wakes who is stopped, so that it can act on what it was asked.
    pub fn wake(&self) {
        self.each(libc::SIGCONT);
    }

    /// Sends SIGKILL to all.
    pub fn kill(&self) {
        self.each(libc::SIGKILL);
    }

    fn each(&self, number: i32) {
        // Whoever is gone or not ours is passed over.
        if self.everybody {
            let _ = signal::send(-1, number);
        } else {
            for (pid, _) in descendants() {
                let _ = signal::send(pid, number);
            }
        }
    }
}

/// The process id of each descendant that `/proc` shows, and the time at which it began; none if
/// it is not mounted.
fn descendants() -> Vec<(i32, u64)> {
    let own = std::process::id().cast_signed();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, descends(pid, own, stat)?)))
        .collect()
}

/// Parent and start time of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    began: u64,
}

/// When a process began, if the line of its parents leads to `root`. Somebody may die on the
/// way; who is missed now has another parent the next time.
fn descends(pid: i32, root: i32, stat: impl Fn(i32) -> Option<Stat>) -> Option<u64> {
    /// A line that is longer than this only seems so because ids were used again meanwhile.
    const LONGEST: usize = 100_000;
    let first = stat(pid)?;
    let mut parent = first.parent;
    for _ in 0..LONGEST {
        if parent == root {
            return Some(first.began);
        }
        if parent <= 1 {
            return None;
        }
        parent = stat(parent)?.parent;
    }
    None
}

fn stat(pid: i32) -> Option<Stat> {
    parse(&cib_foreign::own::read(format!("/proc/{pid}/stat")).ok()?)
}

/// `proc_pid_stat(5)`: the name is in parentheses and may contain anything, so fields are
/// counted from the last closing one. Field 4 is the parent, field 22 the start time.
fn parse(stat: &[u8]) -> Option<Stat> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    // The state comes first.
    let mut fields = rest.split_ascii_whitespace().skip(1);
    Some(Stat {
        parent: fields.next()?.parse().ok()?,
        began: fields.nth(17)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse() {
        let stat = b"42 (a) b) (c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2\n";
        assert_eq!(
            parse(stat),
            Some(Stat {
                parent: 7,
                began: 12345
            })
        );
        assert_eq!(parse(b"42 (a) S"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn grandchildren_are_descendants_and_strangers_are_not() {
        let stat = |pid: i32| {
            let parent = match pid {
                2 | 5 => 1,
                3 => 2,
                4 => 3,
                // As it looks when ids are used again in the middle of it.
                6 => 7,
                7 => 6,
                _ => return None,
            };
            Some(Stat {
                parent,
                began: 10 + u64::from(pid.unsigned_abs()),
            })
        };
        assert_eq!(descends(3, 2, stat), Some(13));
        assert_eq!(descends(4, 2, stat), Some(14));
        for stranger in [1, 2, 5, 6, 8] {
            assert_eq!(descends(stranger, 2, stat), None, "{stranger}");
        }
    }

    #[test]
    fn our_own_entry_names_our_parent() {
        let own = std::process::id().cast_signed();
        let parent = std::os::unix::process::parent_id().cast_signed();
        assert_eq!(stat(own).unwrap().parent, parent);
    }

    #[test]
    fn a_child_is_found_and_this_process_is_not() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let found = descendants();
        child.kill().unwrap();
        child.wait().unwrap();
        let pids: Vec<u32> = found.iter().map(|(pid, _)| pid.unsigned_abs()).collect();
        assert!(pids.contains(&child.id()), "{pids:?}");
        assert!(!pids.contains(&std::process::id()));
        assert!(found.iter().all(|(_, began)| *began > 0));
    }
}
