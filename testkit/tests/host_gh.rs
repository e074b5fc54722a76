//! GitHub's own program against the stand-in: what it takes for GitHub is good enough for the box.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::path::Path;
use std::process::{Command, Output};

use cib_testkit::forge::{ForgeStandIn, NewRepository};
use serde_json::Value;
use tempfile::TempDir;

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

/// `gh auth git-credential` answers for https alone.
const HELPER: &str =
    "credential.helper=!f() { echo username=x-access-token; echo password=$GH_TOKEN; }; f";

struct World {
    server: ForgeStandIn,
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let server = ForgeStandIn::start().unwrap();
        server.token(TOKEN, "me", Some(&["repo", "read:org"]));
        let dir = TempDir::new().unwrap();
        let world = Self { server, dir };
        world.repository("me/api", "me");
        world
    }

    fn repository(&self, slug: &str, writer: &str) {
        self.server
            .repository(&NewRepository {
                slug: slug.to_owned(),
                description: "The API".to_owned(),
                writers: vec![writer.to_owned()],
                files: [("README.md".to_owned(), "Read me".to_owned())].into(),
                ..NewRepository::default()
            })
            .unwrap();
    }

    /// Everything it speaks to is the stand-in, which it takes for a proxy.
    fn run(&self, dir: &Path, program: &str, words: &[&str]) -> Output {
        let proxy = self.server.url();
        Command::new(program)
            .args(words)
            .current_dir(dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.dir.path())
            .env("GH_HOST", "github.localhost")
            .env("GH_TOKEN", TOKEN)
            .env("GH_PROMPT_DISABLED", "1")
            .env("GH_NO_UPDATE_NOTIFIER", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@b")
            .env("GIT_COMMITTER_NAME", "A")
            .env("GIT_COMMITTER_EMAIL", "a@b")
            .env("HTTP_PROXY", &proxy)
            .env("http_proxy", &proxy)
            .output()
            .unwrap()
    }

    fn gh(&self, dir: &Path, words: &[&str]) -> String {
        let done = self.run(dir, "gh", words);
        assert!(
            done.status.success(),
            "gh {words:?}: {}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn git(&self, dir: &Path, words: &[&str]) {
        let done = self.run(dir, "git", words);
        assert!(
            done.status.success(),
            "git {words:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[test]
fn gh_lists_clones_opens_comments_and_closes_as_at_github() {
    let world = World::new();
    let root = world.dir.path();
    let shown = world.run(root, "gh", &["auth", "status"]);
    let shown = [shown.stdout, shown.stderr].concat();
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("Logged in to github.localhost as me"),
        "{shown}"
    );
    assert!(world.gh(root, &["repo", "list"]).contains("me/api"));
    assert!(
        world
            .gh(root, &["search", "repos", "api", "--json", "fullName"])
            .contains("me/api")
    );
    let view = world.gh(
        root,
        &[
            "repo",
            "view",
            "me/api",
            "--json",
            "name,defaultBranchRef,isPrivate,viewerPermission",
        ],
    );
    let view: Value = serde_json::from_str(&view).unwrap();
    assert_eq!(view["defaultBranchRef"]["name"], "main");
    let missing = world.run(root, "gh", &["repo", "view", "me/nothing"]);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        !missing.status.success() && said.contains("Could not resolve to a Repository"),
        "{said}"
    );

    world.gh(root, &["repo", "clone", "me/api"]);
    let tree = root.join("api");
    world.git(&tree, &["checkout", "--quiet", "-b", "claude/1"]);
    world.git(
        &tree,
        &["commit", "--quiet", "--allow-empty", "-m", "start"],
    );
    world.git(
        &tree,
        &["-c", HELPER, "push", "--quiet", "origin", "claude/1"],
    );
    let create = [
        "pr", "create", "--draft", "--title", "Mend it", "--body", "Because.", "--head",
        "claude/1", "--base", "main",
    ];
    let url = world.gh(&tree, &create);
    assert!(url.trim().ends_with("/me/api/pull/1"), "{url}");
    let again = world.run(&tree, "gh", &create);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && said.contains("already exists"),
        "{said}"
    );
    assert!(
        world
            .gh(&tree, &["pr", "list", "--head", "claude/1"])
            .contains("Mend it")
    );
    world.gh(&tree, &["pr", "comment", "1", "--body", "Look."]);
    world.gh(&tree, &["pr", "ready", "1"]);
    let view = world.gh(
        &tree,
        &["pr", "view", "1", "--json", "isDraft,state,title,comments"],
    );
    let view: Value = serde_json::from_str(&view).unwrap();
    assert_eq!(
        (&view["isDraft"], &view["state"]),
        (&false.into(), &"OPEN".into())
    );
    assert_eq!(view["comments"][0]["body"], "Look.");
    // Debian's asks for something that GitHub has no more.
    let edit = world.run(&tree, "gh", &["pr", "edit", "1", "--title", "x"]);
    assert!(!edit.status.success());
    world.gh(&tree, &["pr", "close", "1"]);
    let events = world.server.events();
    let graphql = events
        .iter()
        .filter(|event| event.path.contains("graphql"))
        .count();
    assert!(graphql > 8, "{graphql}");
}

#[test]
fn a_push_without_the_right_is_refused_as_at_github() {
    let world = World::new();
    world.repository("acme/api", "acme");
    let root = world.dir.path();
    world.gh(root, &["repo", "clone", "acme/api"]);
    let tree = root.join("api");
    let pushed = world.run(
        &tree,
        "git",
        &["-c", HELPER, "push", "origin", "HEAD:refs/heads/x"],
    );
    let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(!pushed.status.success() && said.contains("403"), "{said}");
    world.gh(root, &["repo", "fork", "acme/api", "--clone=false"]);
    assert!(world.server.dir("me/api").is_some());
}
