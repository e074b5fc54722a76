//! Repositories that are not plain: with submodules and large files, shallow, linked, without a
//! branch or a commit.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::stage::Stage;

/// A large file as Git LFS has it: its content below `objects`, and the pointer's text.
fn large(objects: &Path, content: &str) -> String {
    let oid = cib_base::hex::encode(&Sha256::digest(content.as_bytes()));
    let folder = objects.join(&oid[..2]).join(&oid[2..4]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&oid), content).unwrap();
    let size = content.len();
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
}

#[test]
fn submodules_and_large_files_arrive_and_come_back() {
    let stage = Stage::new();
    let home = stage.home();
    let git = |folder: &Path, arguments: &[&str]| {
        let mut all = vec![
            "-C",
            folder.to_str().unwrap(),
            "-c",
            "protocol.file.allow=always",
        ];
        all.extend(["-c", "user.name=p", "-c", "user.email=p@x"]);
        all.extend(arguments);
        stage.run("git", &all)
    };
    for name in ["deep", "lib"] {
        let folder = home.join(name);
        std::fs::create_dir(&folder).unwrap();
        git(&folder, &["init", "-q", "-b", "main"]);
        std::fs::write(folder.join("file"), format!("{name}\n")).unwrap();
        git(&folder, &["add", "-A"]);
        if name == "lib" {
            git(
                &folder,
                &[
                    "submodule",
                    "--quiet",
                    "add",
                    home.join("deep").to_str().unwrap(),
                    "deep",
                ],
            );
        }
        git(&folder, &["commit", "-qm", name]);
    }
    let top = stage.path("");
    let lib = home.join("lib");
    let lib = lib.to_str().unwrap();
    git(&top, &["submodule", "--quiet", "add", lib, "libs/a lib"]);
    git(&top, &["submodule", "--quiet", "add", lib, "evil"]);
    git(
        &top,
        &["submodule", "--quiet", "update", "--init", "--recursive"],
    );
    git(
        &top,
        &[
            "config",
            "--file",
            ".gitmodules",
            "submodule.evil.url",
            "ext::sh -c touch% pwned",
        ],
    );
    let objects = top.join(".git/lfs/objects");
    let pointer = large(&objects, "the content of a large file\n");
    stage.write(
        ".gitattributes",
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    );
    stage.write("large.bin", &pointer);
    git(&top, &["add", "-A"]);
    git(&top, &["commit", "-qm", "parts"]);
    stage.write("libs/a lib/file", "changed\n");
    stage.write("libs/a lib/unknown", "unknown\n");
    stage.write("libs/a lib/deep/file", "changed too\n");
    let before = stage.status();
    assert!(before.contains("S.MU"), "{before}");

    let started = stage.cib(&["start", "--shell", "--json"]);
    assert_eq!(started.code, 0, "{}", started.stderr);
    assert!(
        started.stderr.contains("evil: its address"),
        "{}",
        started.stderr
    );
    let started: serde_json::Value = serde_json::from_str(&started.stdout).unwrap();
    let name = started["name"].as_str().unwrap();
    let inside = |script: &str| stage.inside(name, script);
    assert_eq!(
        inside("git status --porcelain=v2 --untracked-files=all"),
        before
    );
    assert_eq!(
        inside("cat 'libs/a lib/file' 'libs/a lib/deep/file'"),
        "changed\nchanged too\n"
    );
    assert_eq!(inside("ls evil"), "");
    let status = inside("git submodule status --recursive");
    assert_eq!(status.lines().count(), 3, "{status}");
    let oid = pointer.split(['\n', ':']).nth(3).unwrap();
    let content = inside(&format!(
        "find .git/lfs/objects -name {oid} -exec cat {{}} +"
    ));
    assert_eq!(content, "the content of a large file\n");

    // The way back: a commit in a submodule, and a large file that was made there.
    inside(
        "cd 'libs/a lib' && git stash -q -u && echo more > more && git add more && git commit -qm inner && cd ../.. \
         && printf 'made there' > x && o=$(sha256sum x | cut -d' ' -f1) \
         && d=.git/lfs/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-4) && mkdir -p $d && mv x $d/$o \
         && printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize 10\\n' $o > made.bin \
         && git add made.bin 'libs/a lib' && git commit -qm outer",
    );
    let fetched = stage.json(&["fetch", name, "--json"]);
    assert_eq!(
        fetched["submodules"],
        serde_json::json!(["libs/a lib"]),
        "{fetched}"
    );
    assert_eq!(fetched["large"], 1, "{fetched}");
    let commit = inside("git -C 'libs/a lib' rev-parse HEAD");
    let inner = top.join("libs/a lib");
    assert_eq!(
        git(&inner, &["log", "-1", "--format=%s", commit.trim()]).trim(),
        "inner"
    );
    let oid = cib_base::hex::encode(&Sha256::digest(b"made there"));
    let made = objects.join(&oid[..2]).join(&oid[2..4]).join(&oid);
    assert_eq!(std::fs::read_to_string(made).unwrap(), "made there");
    assert_eq!(stage.status(), before);

    // A content that is not what its pointer says is not kept.
    inside(
        "o=$(printf other | sha256sum | cut -d' ' -f1); d=.git/lfs/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-4) \
         && mkdir -p $d && printf wrong > $d/$o \
         && printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize 5\\n' $o > wrong.bin \
         && git add wrong.bin && git commit -qm wrong",
    );
    let refused = stage.cib(&["fetch", name]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("another content"),
        "{}",
        refused.stderr
    );
    let wrong = cib_base::hex::encode(&Sha256::digest(b"other"));
    assert!(
        !objects
            .join(&wrong[..2])
            .join(&wrong[2..4])
            .join(&wrong)
            .exists()
    );
    crate::hostile::assert_nothing_ran(&stage);
}

#[test]
fn shallow_clones_linked_trees_and_detached_heads_arrive_and_what_they_commit_comes_back() {
    let stage = Stage::new();
    stage.make_dirty();
    for (key, value) in [("user.name", "p"), ("user.email", "p@x")] {
        stage.git(&["config", "--global", key, value]);
    }
    let home = stage.home();
    let folder = |name: &str| home.join(name).to_str().unwrap().to_owned();
    let (shallow, linked, detached) = (folder("shallow"), folder("linked"), folder("detached"));
    let remote = format!("file://{}", stage.remote().display());
    stage.run("git", &["clone", "-q", "--depth", "1", &remote, &shallow]);
    stage.git(&["worktree", "add", "-q", "-b", "beside", &linked]);
    stage.run("git", &["clone", "-q", &remote, &detached]);
    stage.run(
        "git",
        &["-C", &detached, "checkout", "-q", "--detach", "HEAD^"],
    );
    for (folder, commits) in [(&shallow, 1), (&linked, 2), (&detached, 1)] {
        std::fs::write(format!("{folder}/tracked.txt"), "of the tree\n").unwrap();
        let started = stage.json(&["-C", folder, "start", "--shell", "--json"]);
        let name = started["name"].as_str().unwrap();
        let log = stage.inside(name, "git log --format=%s");
        assert_eq!(log.lines().count(), commits, "{folder}: {log}");
        let changed = stage.inside(name, "git status --porcelain");
        assert_eq!(changed, " M tracked.txt\n", "{folder}");
        stage.inside(name, "git commit -qam 'of the box'");
        let applied = stage.json(&["-C", folder, "apply", name, "--json"]);
        let commit = applied["commit"].as_str().unwrap();
        let subject = stage.run("git", &["-C", folder, "log", "-1", "--format=%s", commit]);
        assert_eq!(subject.trim(), "of the box", "{folder}");
    }
    let empty = folder("empty");
    stage.run("git", &["init", "-q", &empty]);
    let refused = stage.cib(&["-C", &empty, "start", "--name", "of-nothing"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("no commit yet"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        stage.docker(&["volume", "ls", "-q", "--filter", "name=of-nothing"]),
        ""
    );
}
