//! Where the steps find and leave things.

use std::path::{Path, PathBuf};

/// The places of the box. Every one lies below [`Paths::root`], which is `/` in the box and a
/// scratch directory in tests. What is *written into* files never has the root in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// In front of every path that is opened.
    pub root: PathBuf,
    /// What dies with the container.
    pub run: PathBuf,
    /// What outlives it (`CIB_DATA_DIR`).
    pub data: PathBuf,
    /// The user's files.
    pub workspace: PathBuf,
    /// Configuration of the image and of what is derived from it.
    pub config: PathBuf,
}

impl Paths {
    /// The box's own, with this `CIB_DATA_DIR`.
    #[must_use]
    pub fn of_the_box(data: PathBuf) -> Self {
        Self::below(Path::new("/"), data)
    }

    /// The same below another root.
    #[must_use]
    pub fn below(root: &Path, data: PathBuf) -> Self {
        Self {
            root: root.to_owned(),
            run: "/run/cib".into(),
            data,
            workspace: "/workspace".into(),
            config: crate::config::DIRECTORY.into(),
        }
    }

    /// A path of the box as this process opens it.
    #[must_use]
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The socket of the relayed ssh-agent, as programs in the box name it.
    #[must_use]
    pub fn ssh_agent(&self) -> PathBuf {
        self.run.join("ssh-agent.sock")
    }

    /// The socket of the relayed GnuPG agent.
    #[must_use]
    pub fn gpg_agent(&self) -> PathBuf {
        self.run.join("gpg-agent.sock")
    }

    /// git's configuration that init writes.
    #[must_use]
    pub fn git_config(&self) -> PathBuf {
        self.run.join("git/config")
    }

    /// ssh's configuration that init writes.
    #[must_use]
    pub fn ssh_config(&self) -> PathBuf {
        self.run.join("ssh/config")
    }

    /// What ssh reads in place of coder's and the system's configuration, where it is there.
    #[must_use]
    pub fn ssh_main(&self) -> PathBuf {
        self.run.join("ssh/main")
    }

    /// Host keys from `CIB_KNOWN_HOSTS`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.run.join("ssh/known_hosts")
    }

    /// The file that says that a copy is awaited.
    #[must_use]
    pub fn awaits_copy(&self) -> PathBuf {
        self.run.join("awaits-copy")
    }

    /// The file that whoever has brought the copy makes.
    #[must_use]
    pub fn copied(&self) -> PathBuf {
        self.run.join("copied")
    }

    /// Markers of setup commands that are not to run again on this volume.
    #[must_use]
    pub fn setup_markers(&self) -> PathBuf {
        self.data.join("setup")
    }
}
