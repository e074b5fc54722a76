//! What a repository has besides its files, by the real git and without an engine.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use cib_cli::git::lfs::{self, Pointer};
use cib_cli::git::snapshot::Snapshot;
use cib_cli::git::{Repository, submodules};
use cib_cli::surroundings::Surroundings;

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "protocol.file.allow=always",
            "-c",
            "user.name=p",
            "-c",
            "user.email=p@x",
        ])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {said}");
}

fn repository(folder: &Path) -> Repository {
    Repository::find(&Surroundings::of_this_process(), folder).unwrap()
}

fn make(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    git(folder, &["init", "-q", "-b", "main"]);
    std::fs::write(folder.join("file"), "1\n").unwrap();
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-qm", "first"]);
}

/// A repository with the submodules `a` and `a/b`.
fn nested(place: &Path) -> PathBuf {
    let (deep, middle, top) = (place.join("deep"), place.join("middle"), place.join("top"));
    for folder in [&deep, &middle, &top] {
        make(folder);
    }
    git(
        &middle,
        &["submodule", "--quiet", "add", deep.to_str().unwrap(), "b"],
    );
    git(&middle, &["commit", "-qm", "b"]);
    git(
        &top,
        &["submodule", "--quiet", "add", middle.to_str().unwrap(), "a"],
    );
    git(&top, &["commit", "-qm", "a"]);
    top
}

#[test]
fn submodules_that_are_checked_out_are_found_with_theirs() {
    let place = tempfile::tempdir().unwrap();
    let top = nested(place.path());
    let paths = || {
        let found = submodules::of(&Surroundings::of_this_process(), &repository(&top)).unwrap();
        assert_eq!(found.refused, [] as [String; 0]);
        found
            .all
            .into_iter()
            .map(|one| (one.path, one.parent))
            .collect::<Vec<_>>()
    };
    let pair = |path: &str, parent: &str| (path.to_owned(), parent.to_owned());
    assert_eq!(paths(), [pair("a", "")]);
    git(
        &top,
        &["submodule", "--quiet", "update", "--init", "--recursive"],
    );
    assert_eq!(paths(), [pair("a", ""), pair("a/b", "a")]);
    git(&top, &["submodule", "--quiet", "deinit", "--force", "a"]);
    assert_eq!(paths(), []);
}

#[test]
fn a_submodule_with_an_evil_address_name_or_place_stays_outside_and_is_told() {
    let place = tempfile::tempdir().unwrap();
    let top = nested(place.path());
    let modules = std::fs::read_to_string(top.join(".gitmodules")).unwrap();
    let url = modules.lines().find(|line| line.contains("url")).unwrap();
    let found = || submodules::of(&Surroundings::of_this_process(), &repository(&top)).unwrap();
    for (from, to, why) in [
        (url, "\turl = --upload-pack=touch pwned", "address"),
        (url, "\turl = ext::sh -c touch% pwned", "address"),
        ("\"a\"", "\"../../a\"", "name"),
        ("path = a", "path = other", "nothing in .gitmodules"),
    ] {
        std::fs::write(top.join(".gitmodules"), modules.replace(from, to)).unwrap();
        let found = found();
        assert_eq!(found.all.len(), 0, "{to}");
        assert!(found.refused[0].contains(why), "{:?}", found.refused);
    }
    std::fs::write(top.join(".gitmodules"), modules).unwrap();
    assert_eq!(found().all.len(), 1);
    // A link in its place leads to a repository that is none of this one's.
    std::fs::rename(top.join("a"), place.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.path().join("middle"), top.join("a")).unwrap();
    assert_eq!(found().all.len(), 0);
}

#[test]
fn contents_of_large_files_are_packed_without_a_filter() {
    let place = tempfile::tempdir().unwrap();
    let top = place.path();
    make(top);
    let oid = cib_base::hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(b"content"));
    let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 7\n");
    std::fs::write(top.join(".gitattributes"), "*.bin filter=lfs\n").unwrap();
    std::fs::write(top.join("a.bin"), &text).unwrap();
    std::fs::write(
        top.join("other.bin"),
        text.replace("size 7", "size 8")
            .replace(&oid, &"0".repeat(64)),
    )
    .unwrap();
    std::fs::write(top.join("a.txt"), &text).unwrap();
    // A file as young as the index is read again, and by the filter of the repository's owner.
    let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(10);
    for name in [".gitattributes", "a.bin", "other.bin", "a.txt"] {
        let file = std::fs::File::options()
            .append(true)
            .open(top.join(name))
            .unwrap();
        file.set_modified(earlier).unwrap();
    }
    git(top, &["add", "-A"]);
    git(top, &["commit", "-qm", "large"]);
    // From here on a filter would be seen.
    git(top, &["config", "filter.lfs.smudge", "touch pwned; cat"]);
    git(top, &["config", "filter.lfs.process", "touch pwned"]);
    let of = || {
        let repository = repository(top);
        let snapshot = Snapshot::take(&repository, true, false).unwrap();
        (
            lfs::of_snapshot(&repository, &snapshot).unwrap(),
            repository,
        )
    };
    assert_eq!(of().0, [], "there is no store");
    let pointer = Pointer::parse(text.as_bytes()).unwrap();
    let object = top.join(".git/lfs/objects").join(pointer.place());
    std::fs::create_dir_all(object.parent().unwrap()).unwrap();
    std::fs::write(&object, "content").unwrap();
    let (found, repository) = of();
    assert_eq!(
        found,
        std::slice::from_ref(&pointer),
        "only what is here, and only where git says it is large"
    );
    let mut packed = Vec::new();
    lfs::pack(&repository, &found, &mut packed).unwrap();
    let mut archive = tar::Archive::new(&packed[..]);
    let names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().into_owned())
        .collect();
    assert_eq!(names, [PathBuf::from(pointer.place())]);
    assert!(!top.join("pwned").exists());
}
