//! Finds the descendants of a process, to end them where the kernel cannot do so at once.

use std::collections::HashMap;
use std::fs;

use crate::sys::signal;

/// Kills every descendant of a process that can be seen; how many there were. One that was
/// just being forked is there for the next round.
pub(super) fn kill_below(ancestor: u32) -> usize {
    let parents = parents();
    let Ok(ancestor) = i32::try_from(ancestor) else {
        return 0;
    };
    let below = parents
        .keys()
        .filter(|pid| descends(**pid, ancestor, &parents));
    // It may have ended meanwhile.
    below
        .filter(|pid| signal::send(**pid, libc::SIGKILL).is_ok())
        .count()
}

fn descends(pid: i32, ancestor: i32, parents: &HashMap<i32, i32>) -> bool {
    let mut at = pid;
    // A chain is no longer than there are processes; the table may have been read while it
    // changed.
    for _ in 0..parents.len() {
        match parents.get(&at) {
            Some(parent) if *parent == ancestor => return true,
            Some(parent) => at = *parent,
            None => return false,
        }
    }
    false
}

/// Every living process and its parent.
fn parents() -> HashMap<i32, i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = cib_foreign::own::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent(&stat)?))
        })
        .collect()
}

/// Field 4 of `/proc/<pid>/stat`, unless the process is a remnant. The second field is the
/// program's name in parentheses and may hold anything.
fn parent(stat: &[u8]) -> Option<i32> {
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(stat.get(close + 1..)?).into_owned();
    let mut fields = rest.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pretend_to_be_another_parent() {
        assert_eq!(parent(b"12 (evil) S 1 () S 7 7 7 0"), Some(7));
        assert_eq!(parent(b"12 (gone) Z 7 7 7 0"), None);
        assert_eq!(parent(b"nonsense"), None);
    }

    #[test]
    fn a_descendant_is_one_over_any_number_of_steps_and_a_ring_ends() {
        let parents = HashMap::from([(5, 4), (4, 3), (3, 1), (8, 9), (9, 8)]);
        assert!(descends(5, 3, &parents) && descends(4, 3, &parents));
        assert!(!descends(3, 3, &parents) && !descends(8, 3, &parents));
    }
}
