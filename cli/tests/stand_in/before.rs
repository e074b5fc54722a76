//! A link of the name of the tool before, which does as that tool did.

use std::process::Command;

use crate::stage::{Stage, json, said};

/// `claude-run` of a stage, from somewhere that is no repository.
fn called(stage: &Stage, arguments: &[&str]) -> Command {
    let link = stage.at("bin/claude-run");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cib"), &link).unwrap();
    }
    let mut command = stage.command(link);
    command.args(arguments).env("BROWSER", stage.browser());
    command
}

#[test]
fn a_link_of_the_name_of_the_tool_before_does_as_that_did() {
    let stage = Stage::new();
    // Its defaults, without a file.
    let told = json(called(&stage, &["config", "--json"]));
    assert_eq!(told["forwardSshKeys"]["value"], true);
    let ours = json(stage.cib(&["config", "--json"]));
    assert_eq!(ours["forwardSshKeys"]["value"], false);
    // Options of `start` without it; a name is what names begin with.
    let words = ["--web", "--name", "main-dev", "--json"];
    let started = json(called(&stage, &words));
    let name = started["name"].as_str().unwrap();
    assert!(name.starts_with("main-dev-20"), "{name}");
    let page = format!("{}/#token=a%2Dtoken", started["url"].as_str().unwrap());
    assert_eq!(stage.opened(), page);
    // Boxes of every repository, wherever one is; the browser is what attaches.
    let elsewhere = |arguments: &[&str]| {
        let mut command = called(&stage, arguments);
        command.current_dir(stage.at("home"));
        command
    };
    assert_eq!(json(elsewhere(&["ls", "--json"]))[0]["name"], name);
    let attached = elsewhere(&["attach"]).output().unwrap();
    assert!(attached.status.success(), "{}", said(&attached));
    assert_eq!(stage.opened(), page);
    for words in [&["attach", "--no-web"][..], &["attach", "--session", "a"]] {
        let attached = elsewhere(words).output().unwrap();
        assert!(!attached.status.success(), "{}", said(&attached));
    }
    assert_eq!(stage.asked("POST /api/tokens ").len(), 2);
    let stopped = json(elsewhere(&["stop", "--json"]));
    assert_eq!(stopped["stopped"], serde_json::json!([name]));
    let cleaned = json(elsewhere(&["clean", "--json"]));
    assert_eq!(cleaned["removed"], serde_json::json!([name]));
    // And it says who it is called.
    let help = called(&stage, &["stop", "--help"]).output().unwrap();
    assert!(
        said(&help).contains("Usage: claude-run stop"),
        "{}",
        said(&help)
    );
}
