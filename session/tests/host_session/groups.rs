//! Real control groups for keepers, made by the code that init makes them with.

use std::fs;
use std::path::{Path, PathBuf};

use cib_cgroup::{Bounds, Cgroup, Hierarchy};
use tempfile::TempDir;
use uuid::Uuid;

use crate::keeper::Place;

/// Where the host's hierarchies are.
const MOUNT: &str = "/sys/fs/cgroup";

/// A part of the host's hierarchies for one test alone.
pub(crate) struct Groups {
    hierarchy: Hierarchy,
    /// What was made, the inner ones last.
    made: Vec<PathBuf>,
    _mount: TempDir,
}

impl Groups {
    /// What this host allows; `None` if it lets nobody make groups.
    pub(crate) fn new() -> Option<Self> {
        let name = format!("cib-test-{}", Uuid::new_v4());
        let mount = tempfile::tempdir().unwrap();
        let mut made = Vec::new();
        for controller in ["memory", "cpu", "cpuacct", "pids"] {
            let dir = Path::new(MOUNT).join(controller).join(&name);
            if fs::create_dir(&dir).is_ok() {
                std::os::unix::fs::symlink(&dir, mount.path().join(controller)).unwrap();
                made.push(dir);
            }
        }
        let mut root = mount.path().to_owned();
        if made.is_empty() {
            root = Path::new(MOUNT).join(&name);
            if !Path::new(MOUNT).join("cgroup.controllers").exists() {
                return None;
            }
            fs::create_dir(&root).ok()?;
            made.push(root.clone());
        }
        for dir in made.clone() {
            made.extend([dir.join("cib-init"), dir.join("cib")]);
        }
        let hierarchy = Hierarchy::detect(&root);
        let groups = Self {
            hierarchy,
            made,
            _mount: mount,
        };
        (!matches!(groups.hierarchy, Hierarchy::None { .. })).then_some(groups)
    }

    /// A group with bounds, which keepers of the place then start in; `None` if this host has
    /// no controller for one of them.
    pub(crate) fn around(&self, place: &mut Place, bounds: &Bounds) -> Option<Cgroup> {
        let group = self.hierarchy.create("session", bounds).ok()??;
        let dirs: Vec<_> = group.dirs().map(|dir| dir.display().to_string()).collect();
        let enter = "for dir in $0; do echo 0 >\"$dir/cgroup.procs\"; done; exec \"$@\"";
        place.wrapper = ["sh", "-c", enter, &dirs.join(" ")]
            .map(String::from)
            .to_vec();
        for dir in dirs {
            place.options.extend(["--cgroup".to_owned(), dir]);
        }
        Some(group)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for dir in self.made.iter().rev() {
            let _ = fs::remove_dir(dir);
        }
    }
}
