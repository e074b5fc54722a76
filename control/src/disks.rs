//! How full the disks are that sessions work on and are recorded on.

use std::path::PathBuf;

use cib_protocol::api::Disk;
use nix::sys::statvfs::statvfs;

/// The disks of some folders, each once; a folder that cannot be looked at has none.
#[must_use]
pub fn of(folders: &[PathBuf]) -> Vec<Disk> {
    let mut seen = Vec::new();
    let mut disks = Vec::new();
    for folder in folders {
        let Ok(found) = statvfs(folder) else { continue };
        let block = wide(found.fragment_size());
        let disk = Disk {
            path: folder.display().to_string(),
            free: wide(found.blocks_available()).saturating_mul(block),
            total: wide(found.blocks()).saturating_mul(block),
        };
        if seen.contains(&found.filesystem_id()) || disks.iter().any(|other| are_one(other, &disk))
        {
            continue;
        }
        seen.push(found.filesystem_id());
        disks.push(disk);
    }
    disks
}

/// Whether two filesystems are most likely on one disk: an overlay has an id of its own, and the
/// numbers of what lies under it, which change from one look to the next.
fn are_one(a: &Disk, b: &Disk) -> bool {
    a.total == b.total && a.free.abs_diff(b.free) <= a.total / 1000
}

/// The kernel's numbers are narrower on some machines.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// Whole parts of a hundred that are free: what somebody looks at, and what does not change with
/// every file.
#[must_use]
pub fn part_free(disk: &Disk) -> u64 {
    disk.free.saturating_mul(100) / disk.total.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_told_once_and_what_is_not_there_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let folders = [dir.path().to_owned(), inner, dir.path().join("missing")];
        let disks = of(&folders);
        assert_eq!(disks.len(), 1);
        let [disk] = &*disks else { return };
        assert_eq!(disk.path, dir.path().display().to_string());
        assert!(disk.total > 0 && disk.free <= disk.total);
        assert!(part_free(disk) <= 100);
    }

    #[test]
    fn an_overlay_and_what_lies_under_it_are_one_disk() {
        let disk = |free, total| Disk {
            path: String::new(),
            free,
            total,
        };
        assert!(are_one(
            &disk(500_000, 1_000_000),
            &disk(500_900, 1_000_000)
        ));
        for (free, total) in [(502_000, 1_000_000), (500_000, 1_000_001)] {
            assert!(!are_one(&disk(500_000, 1_000_000), &disk(free, total)));
        }
    }

    #[test]
    fn a_disk_of_nothing_is_no_fault() {
        let disk = Disk {
            path: String::new(),
            free: 0,
            total: 0,
        };
        assert_eq!(part_free(&disk), 0);
    }
}
