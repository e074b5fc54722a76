//! A snapshot of the working tree as commits, without touching index, tree or object store.
//!
//! The commits have the form of a stash: I holds the index, W the tracked files with HEAD, I and
//! perhaps U as parents, U the files that git does not know. `git stash apply --index` in the box
//! makes of them what `git status` says here.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::{GitError, Repository, good, run};
use crate::text;

/// Bytes of files unknown to git that come along without being asked for.
pub const LARGE: u64 = 50 << 20;

/// Whose commits these are; they are seen by nobody.
const IDENTITY: [(&str, &str); 4] = [
    ("GIT_AUTHOR_NAME", "cib"),
    ("GIT_AUTHOR_EMAIL", "cib@localhost"),
    ("GIT_COMMITTER_NAME", "cib"),
    ("GIT_COMMITTER_EMAIL", "cib@localhost"),
];

/// A snapshot; its objects live as long as it does.
#[derive(Debug)]
pub struct Snapshot {
    folder: TempDir,
    objects: PathBuf,
    /// The commit that it is of.
    pub head: String,
    /// W; nothing if the tree is as its commit.
    pub work: Option<String>,
    /// The tree of everything that comes along, as `git add -A` would make it.
    pub tree: String,
    /// How many files that git does not know are in it.
    pub untracked: usize,
    /// What could not come along, fit to be shown.
    pub left_out: Vec<String>,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// git did not do its part.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A temporary folder cannot be made.
    #[error("cannot make a temporary copy of the index")]
    Folder(#[from] io::Error),
    /// There is no commit yet.
    #[error("the repository has no commit yet; make one first")]
    Unborn,
    /// A merge is in the middle.
    #[error("the index has unmerged files; finish the merge first")]
    Unmerged,
    /// The files that git does not know are large.
    #[error(
        "the files that git does not know have {} MB; add them to .gitignore, or say --include-large or --no-include-untracked",
        size >> 20
    )]
    Large {
        /// Their size in bytes.
        size: u64,
    },
}

impl Snapshot {
    /// Takes one.
    ///
    /// # Errors
    /// A [`SnapshotError`]; nothing has changed then either.
    pub fn take(
        repository: &Repository,
        untracked: bool,
        large: bool,
    ) -> Result<Self, SnapshotError> {
        let head = repository.commit("HEAD")?.ok_or(SnapshotError::Unborn)?;
        let unmerged = repository.ask("read the index", &["ls-files", "--unmerged"])?;
        if !unmerged.is_empty() {
            return Err(SnapshotError::Unmerged);
        }
        let folder = tempfile::Builder::new().prefix("cib-").tempdir()?;
        let objects = folder.path().join("objects");
        std::fs::create_dir(&objects)?;
        let mut snapshot = Self {
            folder,
            objects,
            head,
            work: None,
            tree: String::new(),
            untracked: 0,
            left_out: Vec::new(),
        };
        snapshot.fill(repository, untracked, large)?;
        Ok(snapshot)
    }

    fn fill(
        &mut self,
        repository: &Repository,
        untracked: bool,
        large: bool,
    ) -> Result<(), SnapshotError> {
        let index = self.folder.path().join("index");
        let real = repository.ask(
            "find the index",
            &["rev-parse", "--path-format=absolute", "--git-path", "index"],
        )?;
        match cib_foreign::own::read(real) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(bytes) => std::fs::write(&index, bytes)?,
        }
        let ask = |what: &str, arguments: &[&str], index: &PathBuf, input: &[u8]| {
            let mut command = self.git(repository);
            command.env("GIT_INDEX_FILE", index).args(arguments);
            good(what, run(what, &mut command, input)?)
        };
        let written = |index: &PathBuf| {
            Ok::<_, GitError>(ask("write a tree", &["write-tree"], index, b"")?.text())
        };

        let head_tree = repository.ask(
            "read a commit",
            &["rev-parse", &format!("{}^{{tree}}", self.head)],
        )?;
        let index_tree = written(&index)?;
        ask(
            "add what has changed",
            // Of the whole tree: a path that says so fits nothing in one without a file.
            &["add", "--update"],
            &index,
            b"",
        )?;
        let work_tree = written(&index)?;

        let unknown = if untracked {
            files(
                &ask(
                    "list what it does not know",
                    &[
                        "ls-files",
                        "-z",
                        "--others",
                        "--exclude-standard",
                        "--",
                        ":/",
                    ],
                    &index,
                    b"",
                )?
                .stdout,
            )
        } else {
            Vec::new()
        };
        // A folder with a repository of its own is listed as a folder.
        let (folders, unknown): (Vec<_>, Vec<_>) =
            unknown.into_iter().partition(|name| name.ends_with(b"/"));
        let size = size_of(repository, &unknown);
        if size > LARGE && !large {
            return Err(SnapshotError::Large { size });
        }
        let shown = |name: &Vec<u8>| text::line(&String::from_utf8_lossy(name));
        let left_out: Vec<String> = folders.iter().map(shown).collect();
        let mut list = unknown.join(&0);
        if !list.is_empty() {
            list.push(0);
        }
        let mut parents = vec![self.head.clone()];
        let mut tree = work_tree.clone();
        if index_tree != head_tree || work_tree != head_tree || !unknown.is_empty() {
            parents.push(self.commit(repository, &index_tree, &[&self.head], "index")?);
        }
        if !unknown.is_empty() {
            let only = self.folder.path().join("untracked");
            let add = ["update-index", "-z", "--add", "--stdin"];
            ask("add what it does not know", &add, &only, &list)?;
            let only = written(&only)?;
            ask("add what it does not know", &add, &index, &list)?;
            tree = written(&index)?;
            parents.push(self.commit(repository, &only, &[], "untracked")?);
        }
        let work = if parents.len() > 1 {
            let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
            Some(self.commit(repository, &work_tree, &parents, "work")?)
        } else {
            None
        };
        self.untracked = unknown.len();
        self.left_out = left_out;
        self.tree = tree;
        self.work = work;
        Ok(())
    }

    fn commit(
        &self,
        repository: &Repository,
        tree: &str,
        parents: &[&str],
        what: &str,
    ) -> Result<String, GitError> {
        const WHAT: &str = "make a commit";
        let mut command = self.git(repository);
        command.args(["commit-tree", "--no-gpg-sign", "-m", what]);
        for parent in parents {
            command.args(["-p", parent]);
        }
        command.arg(tree).envs(IDENTITY);
        Ok(good(WHAT, run(WHAT, &mut command, b"")?)?.text())
    }

    /// As [`Snapshot::git`], with an index of everything that comes along.
    #[must_use]
    pub fn git_of_index(&self, repository: &Repository) -> Command {
        let mut command = self.git(repository);
        command.env("GIT_INDEX_FILE", self.folder.path().join("index"));
        command
    }

    /// git, which finds the snapshot's objects beside the repository's own and writes none there.
    #[must_use]
    pub fn git(&self, repository: &Repository) -> Command {
        let mut command = repository.git();
        command
            .env("GIT_OBJECT_DIRECTORY", &self.objects)
            .env(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                repository.common.join("objects"),
            )
            .args([
                "-c",
                "core.fsmonitor=false",
                "-c",
                "core.untrackedCache=false",
            ]);
        command
    }
}

fn files(said: &[u8]) -> Vec<Vec<u8>> {
    said.split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

fn size_of(repository: &Repository, names: &[Vec<u8>]) -> u64 {
    let size = |name: &Vec<u8>| {
        let path = repository.top.join(std::ffi::OsStr::from_bytes(name));
        path.symlink_metadata().map_or(0, |about| about.len())
    };
    names.iter().map(size).sum()
}
