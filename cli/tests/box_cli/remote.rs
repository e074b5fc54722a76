//! What of a box's work goes to a remote, and how a person is told of it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::stage::Stage;

#[test]
fn a_push_is_done_from_here_and_what_was_amended_goes_with_a_lease() {
    let stage = Stage::new();
    let name = stage.start(&["--branch", "work"]);
    let nothing = stage.cib(&["push", &name]);
    assert!(
        nothing.stderr.contains("committed nothing"),
        "{}",
        nothing.stderr
    );
    stage.inside(&name, "echo x > x; git add x; git commit -qm x");
    let pushed = stage.json(&["push", &name, "--json"]);
    let remote = stage.remote();
    let at = || {
        stage.run(
            "git",
            &["-C", remote.to_str().unwrap(), "rev-parse", "work"],
        )
    };
    assert_eq!(pushed["commit"], at().trim());
    stage.inside(&name, "git commit -q --amend -m better");
    stage.good(&["push", &name]);
    assert_eq!(stage.inside(&name, "git rev-parse HEAD"), at());
    // Somebody else has pushed since: theirs is not overwritten.
    let other = stage.home().join("other");
    stage.run(
        "git",
        &[
            "clone",
            "-q",
            "-b",
            "work",
            remote.to_str().unwrap(),
            other.to_str().unwrap(),
        ],
    );
    let other = other.to_str().unwrap();
    stage.run(
        "git",
        &[
            "-C",
            other,
            "-c",
            "user.name=o",
            "-c",
            "user.email=o@x",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "theirs",
        ],
    );
    stage.run("git", &["-C", other, "push", "-q"]);
    let theirs = at();
    stage.inside(&name, "git commit -q --amend -m again");
    assert_eq!(stage.cib(&["push", &name]).code, 1);
    assert_eq!(at(), theirs);
    // From inside nothing is pushed at all.
    let inside = stage.cib(&["exec", &name, "git", "push", "origin", "HEAD"]);
    assert_ne!(inside.code, 0);
    assert!(inside.stderr.contains("`cib push`"), "{}", inside.stderr);
}

#[test]
fn the_default_branch_is_not_pushed_unless_that_is_said() {
    let stage = Stage::new();
    let name = stage.start(&["--branch", "main"]);
    stage.inside(&name, "echo x > x; git add x; git commit -qm x");
    let refused = stage.cib(&["push", &name]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("--allow-default"),
        "{}",
        refused.stderr
    );
    stage.good(&["push", &name, "--allow-default"]);
}

#[test]
fn a_commit_is_told_as_it_is_made_and_pushed_only_where_that_is_configured() {
    let stage = Stage::new();
    let name = stage.start(&["--branch", "work"]);
    for (more, pushed) in [(None, false), (Some("--auto-push"), true)] {
        let mut command = stage.command(env!("CARGO_BIN_EXE_cib"));
        command
            .args(["watch", &name, "--json", "--count", "1"])
            .args(more);
        let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
        stage.inside(&name, "date +%N >> x; git add x; git commit -qm 'a commit'");
        let mut line = String::new();
        let mut said = BufReader::new(watch.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["subject"], "a commit");
        assert_eq!(
            told["commit"],
            stage.inside(&name, "git rev-parse HEAD").trim()
        );
        assert!(watch.wait().unwrap().success());
        let remote = stage.remote();
        let there = stage.run(
            "git",
            &["-C", remote.to_str().unwrap(), "branch", "--list", "work"],
        );
        assert_eq!(!there.is_empty(), pushed);
    }
}

#[test]
fn a_pull_request_is_opened_by_gh_once() {
    let stage = Stage::new();
    let name = stage.start(&["--branch", "work"]);
    stage.inside(
        &name,
        "echo x > x; git add x; git commit -qm 'A title' -m 'Why <!-- hidden -->'",
    );
    // What gh is asked for, and answers: nothing at first, then the one that there is.
    let programs = stage.home().join("bin");
    std::fs::create_dir(&programs).unwrap();
    let gh = programs.join("gh");
    let script = "#!/bin/sh\nprintf '%s\\n' \"$*\" >> \"$HOME/gh.log\"\n\
        case $2 in\n list) test -e \"$HOME/made\" && echo https://forge.example/pull/1 ;;\n\
        create) cat > \"$HOME/body\"; touch \"$HOME/made\"; echo https://forge.example/pull/1 ;;\nesac\n";
    std::fs::write(&gh, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&gh, mode).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    for _ in 0..2 {
        let mut command = stage.command(env!("CARGO_BIN_EXE_cib"));
        command
            .env("PATH", &path)
            .args(["pr", &name, "--draft", "--json"]);
        let ran = Stage::finish(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(
            ran.stdout.trim(),
            r#"{"url":"https://forge.example/pull/1"}"#
        );
    }
    let log = std::fs::read_to_string(stage.home().join("gh.log")).unwrap();
    let made: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("pr create"))
        .collect();
    assert_eq!(
        made,
        ["pr create --head work --base main --title A title --body-file - --draft"]
    );
    let body = std::fs::read_to_string(stage.home().join("body")).unwrap();
    assert_eq!(body, "Why &lt;!-- hidden -->");
}
