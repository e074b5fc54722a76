//! What a person publishes by a page: one commit of a working tree that is no task's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cib_control::publish::person::Order;
use cib_control::publish::wire::Answer;
use cib_protocol::forge::ForgeKind;
use cib_testkit::forge::{ForgeStandIn, NewRepository};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::large::{point, put};
use super::publishing::shell;
use super::{comes_to, commit, git, submit};
use crate::common::client::Client;
use crate::common::forge::{self, TOKEN};
use crate::common::world::{Server, World};
use crate::common::{files, soon};

/// A box with an account at a forge, and a tree that was cloned from there.
struct Desk {
    world: World,
    forge: ForgeStandIn,
    server: Server,
    client: Client,
    tree: PathBuf,
    host: String,
}

fn desk() -> Desk {
    let world = World::new();
    files::serve(&world);
    let forge = ForgeStandIn::start().unwrap();
    forge.token(TOKEN, "me", Some(&["repo"]));
    let files = BTreeMap::from([("file".to_owned(), "one\n".to_owned())]);
    for (slug, writers) in [("acme/api", vec!["me".to_owned()]), ("acme/read", vec![])] {
        let new = NewRepository {
            slug: slug.to_owned(),
            writers,
            files: files.clone(),
            ..NewRepository::default()
        };
        forge.repository(&new).unwrap();
    }
    let config = forge::config(
        &world,
        vec![forge::account(ForgeKind::GitHub, &forge.url())],
    );
    let server = world.serve_with(&config);
    let tree = world.workspace().join("tree");
    let bare = forge.dir("acme/api").unwrap();
    let words = ["clone", "--quiet", bare.to_str().unwrap(), "tree"];
    git(&world.workspace(), &words);
    let desk = Desk {
        client: server.client(),
        host: forge.addr().to_string(),
        tree,
        server,
        forge,
        world,
    };
    desk.comes_from(&format!("{}/acme/api.git", desk.forge.url()));
    desk
}

impl Desk {
    fn comes_from(&self, url: &str) {
        git(&self.tree, &["remote", "set-url", "origin", url]);
    }

    async fn remote(&self) -> Value {
        let path = format!("/api/git/remote?workdir={}", self.tree.display());
        self.client.get(&path).await.ok()
    }

    fn order(&self, branch: &str, commit: &str) -> Value {
        json!({
            "workdir": self.tree, "host": self.host, "repository": "acme/api",
            "branch": branch, "commit": commit,
        })
    }

    async fn refused(&self, branch: &str, commit: &str) -> String {
        let order = self.order(branch, commit);
        let answer = self.client.post("/api/git/push", &order).await;
        answer.fault(409, "push_refused")
    }

    fn at(&self, branch: &str) -> Option<String> {
        let ran = std::process::Command::new("git")
            .args(["rev-parse", "--quiet", "--verify", branch])
            .current_dir(self.forge.dir("acme/api").unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8(ran.stdout).unwrap().trim().to_owned();
        ran.status.success().then_some(text)
    }
}

fn says(tree: &Path, text: &str) -> String {
    let words = ["commit", "--quiet", "--allow-empty", "--message", text];
    git(tree, &words);
    git(tree, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn a_person_pushes_a_commit_and_opens_its_pull_request() {
    let desk = desk();
    let made = says(&desk.tree, "Mend the login, closes #5, says @somebody");
    let remote = desk.remote().await;
    for (name, value) in [
        ("branch", json!("main")),
        ("commit", json!(made)),
        ("host", json!(desk.host)),
        ("repository", json!("acme/api")),
        ("default_branch", json!("main")),
        ("pull_requests", json!(true)),
    ] {
        assert_eq!(remote[name], value, "{remote:#}");
    }
    let pr = json!({
        "host": desk.host, "repository": "acme/api", "branch": "claude/login", "draft": true,
    });
    let early = desk.client.post("/api/git/pr", &pr).await;
    assert!(early.fault(409, "push_refused").contains("not pushed"));
    for _ in 0..2 {
        let order = desk.order("claude/login", &made);
        let pushed = desk.client.post("/api/git/push", &order).await.ok();
        assert_eq!(pushed["commit"], made);
        assert_eq!(desk.at("claude/login").as_ref(), Some(&made));
    }
    for adopted in [false, true] {
        let opened = desk.client.post("/api/git/pr", &pr).await.ok();
        assert_eq!(opened["draft"], true);
        assert_eq!(opened["adopted"], adopted, "{opened:#}");
    }
    let eye = Client::new(desk.forge.addr());
    let pulls = eye.get("/_kit/pulls").await.ok()["pulls"].clone();
    assert_eq!(pulls.as_array().unwrap().len(), 1, "{pulls:#}");
    let title = pulls[0]["title"].as_str().unwrap();
    assert!(title.starts_with("Mend the login"), "{title}");
    assert!(
        !title.contains("@somebody") && !title.contains("closes #5"),
        "{title}"
    );
    // More of it goes to the same.
    let more = commit(&desk.tree, "more");
    let order = desk.order("claude/login", &more);
    desk.client.post("/api/git/push", &order).await.ok();
    assert_eq!(desk.at("claude/login"), Some(more));
    drop(desk.server);
}

#[tokio::test]
async fn nothing_but_what_a_person_has_seen_is_taken_and_nothing_is_taken_back() {
    let desk = desk();
    let main = desk.at("main");
    let made = commit(&desk.tree, "made");
    assert!(desk.refused("main", &made).await.contains("own branch"));
    assert_eq!(desk.at("main"), main);
    let order = desk.order("claude/one", &made);
    desk.client.post("/api/git/push", &order).await.ok();
    // What was pushed is not rewritten.
    git(
        &desk.tree,
        &["commit", "--quiet", "--amend", "--message", "another"],
    );
    let another = git(&desk.tree, &["rev-parse", "HEAD"]);
    assert!(
        desk.refused("claude/one", &another)
            .await
            .contains("only grows")
    );
    assert_eq!(desk.at("claude/one").as_ref(), Some(&made));
    // A secret stays here.
    let secret = format!("ghp_{}", "a1".repeat(18));
    fs::write(desk.tree.join("key"), &secret).unwrap();
    git(&desk.tree, &["add", "--all"]);
    let told = says(&desk.tree, "key");
    let why = desk.refused("claude/two", &told).await;
    assert!(
        why.contains("token of GitHub") && !why.contains(&secret),
        "{why}"
    );
    assert_eq!(desk.at("claude/two"), None);
    // A tree that leads its pushes elsewhere publishes nothing.
    let elsewhere = desk.world.path().join("elsewhere.git");
    let words = ["init", "--quiet", "--bare", elsewhere.to_str().unwrap()];
    git(desk.world.path(), &words);
    let key = format!("url.{}.insteadOf", elsewhere.display());
    let repository = format!("cib://{}/acme/api.git", desk.host);
    git(&desk.tree, &["config", &key, &repository]);
    assert!(
        desk.refused("claude/three", &made)
            .await
            .contains("elsewhere")
    );
    assert_eq!(desk.at("claude/three"), None);
}

#[tokio::test]
async fn large_files_go_along_from_any_folder_and_tree_and_what_is_missing_is_said() {
    let desk = desk();
    fs::write(desk.tree.join(".gitattributes"), "*.bin filter=lfs\n").unwrap();
    let (one, two) = ("a picture", "a drawing");
    let first = point(&desk.tree, "one.bin", one);
    let made = commit(&desk.tree, "one");
    let why = desk.refused("claude/art", &made).await;
    assert!(why.contains(&first) && why.contains("`git lfs`"), "{why}");
    assert_eq!(desk.at("claude/art"), None);
    // From a folder in the tree, in which a session may have begun.
    put(&desk.tree, &first, one);
    let folder = desk.tree.join("folder");
    fs::create_dir(&folder).unwrap();
    // From a second tree, whose large files `git-lfs` puts where those of the first are.
    let second = desk.world.workspace().join("second");
    let words = ["worktree", "add", "--quiet", second.to_str().unwrap()];
    git(&desk.tree, &words);
    let other = point(&second, "two.bin", two);
    let more = commit(&second, "two");
    put(&desk.tree, &other, two);
    for (workdir, commit, oid, content) in
        [(folder, made, &first, one), (second, more, &other, two)]
    {
        let mut order = desk.order("claude/art", &commit);
        order["workdir"] = json!(workdir);
        desk.client.post("/api/git/push", &order).await.ok();
        assert_eq!(desk.at("claude/art"), Some(commit));
        assert_eq!(desk.forge.large(oid).unwrap(), content.as_bytes());
    }
}

#[tokio::test]
async fn by_the_ticket_of_a_push_no_other_commit_and_no_other_branch_is_taken() {
    let desk = desk();
    let seen = commit(&desk.tree, "seen");
    let later = commit(&desk.tree, "later");
    // What the tree has become meanwhile was not asked for.
    let order = desk.order("claude/one", &seen);
    desk.client.post("/api/git/push", &order).await.ok();
    assert_eq!(desk.at("claude/one").as_ref(), Some(&seen));
    // Neither is what whoever has the ticket makes of it.
    let publisher = &desk.server.app.publisher;
    let forge = publisher
        .repository(&format!("{}/acme/api.git", desk.forge.url()))
        .and_then(|found| found.forge)
        .unwrap();
    let to = |commit: &str, name: &str| format!("{commit}:refs/heads/claude/{name}");
    for (pushed, word) in [
        (to(&later, "two"), "another commit"),
        (to(&seen, "three"), "stays as it is"),
        (
            format!("{} {}", to(&seen, "two"), to(&seen, "three")),
            "stays as it is",
        ),
        (":refs/heads/claude/one".to_owned(), "stays as it is"),
        (to(&seen, "two"), ""),
    ] {
        let order = Order::new(
            forge.clone(),
            String::new(),
            "claude/two".to_owned(),
            seen.clone(),
        );
        let ticket = publisher.ticket_of(&Arc::new(order)).unwrap();
        let script = format!(
            "CIB_GIT_TICKET={} git push cib://{}/acme/api.git {pushed}",
            ticket.name, desk.host
        );
        let output = shell(&desk.world, &desk.tree, &script).await;
        let said = String::from_utf8_lossy(&output.stderr);
        let is_taken = word.is_empty();
        assert_eq!(output.status.success(), is_taken, "{pushed}: {said}");
        assert!(said.contains(word), "{pushed}: {said}");
        assert_eq!(desk.at("claude/two"), is_taken.then(|| seen.clone()));
        assert_eq!(desk.at("claude/three"), None);
        assert_eq!(desk.at("claude/one").as_ref(), Some(&seen));
    }
}

/// A git that has asked for something, and the answer.
async fn asks(desk: &Desk, service: &str, ticket: &str) -> (BufReader<UnixStream>, Answer) {
    let hello = json!({
        "service": service, "host": desk.host, "repository": "acme/api", "ticket": ticket,
    });
    let stream = UnixStream::connect(desk.server.app.publisher.socket()).await;
    let mut stream = BufReader::new(stream.unwrap());
    let line = format!("{hello}\n");
    stream.get_mut().write_all(line.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_line(&mut answer)).await.unwrap();
    (stream, serde_json::from_str(&answer).unwrap())
}

#[tokio::test]
async fn a_ticket_that_whatever_git_starts_knows_is_one_push_or_two_gits_of_a_task() {
    let desk = desk();
    let publisher = &desk.server.app.publisher;
    let made = commit(&desk.tree, "made");
    let order = desk.order("claude/one", &made);
    desk.client.post("/api/git/push", &order).await.ok();
    let forge = publisher
        .repository(&format!("{}/acme/api.git", desk.forge.url()))
        .and_then(|found| found.forge)
        .unwrap();
    let order = Order::new(forge, String::new(), "claude/two".to_owned(), made);
    let push = publisher.ticket_of(&Arc::new(order)).unwrap();
    let (first, answer) = asks(&desk, "git-receive-pack", &push.name).await;
    assert_eq!(answer, Answer::Granted);
    for _ in 0..2 {
        let (_, answer) = asks(&desk, "git-receive-pack", &push.name).await;
        let Answer::Refused(why) = answer else {
            panic!("{answer:?}");
        };
        assert!(why.contains("under way"), "{why}");
    }
    drop(first);
    let body = json!({"prompt": "Mend it", "repo": "acme/api"});
    let id = submit(&desk.client, &body).await;
    comes_to(&desk.world, &desk.client, &id, "working").await;
    let own = publisher.ticket(id.parse().unwrap()).unwrap();
    let reads = || asks(&desk, "git-upload-pack", &own.name);
    let (one, two) = (reads().await, reads().await);
    assert_eq!((&one.1, &two.1), (&Answer::Granted, &Answer::Granted));
    // The third waits for one of them to end.
    let third = reads();
    tokio::pin!(third);
    let waits = tokio::time::timeout(Duration::from_millis(300), &mut third);
    assert!(waits.await.is_err(), "there are three");
    drop(one);
    assert_eq!(third.await.1, Answer::Granted);
}

#[tokio::test]
async fn whoever_says_nothing_or_too_much_to_the_gate_makes_room_and_a_push_is_served() {
    let desk = desk();
    let socket = desk.server.app.publisher.socket();
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        stream.write_all(&[b'x'; 1000]).await.unwrap();
        silent.push(stream);
    }
    // The first go at once, and not when their time is over.
    for stream in &mut silent[..100] {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut byte));
        let read = read.await.expect("it is let go");
        assert!(!matches!(read, Ok(1..)), "{read:?}");
    }
    let mut last = BufReader::new(silent.pop().unwrap());
    last.write_all(&[b'x'; 8000]).await.unwrap();
    let mut answer = String::new();
    let read = last.read_line(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .expect("it is answered")
        .unwrap();
    assert!(answer.contains("not what the box understands"), "{answer}");
    let made = commit(&desk.tree, "made");
    let order = desk.order("claude/one", &made);
    desk.client.post("/api/git/push", &order).await.ok();
    assert_eq!(desk.at("claude/one"), Some(made));
}

#[tokio::test]
async fn where_the_box_has_no_account_or_a_caller_no_right_nothing_is_pushed() {
    let desk = desk();
    let made = commit(&desk.tree, "made");
    desk.comes_from("https://me:secret@elsewhere.example/a/b.git");
    let remote = desk.remote().await;
    assert_eq!(remote["remote"], "https://elsewhere.example/a/b.git");
    assert!(remote.get("host").is_none(), "{remote:#}");
    let mut order = desk.order("claude/x", &made);
    order["host"] = json!("elsewhere.example");
    let answer = desk.client.post("/api/git/push", &order).await;
    answer.fault(404, "no_such_forge");
    desk.comes_from(&format!("{}/acme/read", desk.forge.url()));
    let remote = desk.remote().await;
    let problem = remote["problem"].as_str().unwrap();
    assert!(problem.contains("may not push"), "{problem}");
    for wrong in ["-x", "a..b", "a b"] {
        let order = desk.order(wrong, &made);
        let answer = desk.client.post("/api/git/push", &order).await;
        answer.fault(400, "bad_value");
    }
    let request = json!({"label": "x", "scopes": ["fs:read", "fs:write", "tasks:read"]});
    let token = desk.client.post("/api/tokens", &request).await.created();
    let device = desk
        .server
        .stranger()
        .with_token(token["plaintext"].as_str().unwrap());
    for route in ["/api/git/push", "/api/git/pr"] {
        let answer = device.post(route, &desk.order("claude/x", &made)).await;
        answer.fault(403, "scope_missing");
    }
}
