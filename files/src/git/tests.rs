use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cib_protocol::api::GitState;

use super::*;
use crate::place::tests::root;

fn git(dir: &Path, words: &[&str]) {
    let ran = Command::new("git")
        .args([
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@b",
            "-c",
            "commit.gpgSign=false",
        ])
        .args(words)
        .current_dir(dir)
        .env("HOME", dir)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{words:?}: {ran:?}");
}

fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "--quiet", "--initial-branch=main"]);
    dir
}

fn open(dir: &Path) -> OwnedFd {
    root(dir, true).open().unwrap()
}

fn commit(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
    git(dir, &["add", "--all"]);
    git(
        dir,
        &["commit", "--quiet", "--message", &format!("change {name}")],
    );
}

#[test]
fn a_tree_without_a_commit_has_a_status_and_an_empty_log() {
    let dir = repository();
    fs::write(dir.path().join("new"), "x\n").unwrap();
    let told = status(&open(dir.path())).unwrap();
    assert_eq!((told.branch.as_deref(), told.head), (Some("main"), None));
    assert_eq!(told.files[0].unstaged, GitState::Untracked);
    assert!(
        log(&open(dir.path()), None, 0, 10)
            .unwrap()
            .commits
            .is_empty()
    );
    git(dir.path(), &["add", "new"]);
    let changes = diff(&open(dir.path()), &Change::Uncommitted, None).unwrap();
    assert_eq!(
        (&*changes.files[0].path, changes.files[0].added),
        ("new", Some(1))
    );
}

#[test]
fn commits_and_what_they_changed_are_told() {
    let dir = repository();
    commit(dir.path(), "a", "1\n2\n");
    commit(dir.path(), "a", "1\n3\n");
    fs::write(dir.path().join("a"), "1\n3\n4\n").unwrap();
    let folder = open(dir.path());
    let page = log(&folder, None, 0, 1).unwrap();
    assert!(page.more);
    assert_eq!(page.commits[0].subject, "change a");
    let first = log(&folder, None, 1, 9).unwrap().commits.remove(0);
    assert!(first.parents.is_empty());
    let of_first = diff(&folder, &Change::Commit(first.id.clone()), None).unwrap();
    assert!(
        of_first.files[0]
            .patch
            .contains("+++ b/a\n@@ -0,0 +1,2 @@\n+1\n+2\n")
    );
    let now = diff(&folder, &Change::Uncommitted, None).unwrap();
    assert_eq!(
        (now.files[0].added, now.files[0].removed),
        (Some(1), Some(0))
    );
    let since = diff(&folder, &Change::Since(first.id), Some("a")).unwrap();
    assert_eq!(
        (since.files[0].added, since.files[0].removed),
        (Some(2), Some(1))
    );
    assert!(
        diff(&folder, &Change::Staged, None)
            .unwrap()
            .files
            .is_empty()
    );
}

#[test]
fn a_hostile_repository_runs_nothing_here_that_it_could_name_and_is_not_waited_for() {
    let dir = repository();
    commit(dir.path(), "a", "1\n");
    let mark = dir.path().join("mark");
    let bait = format!("touch '{}'; true", mark.display());
    for key in [
        "core.fsmonitor",
        "diff.external",
        "core.pager",
        "diff.x.textconv",
        "diff.x.command",
        "gpg.program",
    ] {
        git(dir.path(), &["config", key, &bait]);
    }
    git(dir.path(), &["config", "log.showSignature", "true"]);
    fs::write(dir.path().join(".gitattributes"), "* diff=x\n").unwrap();
    fs::write(dir.path().join("a"), "2\n").unwrap();
    let folder = open(dir.path());
    status(&folder).unwrap();
    log(&folder, None, 0, 10).unwrap();
    let told = diff(&folder, &Change::Uncommitted, None).unwrap();
    assert!(told.files[0].patch.contains("-1\n+2\n"));
    assert!(!mark.exists());
}

#[test]
fn what_is_no_repository_or_no_commit_is_told_in_gits_words() {
    let dir = tempfile::tempdir().unwrap();
    let refused = status(&open(dir.path())).unwrap_err();
    assert_eq!(refused.code, FilesFault::NoRepository);
    assert!(
        refused.detail.contains("not a git repository"),
        "{refused:?}"
    );
    let dir = repository();
    commit(dir.path(), "a", "1\n");
    let folder = open(dir.path());
    let none = diff(&folder, &Change::Since("none".to_owned()), None);
    assert_eq!(none.unwrap_err().code, FilesFault::NoRepository);
    for bad in ["--output=/tmp/x", "", "a..b", "a b", "HEAD:a", "$(x)"] {
        let refused = log(&folder, Some(bad), 0, 1).unwrap_err();
        assert_eq!(refused.code, FilesFault::BadRequest, "{bad}");
    }
}

#[test]
fn a_file_of_megabytes_is_cut_and_what_follows_it_is_told() {
    let dir = repository();
    commit(dir.path(), "z", "1\n");
    let long: String = (0..400_000).map(|number| format!("{number}\n")).collect();
    fs::write(dir.path().join("a"), long).unwrap();
    fs::write(dir.path().join("z"), "2\n").unwrap();
    git(dir.path(), &["add", "--all"]);
    let begun = Instant::now();
    let told = diff(&open(dir.path()), &Change::Staged, None).unwrap();
    let sizes: Vec<_> = told
        .files
        .iter()
        .map(|file| (&*file.path, file.cut, file.patch.len() <= 1024 * 1024))
        .collect();
    assert_eq!(sizes, [("a", true, true), ("z", false, true)]);
    assert!(begun.elapsed() < Duration::from_secs(10));
}
