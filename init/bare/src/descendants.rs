//! Who is left when the command has ended.

use core::mem::MaybeUninit;
use core::time::Duration;

use crate::sys::kernel;
use crate::sys::table::Table;
use crate::text::{Digits, number};

/// Pause between two rounds of SIGKILL: whoever was just being forked gets the next one.
pub const KILL_AGAIN: Duration = Duration::from_millis(10);
/// From SIGTERM to SIGCONT: a process that runs has taken the first by then, and its handler is
/// not put off by the second.
pub const WAKE_AFTER: Duration = Duration::from_millis(50);
/// How long SIGKILL may take: a process in an uninterruptible wait, or one that belongs to
/// another user, would keep us for ever.
pub const UNKILLABLE: Duration = Duration::from_secs(2);

/// The descendants that have to go.
#[derive(Debug)]
pub(crate) struct Remaining {
    /// Whether every process of the namespace is one.
    everybody: bool,
    asked_everybody: bool,
    /// When those began that were sent SIGTERM already, by process id.
    asked: Option<Table>,
}

impl Remaining {
    /// Those of this process: as PID 1, everybody in the namespace.
    pub(crate) fn of_this_process() -> Self {
        Self {
            everybody: kernel::own_pid() == 1,
            asked_everybody: false,
            asked: None,
        }
    }

    /// Sends SIGTERM to each that has not had it; whether there was one. Who is stopped acts on
    /// it once it is woken.
    pub(crate) fn ask(&mut self) -> bool {
        let mut any = false;
        if !self.everybody {
            let asked = self.asked.get_or_insert_with(Table::new);
            each_descendant(|pid, began| {
                // The clock began before any process did, so that 0 is nobody's.
                if asked.replace(pid, began) != began {
                    kernel::send(pid, libc::SIGTERM);
                    any = true;
                }
            });
        } else if !self.asked_everybody {
            // One call, which the kernel makes while nobody can fork. Those that are born
            // later have a parent that is ending, and die at the deadline at the latest.
            self.asked_everybody = true;
            kernel::send(-1, libc::SIGTERM);
            any = true;
        }
        any
    }

    /// Wakes who is stopped, so that it can act on what it was asked.
    pub(crate) fn wake(&self) {
        self.each(libc::SIGCONT);
    }

    /// Sends SIGKILL to all.
    pub(crate) fn kill(&self) {
        self.each(libc::SIGKILL);
    }

    fn each(&self, signal: i32) {
        if self.everybody {
            kernel::send(-1, signal);
        } else {
            each_descendant(|pid, _| kernel::send(pid, signal));
        }
    }
}

/// Calls `found` with the id of each descendant that `/proc` shows and the time at which it
/// began; with none if it is not mounted.
fn each_descendant(mut found: impl FnMut(i32, u64)) {
    let own = kernel::own_pid();
    let Ok(dir) = kernel::open(b"/proc\0", libc::O_RDONLY | libc::O_DIRECTORY) else {
        return;
    };
    let mut room = [const { MaybeUninit::<u8>::uninit() }; 4096];
    while let Ok(records) = kernel::entries(dir, &mut room) {
        if records.is_empty() {
            break;
        }
        each_id(records, |pid| {
            if let Some(began) = descends(pid, own, stat) {
                found(pid, began);
            }
        });
    }
    kernel::close(dir);
}

/// The process ids among the records of `getdents64(2)`: the length of a record is at byte 16,
/// its name at 19.
fn each_id(records: &[u8], mut found: impl FnMut(i32)) {
    let mut rest = records;
    while let Some([low, high]) = rest.get(16..18) {
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        let Some((record, following)) = rest.split_at_checked(length) else {
            return;
        };
        let name = record.get(19..).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if let Some(pid) = number(name).and_then(|pid| i32::try_from(pid).ok()) {
            found(pid);
        }
        if length == 0 {
            return;
        }
        rest = following;
    }
}

/// Parent and start time of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    parent: i32,
    began: u64,
}

/// When a process began, if the line of its parents leads to `root`. Somebody may die on the
/// way; who is missed now has another parent the next time.
fn descends(pid: i32, root: i32, stat: impl Fn(i32) -> Option<Entry>) -> Option<u64> {
    /// A line that is longer than this only seems so because ids were used again meanwhile.
    const LONGEST: u32 = 100_000;
    let first = stat(pid)?;
    let mut parent = first.parent;
    let mut steps = 0;
    while parent != root {
        if parent <= 1 || steps > LONGEST {
            return None;
        }
        parent = stat(parent)?.parent;
        steps += 1;
    }
    Some(first.began)
}

fn stat(pid: i32) -> Option<Entry> {
    let mut path = [0_u8; 32];
    let digits = Digits::of(pid.unsigned_abs());
    let text = b"/proc/".iter().chain(digits.as_bytes()).chain(b"/stat");
    for (to, from) in path.iter_mut().zip(text) {
        *to = *from;
    }
    let file = kernel::open(&path, libc::O_RDONLY).ok()?;
    // The fields that matter come within the first few hundred bytes.
    let mut room = [const { MaybeUninit::<u8>::uninit() }; 1024];
    let entry = kernel::read(file, &mut room).ok().and_then(parse);
    kernel::close(file);
    entry
}

/// `proc_pid_stat(5)`: the name is in parentheses and may contain anything, so fields are
/// counted from the last closing one. Field 4 is the parent, field 22 the start time.
fn parse(stat: &[u8]) -> Option<Entry> {
    let mut fields = stat
        .rsplitn(2, |byte| *byte == b')')
        .next()?
        .split(|byte| *byte == b' ');
    // An empty one before the first blank, and the state.
    let parent = number(fields.nth(2)?)?;
    Some(Entry {
        parent: i32::try_from(parent).ok()?,
        began: number(fields.nth(17)?)?,
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
            Some(Entry {
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
            Some(Entry {
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
        let mut found = Vec::new();
        each_descendant(|pid, began| found.push((pid, began)));
        child.kill().unwrap();
        child.wait().unwrap();
        let pids: Vec<u32> = found.iter().map(|(pid, _)| pid.unsigned_abs()).collect();
        assert!(pids.contains(&child.id()), "{pids:?}");
        assert!(!pids.contains(&std::process::id()));
        assert!(found.iter().all(|(_, began)| *began > 0));
    }

    #[test]
    fn a_table_remembers_the_last_value_of_each_id() {
        let mut table = Table::new();
        assert_eq!(table.replace(7, 70), 0);
        assert_eq!(table.replace(7, 71), 70);
        assert_eq!(table.replace(4_194_303, 5), 0);
        assert_eq!(table.replace(4_194_303, 6), 5);
        // Beyond what can be: never remembered, nothing overwritten.
        assert_eq!(table.replace(4_194_304, 5), 0);
        assert_eq!(table.replace(4_194_304, 6), 0);
        assert_eq!(table.replace(7, 0), 71);
    }
}
