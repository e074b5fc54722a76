//! Pull requests by the real `gh`, at a stand-in for GitHub.

use std::process::{Command, Output};

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
    let mut urls = Vec::new();
    let mut commit = String::new();
    for text in ["Mend it", "Mend it more"] {
        commit = stage.commit_inside("x", text, &[text, "Why <!-- hidden -->"]);
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
    assert_eq!(there.trim(), commit);
}

/// A machine whose repository is at a stand-in for a forge other than GitHub.
pub(crate) struct AtForge {
    pub(crate) stage: Stage,
    forge: ForgeStandIn,
    /// The variables that name the forge's host and its token.
    names: (&'static str, &'static str),
}

impl AtForge {
    pub(crate) fn new(host: &'static str, token: &'static str) -> Self {
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
        let url = format!("http://{}/me/api.git", forge.addr());
        stage.git(&["remote", "add", "origin", &url]);
        let helper = "!f() { echo username=oauth2; echo password=ghp_of_the_test; }; f";
        stage.git(&["config", "credential.helper", helper]);
        stage.git(&["fetch", "--quiet", "origin"]);
        stage.git(&["reset", "--quiet", "--hard", "origin/main"]);
        let names = (host, token);
        Self {
            stage,
            forge,
            names,
        }
    }

    /// A program that finds the forge's host and token.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.stage.command(program);
        let (host, token) = self.names;
        command
            .env(host, self.forge.addr().to_string())
            .env(token, TOKEN);
        command
    }

    pub(crate) fn cib(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_cib"));
        command.args(arguments).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn good(&self, arguments: &[&str]) -> Value {
        let output = self.cib(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// How many pull requests were opened.
    pub(crate) fn pulls(&self) -> usize {
        let made = self.forge.events().into_iter().filter(|event| {
            let is_pull = event.path.contains("pulls") || event.path.contains("merge_requests");
            event.method == "POST" && is_pull && event.status == 201
        });
        made.count()
    }

    /// The commit that a branch is at there; empty if there is none.
    pub(crate) fn branch(&self, name: &str) -> String {
        let bare = self.forge.dir("me/api").unwrap().display().to_string();
        let name = format!("refs/heads/{name}");
        let words = ["for-each-ref", "--format=%(objectname)", &name];
        let words = [&["--git-dir", bare.as_str()][..], &words].concat();
        self.stage.git(&words).trim().to_owned()
    }
}

#[test]
fn without_gh_a_token_of_the_forges_opens_one_pull_request_a_branch() {
    for (host, token) in [
        ("GITEA_HOST", "GITEA_TOKEN"),
        ("GITLAB_HOST", "GITLAB_TOKEN"),
    ] {
        let at = AtForge::new(host, token);
        at.good(&["start", "--json", "--branch", "work"]);
        let mut urls = Vec::new();
        for text in ["Mend it", "Mend it more"] {
            at.stage.commit_inside("x", text, &[text]);
            let opened = at.good(&["pr", "--draft", "--json"]);
            urls.push(opened["url"].as_str().unwrap().to_owned());
        }
        assert!(urls[0].ends_with("/1") && urls[0] == urls[1], "{urls:?}");
        assert_eq!(at.pulls(), 1, "{host}");
    }
}

#[test]
fn gitlab_without_a_token_is_asked_by_options_of_the_push() {
    let stage = Stage::new();
    stage.git(&["stash", "--quiet"]);
    stage.git(&["init", "-q", "--bare", "-b", "main", "../gitlab.git"]);
    let remote = stage.at("gitlab.git").display().to_string();
    let there = |words: &[&str]| stage.git(&[&["--git-dir", remote.as_str()][..], words].concat());
    there(&["config", "receive.advertisePushOptions", "true"]);
    stage.git(&["remote", "add", "origin", &remote]);
    stage.git(&["push", "-q", "origin", "main"]);
    let hook = stage.at("gitlab.git/hooks/pre-receive");
    let script = "#!/bin/sh\nenv | grep ^GIT_PUSH_OPTION_ | sort >\"$STATE/options\"\n";
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).unwrap();
    let started = stage.cib(&["start", "--json", "--branch", "work"]).output();
    assert!(started.unwrap().status.success());
    let commit = stage.commit_inside("x", "x\n", &["Mend it"]);
    let words = [
        "pr",
        "--draft",
        "--base",
        "main",
        "--title",
        "A title\nof two lines",
    ];
    let opened = stage.cib(&words).output().unwrap();
    assert!(opened.status.success(), "{}", said(&opened));
    assert_eq!(there(&["rev-parse", "work"]).trim(), commit);
    let options = stage.read("state/options");
    for option in [
        "merge_request.create",
        "merge_request.target=main",
        "merge_request.title=A title",
        "merge_request.draft",
    ] {
        assert!(options.contains(&format!("={option}")), "{options}");
    }
}
