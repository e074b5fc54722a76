//! One hierarchy for all controllers: `Documentation/admin-guide/cgroup-v2.rst`.

use std::path::{Path, PathBuf};

use super::{Bounds, Cgroup, CgroupError, Hierarchy, make_dir, write};

/// The leaf that init and everything without a group of its own moves to: a group with
/// children that have controllers may hold no process itself.
const LEAF: &str = "cib-init";
/// The group under which ours are made.
const OURS: &str = "cib";
/// Controllers that limits and accounting need. Each is enabled by itself, so that a missing
/// one does not take the others with it.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// Period of `cpu.max` in microseconds, the kernel's default.
const PERIOD_US: u64 = 100_000;

pub(super) fn prepare(mount: &Path) -> Result<Hierarchy, String> {
    let explain = |error: CgroupError| {
        format!(
            "{error}: {}; the container may not write to its cgroup",
            error.source
        )
    };
    let leaf = mount.join(LEAF);
    make_dir(&leaf).map_err(explain)?;
    let members = cib_foreign::own::read_to_string(mount.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines() {
        // A process that ends meanwhile needs no moving.
        let _ = write(&leaf.join("cgroup.procs"), pid);
    }
    let ours = mount.join(OURS);
    make_dir(&ours).map_err(explain)?;
    for dir in [mount, &ours] {
        for controller in CONTROLLERS {
            let _ = write(
                &dir.join("cgroup.subtree_control"),
                &format!("+{controller}"),
            );
        }
    }
    Ok(Hierarchy::V2 { root: ours })
}

pub(super) fn create(root: &Path, name: &str, bounds: &Bounds) -> Result<Cgroup, CgroupError> {
    let dir: PathBuf = root.join(name);
    make_dir(&dir)?;
    for (file, value) in files(bounds) {
        write(&dir.join(file), &value)?;
    }
    Cgroup::open(vec![(None, dir)])
}

fn files(bounds: &Bounds) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    if let Some(bytes) = bounds.memory {
        files.push(("memory.max", bytes.to_string()));
    }
    if let Some(milli) = bounds.cpu_milli {
        let quota = milli.saturating_mul(PERIOD_US) / 1000;
        files.push(("cpu.max", format!("{quota} {PERIOD_US}")));
    }
    if let Some(tasks) = bounds.tasks {
        files.push(("pids.max", tasks.to_string()));
    }
    files
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn bounds_are_written_in_the_kernels_units() {
        let bounds = Bounds {
            memory: Some(1 << 30),
            cpu_milli: Some(1500),
            tasks: Some(64),
        };
        assert_eq!(
            files(&bounds),
            [
                ("memory.max", "1073741824".to_owned()),
                ("cpu.max", "150000 100000".to_owned()),
                ("pids.max", "64".to_owned()),
            ]
        );
        assert!(files(&Bounds::default()).is_empty());
    }

    #[test]
    fn a_group_has_its_bounds_before_anything_can_enter_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("s");
        fs::create_dir(&dir).unwrap();
        for file in ["memory.max", "cgroup.procs"] {
            fs::write(dir.join(file), "").unwrap();
        }
        let bounds = Bounds {
            memory: Some(4096),
            ..Bounds::default()
        };
        let group = create(root.path(), "s", &bounds).unwrap();
        assert_eq!(fs::read_to_string(dir.join("memory.max")).unwrap(), "4096");
        assert_eq!(group.entrances().count(), 1);
    }

    #[test]
    fn a_bound_that_the_kernel_lacks_is_an_error_that_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            tasks: Some(1),
            ..Bounds::default()
        };
        let error = create(root.path(), "s", &bounds).unwrap_err();
        assert!(error.to_string().ends_with("s/pids.max"), "{error}");
    }
}
