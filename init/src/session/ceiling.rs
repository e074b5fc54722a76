//! Decides how many sessions the box can have at once.

use std::path::Path;

/// What a session takes at the least: its keeper, its launcher and the smallest of programs.
/// Claude itself takes many times that; how many of it are wise is for `CIB_MAX_SESSIONS`.
const EACH: u64 = 32 * 1024 * 1024;
/// So many are possible in the smallest box, and no more than so many in the largest.
const RANGE: (u64, u64) = (4, 1024);
/// With less memory than this left, none is started, whatever the number.
const LAST: u64 = 32 * 1024 * 1024;
/// Where a container sees its own limit: version 2 and version 1.
const LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// How many sessions may live at once in this container.
#[must_use]
pub(super) fn of_this_box() -> usize {
    let limit = LIMITS.iter().find_map(|path| {
        cib_foreign::own::read_to_string(path)
            .ok()?
            .trim()
            .parse()
            .ok()
    });
    let machine = meminfo("MemTotal:");
    number(limit.into_iter().chain(machine).min())
}

/// Whether there is so little memory left that the kernel would soon have to kill somebody.
#[must_use]
pub(super) fn is_exhausted() -> bool {
    meminfo("MemAvailable:").is_some_and(|left| left < LAST)
}

fn number(bytes: Option<u64>) -> usize {
    let (least, most) = RANGE;
    let number = bytes.map_or(most, |bytes| (bytes / EACH).clamp(least, most));
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn meminfo(field: &str) -> Option<u64> {
    let text = cib_foreign::own::read_to_string(Path::new("/proc/meminfo")).ok()?;
    field_of(&text, field)
}

/// A field of `/proc/meminfo` in bytes.
fn field_of(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_decides_within_bounds() {
        assert_eq!(number(Some(1 << 30)), 32);
        assert_eq!(number(Some(1)), 4);
        assert_eq!(number(Some(u64::MAX)), 1024);
        assert_eq!(number(None), 1024);
    }

    #[test]
    fn the_kernels_own_words_are_understood() {
        let text = "MemTotal:       24564988 kB\nMemAvailable:     123456 kB\n";
        assert_eq!(field_of(text, "MemAvailable:"), Some(123_456 * 1024));
        assert_eq!(field_of(text, "SwapFree:"), None);
        assert!(of_this_box() >= 4);
    }
}
