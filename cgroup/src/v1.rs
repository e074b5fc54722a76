//! One hierarchy a controller: `Documentation/admin-guide/cgroup-v1/`.

use std::path::{Path, PathBuf};

use super::{Bounds, Cgroup, CgroupError, Controller, Hierarchy, make_dir, write};

/// The group under which ours are made, in each hierarchy.
const OURS: &str = "cib";
/// Period of `cpu.cfs_quota_us` in microseconds, the kernel's default.
const PERIOD_US: u64 = 100_000;

const CONTROLLERS: [(Controller, &str); 4] = [
    (Controller::Memory, "memory"),
    (Controller::Cpu, "cpu"),
    (Controller::CpuAccounting, "cpuacct"),
    (Controller::Tasks, "pids"),
];

pub(super) fn prepare(mount: &Path) -> Result<Hierarchy, String> {
    let mut roots: Vec<(Controller, PathBuf)> = Vec::new();
    let mut reason = format!("{} is no cgroup hierarchy", mount.display());
    for (controller, name) in CONTROLLERS {
        let hierarchy = mount.join(name);
        if !hierarchy.join("cgroup.procs").exists() {
            continue;
        }
        let ours = hierarchy.join(OURS);
        match make_dir(&ours) {
            Ok(()) => roots.push((controller, ours)),
            Err(error) => {
                reason = format!(
                    "{error}: {}; the container may not write to its cgroup",
                    error.source
                );
            }
        }
    }
    if roots.is_empty() {
        Err(reason)
    } else {
        Ok(Hierarchy::V1 { roots })
    }
}

pub(super) fn create(
    roots: &[(Controller, PathBuf)],
    name: &str,
    bounds: &Bounds,
) -> Result<Cgroup, CgroupError> {
    let mut dirs = Vec::new();
    for (controller, root) in roots {
        let dir = root.join(name);
        make_dir(&dir)?;
        for (file, value) in files(*controller, bounds) {
            write(&dir.join(file), &value)?;
        }
        dirs.push((Some(*controller), dir));
    }
    Cgroup::open(dirs)
}

fn files(controller: Controller, bounds: &Bounds) -> Vec<(&'static str, String)> {
    match controller {
        Controller::Memory => bounds
            .memory
            .map(|bytes| ("memory.limit_in_bytes", bytes.to_string()))
            .into_iter()
            .collect(),
        Controller::Cpu => bounds
            .cpu_milli
            .map(|milli| {
                [
                    ("cpu.cfs_period_us", PERIOD_US.to_string()),
                    (
                        "cpu.cfs_quota_us",
                        (milli.saturating_mul(PERIOD_US) / 1000).to_string(),
                    ),
                ]
            })
            .into_iter()
            .flatten()
            .collect(),
        Controller::CpuAccounting => Vec::new(),
        Controller::Tasks => bounds
            .tasks
            .map(|tasks| ("pids.max", tasks.to_string()))
            .into_iter()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_gets_its_own_bound_and_no_other() {
        let bounds = Bounds {
            memory: Some(1024),
            cpu_milli: Some(500),
            tasks: Some(7),
        };
        assert_eq!(
            files(Controller::Memory, &bounds),
            [("memory.limit_in_bytes", "1024".to_owned())]
        );
        assert_eq!(
            files(Controller::Cpu, &bounds),
            [
                ("cpu.cfs_period_us", "100000".to_owned()),
                ("cpu.cfs_quota_us", "50000".to_owned()),
            ]
        );
        assert_eq!(files(Controller::CpuAccounting, &bounds), []);
        assert_eq!(
            files(Controller::Tasks, &bounds),
            [("pids.max", "7".to_owned())]
        );
    }

    #[test]
    fn only_hierarchies_that_are_there_are_used() {
        let mount = tempfile::tempdir().unwrap();
        std::fs::create_dir(mount.path().join("pids")).unwrap();
        std::fs::write(mount.path().join("pids/cgroup.procs"), "").unwrap();
        let found = prepare(mount.path()).unwrap();
        let Hierarchy::V1 { roots } = &found else {
            panic!("{found:?}")
        };
        assert_eq!(roots, &[(Controller::Tasks, mount.path().join("pids/cib"))]);
    }
}
