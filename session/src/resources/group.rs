//! A control group's own accounts, of either version: each file that is there is read, in
//! whichever of the group's directories it is.
//!
//! Names and units are those of `Documentation/admin-guide/cgroup-v2.rst` and
//! `Documentation/admin-guide/cgroup-v1/`.

use std::path::PathBuf;

/// The directories of one group: one with v2, one a controller with v1.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    dirs: Vec<PathBuf>,
}

impl Group {
    pub(super) fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs }
    }

    /// Bytes of memory now, page cache included.
    pub(super) fn memory(&self) -> Option<u64> {
        self.number("memory.current")
            .or_else(|| self.number("memory.usage_in_bytes"))
    }

    /// The most bytes of memory so far; v2 has it since Linux 5.19.
    pub(super) fn memory_peak(&self) -> Option<u64> {
        self.number("memory.peak")
            .or_else(|| self.number("memory.max_usage_in_bytes"))
    }

    /// Milliseconds of CPU time so far.
    pub(super) fn cpu_ms(&self) -> Option<u64> {
        let microseconds = self.field("cpu.stat", "usage_usec");
        microseconds
            .map(|time| time / 1000)
            .or_else(|| Some(self.number("cpuacct.usage")? / 1_000_000))
    }

    /// Processes and threads now.
    pub(super) fn pids(&self) -> Option<u64> {
        self.number("pids.current")
    }

    /// How many processes the kernel has killed for want of memory; v1 has it since Linux 4.13.
    pub(super) fn killed(&self) -> Option<u64> {
        self.field("memory.events", "oom_kill")
            .or_else(|| self.field("memory.oom_control", "oom_kill"))
    }

    /// How many processes and threads were refused.
    pub(super) fn refused(&self) -> Option<u64> {
        self.field("pids.events", "max")
    }

    /// Whether CPU time is bounded.
    pub(super) fn bounds_cpu(&self) -> bool {
        let is_bound = |text: String| !text.starts_with("max") && !text.starts_with('-');
        self.text("cpu.max")
            .or_else(|| self.text("cpu.cfs_quota_us"))
            .is_some_and(is_bound)
    }

    fn text(&self, file: &str) -> Option<String> {
        self.dirs
            .iter()
            .find_map(|dir| cib_foreign::own::read_to_string(dir.join(file)).ok())
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.trim().parse().ok()
    }

    /// A value of a file of lines `name value`.
    fn field(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.text(file)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, value) = lines.find(|(field, _)| *field == name)?;
        value.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let group = Group::new(vec!["/nowhere".into(), dir.path().to_owned()]);
        (dir, group)
    }

    #[test]
    fn both_versions_are_read_in_their_own_units() {
        let (_dir, two) = group(&[
            ("memory.current", "4096\n"),
            ("memory.peak", "8192\n"),
            ("cpu.stat", "usage_usec 2500000\nuser_usec 1\n"),
            ("cpu.max", "max 100000\n"),
            ("pids.current", "3\n"),
            ("memory.events", "low 0\nmax 7\noom 1\noom_kill 2\n"),
            ("pids.events", "max 5\n"),
        ]);
        let (_dir, one) = group(&[
            ("memory.usage_in_bytes", "4096\n"),
            ("memory.max_usage_in_bytes", "8192\n"),
            ("cpu.stat", "nr_periods 0\n"),
            ("cpuacct.usage", "2500000000\n"),
            ("cpu.cfs_quota_us", "-1\n"),
            ("pids.current", "3\n"),
            (
                "memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            ),
            ("pids.events", "max 5\n"),
        ]);
        for group in [two, one] {
            assert_eq!(group.memory(), Some(4096));
            assert_eq!(group.memory_peak(), Some(8192));
            assert_eq!(group.cpu_ms(), Some(2500));
            assert_eq!(group.pids(), Some(3));
            assert_eq!(group.killed(), Some(2));
            assert_eq!(group.refused(), Some(5));
            assert!(!group.bounds_cpu());
        }
    }

    #[test]
    fn a_bound_of_either_version_is_seen() {
        let (_dir, two) = group(&[("cpu.max", "150000 100000\n")]);
        let (_dir, one) = group(&[("cpu.cfs_quota_us", "150000\n")]);
        assert!(two.bounds_cpu() && one.bounds_cpu());
        assert!(!Group::default().bounds_cpu());
    }
}
