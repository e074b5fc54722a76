//! Control groups: limits and accounting for a session or a service and all it starts.
//!
//! Three kinds of host are met. With one v2 hierarchy that the container may write to, each
//! child gets a directory of its own. With v1 the same is done in each controller's own
//! hierarchy. Where nothing may be written, which is what Docker gives by default, there are
//! no groups. What a group counts is read by the keeper that is in it.

mod v1;
mod v2;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

/// Why a group could not be made or limited.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct CgroupError {
    /// What was attempted.
    pub doing: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

/// What a group may use. `None` is no limit of the group's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory, swap not counted.
    pub memory: Option<u64>,
    /// Thousandths of one CPU.
    pub cpu_milli: Option<u64>,
    /// Processes and threads alive at once.
    pub tasks: Option<u64>,
}

impl Bounds {
    /// Whether there is nothing to enforce.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The groups of this container, as far as the host lets us make any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// One v2 hierarchy; its root as this container sees it.
    V2 {
        /// Where groups are made.
        root: PathBuf,
    },
    /// v1 controllers, those of memory, cpu, cpuacct and pids that may be written.
    V1 {
        /// Where groups are made, one directory a controller.
        roots: Vec<(Controller, PathBuf)>,
    },
    /// No group can be made.
    None {
        /// Why not, for `status`.
        reason: String,
    },
}

/// A v1 controller that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// `memory`.
    Memory,
    /// `cpu`.
    Cpu,
    /// `cpuacct`.
    CpuAccounting,
    /// `pids`.
    Tasks,
}

impl Hierarchy {
    /// Looks at what is mounted below `mount`, which is `/sys/fs/cgroup` outside tests, and
    /// prepares it for groups of ours. Never fails: without groups the box still runs.
    #[must_use]
    pub fn detect(mount: &Path) -> Self {
        let is_v2 = statfs(mount).is_ok_and(|s| s.filesystem_type() == CGROUP2_SUPER_MAGIC);
        let found = if is_v2 {
            v2::prepare(mount)
        } else {
            v1::prepare(mount)
        };
        found.unwrap_or_else(|reason| Self::None { reason })
    }

    /// Makes a group and sets its bounds. Without a hierarchy there is none, and no error.
    ///
    /// # Errors
    /// The directory cannot be made, or the kernel refuses a bound.
    pub fn create(&self, name: &str, bounds: &Bounds) -> Result<Option<Cgroup>, CgroupError> {
        match self {
            Self::V2 { root } => v2::create(root, name, bounds).map(Some),
            Self::V1 { roots } => v1::create(roots, name, bounds).map(Some),
            Self::None { .. } => Ok(None),
        }
    }
}

/// A control group that children can start in. Dropping it removes it, once it is empty.
#[derive(Debug)]
pub struct Cgroup {
    dirs: Vec<(Option<Controller>, PathBuf)>,
    entrances: Vec<File>,
}

impl Cgroup {
    /// Opens the directories' `cgroup.procs` while we may.
    fn open(dirs: Vec<(Option<Controller>, PathBuf)>) -> Result<Self, CgroupError> {
        let mut group = Self {
            dirs,
            entrances: Vec::new(),
        };
        for (_, dir) in &group.dirs {
            let path = dir.join("cgroup.procs");
            let file = cib_foreign::own::open_as(OpenOptions::new().write(true), &path);
            group.entrances.push(file.map_err(failed("open", &path))?);
        }
        Ok(group)
    }

    /// Descriptors into each of which a process writes `0` to enter the group. They are meant
    /// for a child between `fork` and `execve`, which cannot open files any more.
    pub fn entrances(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.entrances.iter().map(AsFd::as_fd)
    }

    /// Processes in the group.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn members(&self) -> Result<Vec<u32>, CgroupError> {
        let Some((_, dir)) = self.dirs.first() else {
            return Ok(Vec::new());
        };
        let path = dir.join("cgroup.procs");
        let text = cib_foreign::own::read_to_string(&path).map_err(failed("read", &path))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Kills every process in the group at once, where the kernel can (v2, Linux 5.14);
    /// says whether it could.
    #[must_use]
    pub fn kill(&self) -> bool {
        self.dirs
            .iter()
            .any(|(_, dir)| fs::write(dir.join("cgroup.kill"), "1").is_ok())
    }

    /// The group's directories, one with v2 and one a controller with v1. Its accounts are in
    /// them, for whoever keeps them.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(|(_, dir)| dir.as_path())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.entrances.clear();
        for (_, dir) in &self.dirs {
            // A group with a process that outlived its session stays until the container ends.
            let _ = fs::remove_dir(dir);
        }
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CgroupError + 'a {
    move |source| CgroupError {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    cib_foreign::own::open_as(OpenOptions::new().write(true), path)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(failed("write", path))
}

/// Makes a directory that may be left from a run before this one.
fn make_dir(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("make", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_hierarchy_gives_no_groups_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let found = Hierarchy::detect(dir.path());
        let Hierarchy::None { reason } = &found else {
            panic!("{found:?}")
        };
        assert!(!reason.is_empty());
        assert!(
            found
                .create("session", &Bounds::default())
                .unwrap()
                .is_none()
        );
    }
}
