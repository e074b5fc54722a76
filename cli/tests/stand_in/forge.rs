//! Pull requests by the real `gh`, at a stand-in for GitHub.

use std::process::Command;

use cib_testkit::forge::{ForgeStandIn, NewRepository};
use serde_json::Value;

use crate::stage::{Stage, said};

const TOKEN: &str = "ghp_of_the_test";

/// Everything that it speaks to is the stand-in, which it takes for a proxy.
fn at_github(command: &mut Command, forge: &ForgeStandIn) {
    command
        .env("GH_HOST", "github.localhost")
        .env("GH_TOKEN", TOKEN)
        .env("GH_NO_UPDATE_NOTIFIER", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("HTTP_PROXY", forge.url())
        .env("http_proxy", forge.url());
}

#[test]
fn the_real_gh_opens_one_draft_a_branch_and_finds_it_again() {
    let forge = ForgeStandIn::start().unwrap();
    forge.token(TOKEN, "me", Some(&["repo", "read:org"]));
    forge
        .repository(&NewRepository {
            slug: "me/api".to_owned(),
            files: [("README.md".to_owned(), "Read me".to_owned())].into(),
            ..NewRepository::default()
        })
        .unwrap();
    let stage = Stage::new();
    stage.git(&[
        "remote",
        "add",
        "origin",
        "http://github.localhost/me/api.git",
    ]);
    stage.git(&[
        "config",
        "credential.helper",
        "!f() { echo username=x-access-token; echo password=ghp_of_the_test; }; f",
    ]);
    // What the forge has, so that a branch of it is more than that.
    let run = |program: &str, arguments: &[&str]| {
        let mut command = stage.command(program);
        at_github(command.args(arguments), &forge);
        command.output().unwrap()
    };
    let cib = |arguments: &[&str]| run(env!("CARGO_BIN_EXE_cib"), arguments);
    let fetched = run("git", &["fetch", "--quiet", "origin"]);
    assert!(fetched.status.success(), "{}", said(&fetched));
    stage.git(&["reset", "--quiet", "--hard", "origin/main"]);
    stage.git(&["remote", "set-head", "origin", "main"]);

    let started = cib(&["start", "--json", "--branch", "work"]);
    assert!(started.status.success(), "{}", said(&started));
    let workspace = stage.at("state/workspace").display().to_string();
    let commit = |text: &str| {
        std::fs::write(stage.at("state/workspace/x"), text).unwrap();
        stage.git(&["-C", &workspace, "add", "-A"]);
        let author = ["-c", "user.name=c", "-c", "user.email=c@x"];
        let words = ["commit", "-qm", text, "-m", "Why <!-- hidden -->"];
        stage.git(&[&["-C", workspace.as_str()][..], &author, &words].concat());
    };
    let mut urls = Vec::new();
    for text in ["Mend it", "Mend it more"] {
        commit(text);
        let opened = cib(&["pr", "--draft", "--json"]);
        assert!(opened.status.success(), "{}", said(&opened));
        let result: Value = serde_json::from_slice(&opened.stdout).unwrap();
        urls.push(result["url"].as_str().unwrap().to_owned());
    }
    assert!(urls[0].ends_with("/me/api/pull/1"), "{urls:?}");
    assert_eq!(urls[0], urls[1]);
    let viewed = run(
        "gh",
        &[
            "pr",
            "view",
            "1",
            "--json",
            "title,body,isDraft,headRefName,baseRefName",
        ],
    );
    let viewed: Value = serde_json::from_slice(&viewed.stdout).unwrap();
    assert_eq!(
        viewed,
        serde_json::json!({
            "title": "Mend it", "body": "Why &lt;!-- hidden -->", "isDraft": true,
            "headRefName": "work", "baseRefName": "main",
        })
    );
    // What was pushed is what the box has.
    let bare = forge.dir("me/api").unwrap().display().to_string();
    let there = stage.git(&["--git-dir", &bare, "rev-parse", "work"]);
    assert_eq!(there, stage.git(&["-C", &workspace, "rev-parse", "HEAD"]));
}

#[test]
fn without_gh_a_token_of_the_forges_opens_one_pull_request_a_branch() {
    for (host, token) in [
        ("GITEA_HOST", "GITEA_TOKEN"),
        ("GITLAB_HOST", "GITLAB_TOKEN"),
    ] {
        let forge = ForgeStandIn::start().unwrap();
        forge.token(TOKEN, "me", None);
        let files = [("README.md".to_owned(), "Read me".to_owned())].into();
        let new = NewRepository {
            slug: "me/api".to_owned(),
            files,
            ..NewRepository::default()
        };
        forge.repository(&new).unwrap();
        let stage = Stage::new();
        let address = forge.addr().to_string();
        let url = format!("http://{address}/me/api.git");
        stage.git(&["remote", "add", "origin", &url]);
        let helper = "!f() { echo username=oauth2; echo password=ghp_of_the_test; }; f";
        stage.git(&["config", "credential.helper", helper]);
        stage.git(&["fetch", "--quiet", "origin"]);
        stage.git(&["reset", "--quiet", "--hard", "origin/main"]);
        let cib = |arguments: &[&str]| {
            let mut command = stage.cib(arguments);
            command.env(host, &address).env(token, TOKEN);
            command.output().unwrap()
        };
        let started = cib(&["start", "--json", "--branch", "work"]);
        assert!(started.status.success(), "{}", said(&started));
        let workspace = stage.at("state/workspace").display().to_string();
        let mut urls = Vec::new();
        for text in ["Mend it", "Mend it more"] {
            std::fs::write(stage.at("state/workspace/x"), text).unwrap();
            stage.git(&["-C", &workspace, "add", "-A"]);
            let author = ["-c", "user.name=c", "-c", "user.email=c@x"];
            let words = ["commit", "-qm", text];
            stage.git(&[&["-C", workspace.as_str()][..], &author, &words].concat());
            let opened = cib(&["pr", "--draft", "--json"]);
            assert!(opened.status.success(), "{host}: {}", said(&opened));
            let result: Value = serde_json::from_slice(&opened.stdout).unwrap();
            urls.push(result["url"].as_str().unwrap().to_owned());
        }
        assert!(urls[0].ends_with("/1") && urls[0] == urls[1], "{urls:?}");
        let made = forge.events().into_iter().filter(|event| {
            let is_pull = event.path.contains("pulls") || event.path.contains("merge_requests");
            event.method == "POST" && is_pull && event.status == 201
        });
        assert_eq!(made.count(), 1, "{host}");
    }
}
