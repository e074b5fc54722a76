//! What tasks make is published through the box, and by nobody else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::Ordering;

use cib_control::config::Config;
use cib_protocol::forge::ForgeKind;
use serde_json::{Value, json};

use super::{comes_to, commit, end_turn, git, submit, task, workdir};
use crate::common::client::Client;
use crate::common::forge::{self, GitForge, TOKEN};
use crate::common::world::{Server, World};
use crate::common::{files, until};

/// A repository of the forge with one commit on `main`.
pub(super) fn repository(forge: &GitForge, slug: &str) -> PathBuf {
    seed(&forge.repository(slug))
}

/// Makes a bare repository with one commit on `main`.
pub(super) fn seed(bare: &Path) -> PathBuf {
    fs::create_dir_all(bare).unwrap();
    git(
        bare,
        &["init", "--quiet", "--bare", "--initial-branch=main"],
    );
    git(bare, &["config", "http.receivepack", "true"]);
    let tree = bare.with_extension("seed");
    git(
        bare.parent().unwrap(),
        &[
            "clone",
            "--quiet",
            bare.to_str().unwrap(),
            tree.to_str().unwrap(),
        ],
    );
    fs::write(tree.join("file"), "one\n").unwrap();
    git(&tree, &["checkout", "--quiet", "-B", "main"]);
    git(&tree, &["add", "--all"]);
    git(&tree, &["commit", "--quiet", "--message", "first"]);
    git(&tree, &["push", "--quiet", "origin", "main"]);
    bare.to_owned()
}

struct Box_ {
    world: World,
    forge: GitForge,
    server: Server,
    client: Client,
}

fn a_box() -> Box_ {
    a_box_with(|_| {})
}

fn a_box_with(change: impl FnOnce(&mut Config)) -> Box_ {
    let world = World::new();
    files::serve(&world);
    let forge = GitForge::start(&world);
    repository(&forge, "acme/api");
    let mut config = forge::config(&world, vec![forge::account(ForgeKind::Git, &forge.url)]);
    change(&mut config);
    let server = world.serve_with(&config);
    let client = server.client();
    Box_ {
        world,
        forge,
        server,
        client,
    }
}

impl Box_ {
    async fn works(&self, more: Value) -> (String, PathBuf) {
        let mut body = json!({
            "prompt": "Mend it",
            "repo": format!("{}/acme/api", self.forge.url),
        });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let count = self.world.init().specs.len();
        let id = submit(&self.client, &body).await;
        until("it works, or says why not", async || {
            let task = task(&self.client, &id).await;
            assert_ne!(task["state"], "failed", "{task:#}");
            self.world.init().specs.len() > count
        })
        .await;
        let working = comes_to(&self.world, &self.client, &id, "working").await;
        let dir = workdir(&working);
        (id, dir)
    }

    /// Has a shell of coder's run something, as it would in a session.
    async fn shell(&self, dir: &Path, script: &str) -> Output {
        shell(&self.world, dir, script).await
    }

    fn at(&self, branch: &str) -> Option<String> {
        let bare = self.forge.repository("acme/api");
        let ran = Command::new("git")
            .args(["rev-parse", "--quiet", "--verify", branch])
            .current_dir(bare)
            .output()
            .unwrap();
        ran.status
            .success()
            .then(|| String::from_utf8(ran.stdout).unwrap().trim().to_owned())
    }
}

pub(super) async fn shell(world: &World, dir: &Path, script: &str) -> Output {
    let path = std::env::var("PATH").unwrap();
    let bin = world.path().join("bin");
    // The runtime serves what this asks for.
    tokio::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("CIB_GIT_SOCKET", world.runtime().join("git/git.sock"))
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@b")
        .env("GIT_COMMITTER_NAME", "A")
        .env("GIT_COMMITTER_EMAIL", "a@b")
        .output()
        .await
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_branch_is_published_by_control_and_the_tree_keeps_the_true_address() {
    let one = a_box();
    let (id, dir) = one.works(json!({})).await;
    let branch = format!("claude/{id}");
    assert!(
        one.at(&branch).is_some(),
        "the branch is there before the work"
    );
    let url = git(&dir, &["config", "remote.origin.url"]);
    assert_eq!(url, format!("{}/acme/api.git", one.forge.url));
    // So are large files fetched; a push of theirs is control's.
    assert_eq!(git(&dir, &["config", "lfs.url"]), format!("{url}/info/lfs"));
    assert_eq!(
        git(&dir, &["config", "lfs.pushurl"]),
        format!("file://{}", dir.display())
    );
    // By control, which looks for commits.
    let made = commit(&dir, "new");
    until("the commit is published", async || {
        one.at(&branch).as_ref() == Some(&made)
    })
    .await;
    // By the agent itself, and the forge has it when its push returns.
    let pushed = one
        .shell(
            &dir,
            "echo x > more && git add . && git commit -qm more && git push -q origin HEAD",
        )
        .await;
    assert!(pushed.status.success(), "{pushed:?}");
    assert_eq!(one.at(&branch), Some(git(&dir, &["rev-parse", "HEAD"])));
    // What others did is there to be fetched.
    let seed = one.forge.repository("acme/api").with_extension("seed");
    fs::write(seed.join("theirs"), "x").unwrap();
    git(&seed, &["add", "--all"]);
    git(&seed, &["commit", "--quiet", "--message", "theirs"]);
    git(&seed, &["push", "--quiet", "origin", "main"]);
    let fetched = one
        .shell(&dir, "git fetch -q origin && git rev-parse origin/main")
        .await;
    assert!(fetched.status.success(), "{fetched:?}");
    assert_eq!(
        String::from_utf8_lossy(&fetched.stdout).trim(),
        one.at("main").unwrap()
    );
    end_turn(&one.world, 0, "Done.", "turn_end");
    let done = comes_to(&one.world, &one.client, &id, "completed").await;
    assert_eq!(
        done["push"],
        json!({"commit": git(&dir, &["rev-parse", "HEAD"])})
    );
    assert!(done.get("pr").is_none(), "git alone has no pull requests");
    drop(one.server);
}

#[tokio::test]
async fn what_is_not_the_tasks_own_branch_is_refused_with_a_sentence() {
    let one = a_box();
    repository(&one.forge, "acme/web");
    let (id, dir) = one.works(json!({})).await;
    let other = "0badcafe";
    let seed = one.forge.repository("acme/api").with_extension("seed");
    git(
        &seed,
        &["push", "--quiet", "origin", &format!("main:claude/{other}")],
    );
    let branch = format!("claude/{id}");
    let (main, there) = (one.at("main"), one.at(&branch));
    let theirs = one.at(&format!("claude/{other}"));
    let url = &one.forge.url;
    for (push, word) in [
        (
            "git push origin HEAD:main".to_owned(),
            "`main` stays as it is",
        ),
        (
            format!("git push origin +HEAD:claude/{other}"),
            "stays as it is",
        ),
        ("git tag v1 && git push origin v1".to_owned(), "no tags"),
        (format!("git push origin :{branch}"), "not removed"),
        (
            format!(
                "git checkout -q -b else origin/main && git commit -q --allow-empty -m x && git push -f origin HEAD:{branch}"
            ),
            "only grows",
        ),
        (
            format!("git push {url}/acme/web HEAD:main"),
            "acme/web is neither",
        ),
        (
            format!("git fetch {url}/acme/web main"),
            "acme/web is neither",
        ),
        (
            "git push origin HEAD:refs/pull/1/head".to_owned(),
            "stays as it is",
        ),
    ] {
        let pushed = one.shell(&dir, &push).await;
        assert!(!pushed.status.success(), "{push}");
        assert!(said(&pushed).contains(word), "{push}: {}", said(&pushed));
    }
    assert_eq!((one.at("main"), one.at(&branch)), (main, there));
    assert_eq!(one.at(&format!("claude/{other}")), theirs);
    assert!(one.at("refs/tags/v1").is_none());
    // A process that is no session's: it has lost its parent.
    let lost = dir.join("../lost");
    let script = format!(
        "setsid sh -c 'sleep 1; git push origin HEAD:{branch} 2>{0}.new; mv {0}.new {0}' </dev/null >/dev/null 2>&1 &",
        lost.display()
    );
    assert!(one.shell(&dir, &script).await.status.success());
    until("it was refused", async || lost.exists()).await;
    let why = fs::read_to_string(&lost).unwrap();
    assert!(why.contains("no session of a task"), "{why}");
}

#[tokio::test]
async fn no_spelling_of_a_push_reaches_main_and_no_token_is_in_coders_world() {
    let one = a_box();
    let (_, dir) = one.works(json!({})).await;
    let main = one.at("main");
    let to = "origin HEAD:main";
    for spelling in [
        format!("git push {to}"),
        format!("git  push   {to}"),
        format!("git 'push' {to}"),
        format!("$(command -v git) push {to}"),
        format!("true && git push {to}"),
        format!("X=1 git push {to}"),
        format!("timeout 60 git push {to}"),
        format!("env git push {to}"),
        format!("command git push {to}"),
        format!("(git push {to})"),
        format!("g=git; $g push {to}"),
        format!("git push {to} & wait $!"),
        format!("git -C . push {to}"),
        format!("git -c a.b=c push {to}"),
        format!("sh -c 'git push {to}'"),
        format!("eval git push {to}"),
        format!("echo push {to} | xargs git"),
        format!("git -c alias.p=push p {to}"),
        format!("python3 -c \"import os,sys; sys.exit(os.system('git push {to}') >> 8)\""),
        format!(
            "git send-pack cib://{}/acme/api.git HEAD:main",
            &one.forge.url["http://".len()..]
        ),
        format!("git push --no-verify --force {to}"),
        format!(
            "git config --local --unset-all url.cib://{}/.insteadOf; git push {to}",
            &one.forge.url["http://".len()..]
        ),
    ] {
        let pushed = one.shell(&dir, &spelling).await;
        assert!(!pushed.status.success(), "{spelling}: {pushed:?}");
        assert_eq!(one.at("main"), main, "{spelling}");
    }
    let asked = format!(
        "protocol=http\nhost={}\n\n",
        &one.forge.url["http://".len()..]
    );
    let filled = one
        .shell(
            &dir,
            &format!("printf '{asked}' | GIT_ASKPASS=/bin/false git credential fill; env"),
        )
        .await;
    let all = String::from_utf8_lossy(&filled.stdout).into_owned() + &said(&filled);
    assert!(!all.contains(TOKEN), "{all}");
    let found = one
        .shell(&one.world.workspace(), &format!("grep -rlF {TOKEN} ."))
        .await;
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "",
        "a file of coder's has the token"
    );
}

#[tokio::test]
async fn a_secret_is_not_published_the_agent_is_told_and_what_is_allowed_passes() {
    let one = a_box();
    let fake = format!("ghp_{}", "a1".repeat(18));
    let (id, dir) = one.works(json!({"allow": [fake]})).await;
    let branch = format!("claude/{id}");
    fs::write(dir.join("fixture"), &fake).unwrap();
    let allowed = commit(&dir, "fixture-is-allowed");
    until("what is allowed is published", async || {
        one.at(&branch).as_ref() == Some(&allowed)
    })
    .await;
    fs::write(
        dir.join("config"),
        format!("token = ghp_{}", "b2".repeat(18)),
    )
    .unwrap();
    let leaky = commit(&dir, "leaky");
    until("it is refused", async || {
        task(&one.client, &id).await["push"]["kind"] == "secret_found"
    })
    .await;
    let pushed = one.shell(&dir, "git push origin HEAD").await;
    assert!(said(&pushed).contains("a token of GitHub"), "{pushed:?}");
    assert_eq!(one.at(&branch), Some(allowed.clone()));
    until("Claude is told", async || {
        let told = format!("{:?}", one.world.init().keepers[0].told());
        told.contains("did not publish your last commits")
    })
    .await;
    end_turn(&one.world, 0, "Done.", "turn_end");
    let failed = comes_to(&one.world, &one.client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "secret_found", "{failed:#}");
    assert_eq!(
        git(&dir, &["rev-parse", "HEAD"]),
        leaky,
        "the commits are kept"
    );
    assert_eq!(one.at(&branch), Some(allowed));
}

#[tokio::test]
async fn a_forge_that_is_down_is_waited_for_and_then_named_and_the_commits_are_kept() {
    let one = a_box();
    one.forge.fails.store(503, Ordering::SeqCst);
    let body = json!({"prompt": "Mend", "repo": format!("{}/acme/api", one.forge.url)});
    let id = submit(&one.client, &body).await;
    let failed = comes_to(&one.world, &one.client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "forge_down", "{failed:#}");
    let log = one.client.get(&format!("/api/tasks/{id}/logs")).await;
    let log = String::from_utf8(log.body.to_vec()).unwrap();
    assert_eq!(log.matches("forge failed").count(), 2, "{log}");
    one.forge.fails.store(403, Ordering::SeqCst);
    let id = submit(&one.client, &body).await;
    let failed = comes_to(&one.world, &one.client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "no_right", "{failed:#}");
    one.forge.fails.store(0, Ordering::SeqCst);
    // Away while Claude works, and at the end.
    let (id, dir) = one.works(json!({})).await;
    one.forge.fails.store(503, Ordering::SeqCst);
    let made = commit(&dir, "new");
    end_turn(&one.world, 0, "Done.", "turn_end");
    let failed = comes_to(&one.world, &one.client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "forge_down", "{failed:#}");
    assert_eq!(git(&dir, &["rev-parse", "HEAD"]), made);
    // Retried when it is back, nothing is lost.
    one.forge.fails.store(0, Ordering::SeqCst);
    one.client
        .post(&format!("/api/tasks/{id}/retry"), &json!({}))
        .await
        .ok();
    until("what was kept is published", async || {
        one.world
            .init()
            .keepers
            .iter_mut()
            .for_each(crate::common::keeper::Keeper::obey);
        one.at(&format!("claude/{id}")).as_ref() == Some(&made)
    })
    .await;
}

#[tokio::test]
async fn a_task_pushes_so_much_and_no_more() {
    let one = a_box_with(|config| config.most_pushed = 1 << 20);
    let (id, dir) = one.works(json!({})).await;
    let branch = format!("claude/{id}");
    // Nothing makes these smaller.
    let mut state = 1_u32;
    let mut bytes = || -> Vec<u8> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()
        };
        (0..175_000).flat_map(|_| next()).collect()
    };
    fs::write(dir.join("one"), bytes()).unwrap();
    let made = commit(&dir, "first");
    until("the first is published", async || {
        one.at(&branch).as_ref() == Some(&made)
    })
    .await;
    fs::write(dir.join("two"), bytes()).unwrap();
    commit(&dir, "second");
    until("the second is refused", async || {
        let push = &task(&one.client, &id).await["push"];
        let refused = push["refused"].as_str().unwrap_or_default();
        refused.contains("pushed 1 MB")
    })
    .await;
    assert_eq!(one.at(&branch), Some(made));
}

#[tokio::test]
async fn of_a_large_repository_the_rest_comes_through_the_box_when_it_is_needed() {
    let one = a_box_with(|config| config.large = 0);
    let seed = one.forge.repository("acme/api").with_extension("seed");
    fs::write(seed.join("file"), "two\n").unwrap();
    git(
        &seed,
        &["commit", "--quiet", "--all", "--message", "second"],
    );
    git(&seed, &["push", "--quiet", "origin", "main"]);
    let (id, dir) = one.works(json!({})).await;
    let missing = "git rev-list --objects --missing=print HEAD | grep -c '^?'";
    let missing = one.shell(&dir, missing).await;
    assert_eq!(String::from_utf8_lossy(&missing.stdout).trim(), "1");
    let earlier = one.shell(&dir, "git show HEAD~2:file").await;
    assert_eq!(String::from_utf8_lossy(&earlier.stdout), "one\n");
    let made = commit(&dir, "new");
    until("the commit is published", async || {
        one.at(&format!("claude/{id}")).as_ref() == Some(&made)
    })
    .await;
}
