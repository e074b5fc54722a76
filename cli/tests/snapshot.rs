//! A snapshot, by the real git and without an engine.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use cib_cli::git::Repository;
use cib_cli::git::snapshot::{LARGE, Snapshot, SnapshotError};
use cib_cli::surroundings::Surroundings;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.git(&["init", "-q", "-b", "main"]);
        place.git(&["config", "user.name", "p"]);
        place.git(&["config", "user.email", "p@example.com"]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(self.folder.path(), arguments)
    }

    fn repository(&self) -> Repository {
        let around = Surroundings::of_this_process();
        Repository::find(&around, self.folder.path()).unwrap()
    }

    /// Everything in the repository's own folder, by name and content.
    fn inner(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path(".git")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn status(folder: &Path) -> String {
    git(
        folder,
        &["status", "--porcelain=v2", "--untracked-files=all"],
    )
}

#[test]
fn a_snapshot_unpacks_to_the_same_status_and_leaves_the_original_as_it_is() {
    let place = Place::new();
    for name in [
        "same",
        "changed",
        "gone",
        "staged-gone",
        "both",
        "with blank",
    ] {
        place.write(name, "1\n");
    }
    place.git(&["add", "-A"]);
    place.git(&["commit", "-qm", "first"]);
    place.write("changed", "2\n");
    place.write("both", "2\n");
    place.git(&["add", "both"]);
    place.write("both", "3\n");
    std::fs::remove_file(place.path("gone")).unwrap();
    place.git(&["rm", "-q", "staged-gone"]);
    place.write("new é", "new\n");
    place.git(&["add", "new é"]);
    std::fs::create_dir(place.path("deep")).unwrap();
    place.write("deep/unknown\nname", "unknown\n");
    std::os::unix::fs::symlink("nowhere", place.path("link")).unwrap();
    place.write(".gitignore", "ignored\n");
    place.write("ignored", "x");
    let before = (status(place.folder.path()), place.inner());

    let repository = place.repository();
    let snapshot = Snapshot::take(&repository, true, false).unwrap();
    assert_eq!(snapshot.untracked, 3);
    let work = snapshot.work.clone().unwrap();
    assert!(
        before == (status(place.folder.path()), place.inner()),
        "the original has changed"
    );

    let target = tempfile::tempdir().unwrap();
    git(target.path(), &["init", "-q", "-b", "unborn"]);
    let pushed = snapshot
        .git(&repository)
        .args(["push", "-q", target.path().to_str().unwrap()])
        .arg(format!("{}:refs/heads/work", snapshot.head))
        .arg(format!("{work}:refs/cib/wip"))
        .status()
        .unwrap();
    assert!(pushed.success());
    for arguments in [
        &["symbolic-ref", "HEAD", "refs/heads/work"][..],
        &["reset", "-q", "--hard"],
        &[
            "-c",
            "user.name=c",
            "-c",
            "user.email=c@x",
            "stash",
            "apply",
            "-q",
            "--index",
            "refs/cib/wip",
        ],
    ] {
        git(target.path(), arguments);
    }
    assert_eq!(status(target.path()), before.0);
    assert!(!target.path().join("ignored").exists());
    git(target.path(), &["add", "-A"]);
    assert_eq!(git(target.path(), &["write-tree"]).trim(), snapshot.tree);
}

#[test]
fn what_cannot_be_copied_is_said_before_anything_is_made() {
    let place = Place::new();
    let take = |large| Snapshot::take(&place.repository(), true, large);
    assert!(matches!(take(false), Err(SnapshotError::Unborn)));
    place.write("a", "1\n");
    place.git(&["add", "-A"]);
    place.git(&["commit", "-qm", "first"]);
    assert_eq!(take(false).unwrap().work, None);
    let large = std::fs::File::create(place.path("large")).unwrap();
    large.set_len(LARGE + 1).unwrap();
    assert!(matches!(take(false), Err(SnapshotError::Large { .. })));
    assert_eq!(
        Snapshot::take(&place.repository(), false, false)
            .unwrap()
            .work,
        None
    );
    std::fs::remove_file(place.path("large")).unwrap();
    // A repository of its own inside is told and left out.
    std::fs::create_dir(place.path("inner")).unwrap();
    git(&place.path("inner"), &["init", "-q"]);
    place.write("inner/x", "x");
    assert_eq!(take(false).unwrap().left_out, ["inner/"]);
    // As is a merge that is not finished.
    place.git(&["checkout", "-q", "-b", "other"]);
    place.write("a", "2\n");
    place.git(&["commit", "-qam", "two"]);
    place.git(&["checkout", "-q", "main"]);
    place.write("a", "3\n");
    place.git(&["commit", "-qam", "three"]);
    let merge = Command::new("git")
        .current_dir(place.folder.path())
        .args(["merge", "-q", "other"])
        .output();
    assert!(!merge.unwrap().status.success());
    assert!(matches!(take(false), Err(SnapshotError::Unmerged)));
}

#[test]
fn a_linked_working_tree_is_of_the_same_repository() {
    let place = Place::new();
    place.write("a", "1\n");
    place.git(&["add", "-A"]);
    place.git(&["commit", "-qm", "first"]);
    let other = tempfile::tempdir().unwrap();
    let linked = other.path().join("linked");
    place.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    std::fs::write(linked.join("b"), "b").unwrap();
    let around = Surroundings::of_this_process();
    let repository = Repository::find(&around, &linked).unwrap();
    assert_eq!(repository.id(), place.repository().id());
    assert_eq!(
        Snapshot::take(&repository, true, false).unwrap().untracked,
        1
    );
}
