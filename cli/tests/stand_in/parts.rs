//! What is not committed in submodules of a box.

use crate::stage::{Stage, said};

/// A stage whose repository has a submodule, and a box of it in which both were worked on.
fn worked_on() -> Stage {
    let stage = Stage::new();
    stage.git(&["init", "-q", "-b", "main", "../sub"]);
    for key in ["user.name", "user.email"] {
        stage.git(&["-C", "../sub", "config", key, "p"]);
    }
    std::fs::write(stage.at("sub/inner"), "before\n").unwrap();
    stage.git(&["-C", "../sub", "add", "-A"]);
    stage.git(&["-C", "../sub", "commit", "-qm", "Inner"]);
    let address = stage.at("sub").display().to_string();
    let allowed = ["-c", "protocol.file.allow=always"];
    let add = ["submodule", "--quiet", "add", &address, "libs/sub"];
    stage.git(&[&allowed[..], &add[..]].concat());
    stage.git(&["add", "-A"]);
    stage.git(&["commit", "-qm", "With a submodule"]);
    let output = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let inner = stage.at("state/workspace/libs/sub");
    assert_eq!(
        std::fs::read_to_string(inner.join("inner")).unwrap(),
        "before\n"
    );
    std::fs::write(inner.join("inner"), "after \u{1b}[2Jit\n").unwrap();
    std::fs::write(inner.join("new"), "new\n").unwrap();
    stage
}

#[test]
fn uncommitted_work_in_a_boxs_submodule_is_shown_comes_back_and_is_not_removed() {
    let stage = worked_on();
    let run = |arguments: &[&str]| stage.cib(arguments).output().unwrap();
    let shown = run(&["diff", "--wip"]);
    assert!(shown.status.success(), "{}", said(&shown));
    let text = String::from_utf8_lossy(&shown.stdout);
    for words in [
        "In the submodule libs/sub:",
        "-before",
        "+after \\u{1b}[2Jit",
        "+new",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");

    // As long as nobody has it but the box, the box stays: also once it is stopped.
    stage.git(&["-C", "libs/sub", "update-ref", "-d", &wip(&stage)]);
    assert!(run(&["stop"]).status.success());
    let name = name(&stage);
    let refused = run(&["rm", &name]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("libs/sub"), "{}", said(&refused));

    let applied = run(&["apply", "--patch", "--json"]);
    assert!(applied.status.success(), "{}", said(&applied));
    assert!(said(&applied).contains("libs/sub"), "{}", said(&applied));
    assert_eq!(stage.read("my repo/libs/sub/new"), "new\n");
    assert!(stage.read("my repo/libs/sub/inner").starts_with("after"));
    let removed = run(&["rm", &name]);
    assert!(removed.status.success(), "{}", said(&removed));
}

#[test]
fn one_commit_is_shown_alone_a_log_begins_where_it_is_asked_to_and_young_boxes_stay() {
    let stage = Stage::new();
    let started = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(started.status.success(), "{}", said(&started));
    let workspace = stage.at("state/workspace").display().to_string();
    let mut ids = Vec::new();
    for word in ["one", "two"] {
        std::fs::write(stage.at("state/workspace").join(word), word).unwrap();
        stage.git(&["-C", &workspace, "add", "-A"]);
        let author = ["-c", "user.name=c", "-c", "user.email=c@x"];
        let words = ["commit", "-qm", word];
        stage.git(&[&["-C", workspace.as_str()][..], &author, &words].concat());
        ids.push(stage.git(&["-C", &workspace, "rev-parse", "HEAD"]));
    }
    let run = |arguments: &[&str]| stage.cib(arguments).output().unwrap();
    let shown = run(&["diff", "--commit", ids[0].trim()]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(
        text.contains("+one") && !text.contains("+two"),
        "{}",
        said(&shown)
    );
    for wrong in ["main", "0000", "--help-me"] {
        let refused = run(&["diff", &format!("--commit={wrong}")]);
        assert_eq!(
            refused.status.code(),
            Some(1),
            "{wrong}: {}",
            said(&refused)
        );
    }
    assert!(run(&["logs", "--since", "10m"]).status.success());
    assert!(
        stage
            .read("state/log")
            .contains("logs --tail 50 --since=10m")
    );
    assert!(run(&["stop"]).status.success());
    let cleaned = run(&["clean", "--older", "36500", "--json"]);
    assert_eq!(said(&cleaned), "Some(0): {\"kept\":[],\"removed\":[]}\n");
    assert!(stage.at("state/box").exists());
}

#[test]
fn of_thousands_of_links_each_is_looked_at_and_git_is_asked_a_few_times() {
    let stage = Stage::new();
    let started = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(started.status.success(), "{}", said(&started));
    let inside = stage.at("state/workspace");
    for number in 0..4001 {
        let link = inside.join(format!("link{number}"));
        std::os::unix::fs::symlink(format!("file{number}"), link).unwrap();
    }
    std::os::unix::fs::symlink("../../out", inside.join("out")).unwrap();
    let workspace = inside.display().to_string();
    stage.git(&["-C", &workspace, "add", "-A"]);
    let author = ["-c", "user.name=c", "-c", "user.email=c@x"];
    let words = ["commit", "-qm", "links"];
    stage.git(&[&["-C", workspace.as_str()][..], &author, &words].concat());
    let trace = stage.at("state/trace");
    let mut diff = stage.cib(&["diff", "--json"]);
    let shown = diff.env("GIT_TRACE", &trace).output().unwrap();
    assert!(shown.status.success(), "{}", said(&shown));
    let result: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    // And the file that was changed here already.
    assert_eq!(result["files"].as_array().unwrap().len(), 4003);
    let guarded = result["guarded"].as_array().unwrap();
    assert!(
        guarded.len() == 1 && guarded[0]["path"] == "out",
        "{guarded:?}"
    );
    let asked = stage
        .read("state/trace")
        .matches("built-in: git cat-file")
        .count();
    assert!((1..10).contains(&asked), "{asked}");
}

#[test]
fn a_submodule_that_is_not_checked_out_here_is_named() {
    let stage = worked_on();
    stage.git(&["submodule", "--quiet", "deinit", "--force", "libs/sub"]);
    let shown = stage.cib(&["diff", "--wip", "--json"]).output().unwrap();
    assert!(shown.status.success(), "{}", said(&shown));
    let result: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(result["missing"], serde_json::json!(["libs/sub"]));
    assert!(
        said(&shown).contains("stays in the box"),
        "{}",
        said(&shown)
    );
}

/// An engine in whose box something is committed as soon as somebody has fetched what is there.
const LATE: &str = r#"#!/bin/sh
case $* in
  *upload-pack*)
    "$STATE/../bin/engine" "$@"
    code=$?
    if mkdir "$STATE/late" 2>/dev/null; then
      for name in $(env | sed -n 's/^\(GIT_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
      cd "$STATE/workspace" && echo x >.envrc && git add .envrc &&
        git -c user.name=c -c user.email=c@x commit -qm late
    fi >&2
    exit $code
    ;;
esac
exec "$STATE/../bin/engine" "$@"
"#;

#[test]
fn what_a_box_commits_while_its_work_is_pushed_is_agreed_to_like_the_rest() {
    let stage = Stage::new();
    stage.git(&["init", "-q", "--bare", "../remote.git"]);
    stage.git(&["remote", "add", "origin", "../remote.git"]);
    stage.git(&["push", "-q", "origin", "main"]);
    let started = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(started.status.success(), "{}", said(&started));
    let workspace = stage.at("state/workspace").display().to_string();
    std::fs::write(stage.at("state/workspace/good"), "good\n").unwrap();
    stage.git(&["-C", &workspace, "add", "good"]);
    let author = ["-c", "user.name=c", "-c", "user.email=c@x"];
    let words = ["commit", "-qm", "good"];
    stage.git(&[&["-C", workspace.as_str()][..], &author, &words].concat());
    stage.program("engine", include_str!("docker.sh"));
    stage.program("docker", LATE);
    let watch = ["watch", "--auto-push", "--count", "1"];
    let watched = stage.cib(&watch).output().unwrap();
    assert!(watched.status.success(), "{}", said(&watched));
    assert!(said(&watched).contains(".envrc"), "{}", said(&watched));
    let there = stage.git(&["ls-remote", "origin"]);
    assert!(!there.contains("claude/"), "{there}\n{}", said(&watched));
}

fn name(stage: &Stage) -> String {
    let labels = stage.read("state/box");
    let name = labels
        .lines()
        .find_map(|line| line.strip_prefix("claude-in-box.name="));
    name.unwrap().to_owned()
}

fn wip(stage: &Stage) -> String {
    format!("refs/cib/{}/wip", name(stage))
}
