//! Large files (Git LFS) of what a task makes.

use std::fs;
use std::path::{Path, PathBuf};

use cib_base::hex;
use cib_protocol::forge::ForgeKind;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::pulls::{Forged, add_with, forged, forged_with};
use super::{comes_to, commit, end_turn, task};
use crate::common::until;

/// A task on a repository that has large files put aside.
async fn begun(large: bool) -> (Forged, String, PathBuf) {
    begun_in(forged(), large).await
}

async fn begun_in(one: Forged, large: bool) -> (Forged, String, PathBuf) {
    add_with(&one.forge, "acme/art", &["me"], |new| {
        let rule = "*.bin filter=lfs\n".to_owned();
        new.files.insert(".gitattributes".to_owned(), rule);
        new.no_large = !large;
    });
    let repo = format!("{}/acme/art", one.forge.url());
    let id = one.submit(json!({"repo": repo})).await;
    let dir = one.works(&id).await;
    (one, id, dir)
}

/// Puts a pointer to a content into the tree, as `git-lfs` does; its digest.
pub(super) fn point(dir: &Path, name: &str, content: &str) -> String {
    let oid = hex::encode(&Sha256::digest(content));
    let size = content.len();
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n");
    fs::write(dir.join(name), pointer).unwrap();
    oid
}

/// Puts the content itself where `git-lfs` does.
pub(super) fn put(dir: &Path, oid: &str, content: &str) {
    let folder = dir
        .join(".git/lfs/objects")
        .join(&oid[..2])
        .join(&oid[2..4]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(oid), content).unwrap();
}

async fn is_refused(one: &Forged, id: &str) -> Value {
    until("it is refused", async || {
        task(&one.client, id).await["push"]["refused"].is_string()
    })
    .await;
    task(&one.client, id).await["push"].clone()
}

#[tokio::test]
async fn contents_of_large_files_reach_the_forge_before_what_points_to_them() {
    let (one, id, dir) = begun(true).await;
    let branch = format!("claude/{id}");
    let content = "a picture".repeat(30_000);
    let oid = point(&dir, "one.bin", &content);
    put(&dir, &oid, &content);
    let made = commit(&dir, "one");
    until("the commit is published", async || {
        one.at("acme/art", &branch).as_ref() == Some(&made)
    })
    .await;
    assert_eq!(one.forge.large(&oid).unwrap(), content.as_bytes());
    let events = one.forge.events();
    let of_files: Vec<_> = events
        .iter()
        .filter(|event| event.path.contains("/info/lfs/"))
        .map(|event| (&*event.method, event.login.as_deref(), event.status))
        .collect();
    let me = Some("me");
    assert_eq!(
        of_files,
        [("POST", me, 200), ("PUT", me, 200), ("POST", me, 200)]
    );
    end_turn(&one.world, 0, "Drawn.", "turn_end");
    comes_to(&one.world, &one.client, &id, "completed").await;
}

#[tokio::test]
async fn a_pointer_to_nothing_is_refused_with_a_sentence_and_what_was_put_aside_later_passes() {
    let (one, id, dir) = begun(true).await;
    let branch = format!("claude/{id}");
    let first = one.at("acme/art", &branch);
    let oid = point(&dir, "one.bin", "a picture");
    commit(&dir, "one");
    let push = is_refused(&one, &id).await;
    assert_eq!(push["kind"], "push_refused");
    let why = push["refused"].as_str().unwrap();
    assert!(
        why.contains(&oid) && why.contains("neither at the forge nor in the work tree"),
        "{why}"
    );
    assert_eq!(one.at("acme/art", &branch), first, "nothing was published");
    until("Claude is told", async || {
        let told = format!("{:?}", one.world.init().keepers[0].told());
        told.contains("would point to nothing")
    })
    .await;
    // Another content under that name is none.
    put(&dir, &oid, "a pictura");
    let other = point(&dir, "two.bin", "a drawing");
    put(&dir, &other, "a drawing");
    commit(&dir, "two");
    until("that is seen", async || {
        let push = task(&one.client, &id).await["push"].clone();
        let why = push["refused"].as_str().unwrap_or_default().to_owned();
        why.contains("is not what its name says")
    })
    .await;
    assert!(one.forge.large(&oid).is_none());
    put(&dir, &oid, "a picture");
    let made = commit(&dir, "three");
    until("all of it is published", async || {
        one.at("acme/art", &branch).as_ref() == Some(&made)
    })
    .await;
    assert_eq!(&*one.forge.large(&oid).unwrap(), b"a picture");
    // What is secret is not published in this way either.
    let leaky = format!("key = ghp_{}", "a1".repeat(18));
    let secret = point(&dir, "three.bin", &leaky);
    put(&dir, &secret, &leaky);
    commit(&dir, "four");
    until("the secret is found", async || {
        task(&one.client, &id).await["push"]["kind"] == "secret_found"
    })
    .await;
    assert!(one.forge.large(&secret).is_none());
    assert_eq!(one.at("acme/art", &branch).as_ref(), Some(&made));
}

#[tokio::test]
async fn contents_count_in_what_a_task_pushes_also_where_the_push_is_refused() {
    let limited = forged_with(ForgeKind::GitHub, |config| config.most_pushed = 1 << 20);
    let (one, id, dir) = begun_in(limited, true).await;
    let branch = format!("claude/{id}");
    let first = one.at("acme/art", &branch);
    let contents = ["a", "b"].map(|letter| letter.repeat(600_000));
    let oids = [0, 1].map(|n| point(&dir, &format!("{n}.bin"), &contents[n]));
    for (oid, content) in oids.iter().zip(&contents) {
        put(&dir, oid, content);
    }
    commit(&dir, "both");
    until("the second is refused", async || {
        let push = task(&one.client, &id).await["push"].clone();
        push["refused"]
            .as_str()
            .is_some_and(|why| why.contains("pushed 1 MB"))
    })
    .await;
    let given = oids.iter().filter(|oid| one.forge.large(oid).is_some());
    assert_eq!(given.count(), 1);
    assert_eq!(one.at("acme/art", &branch), first);
}

#[tokio::test]
async fn a_forge_that_takes_no_large_files_takes_no_pointers_and_the_pull_request_says_so() {
    let (one, id, dir) = begun(false).await;
    let content = "a picture";
    let oid = point(&dir, "one.bin", content);
    put(&dir, &oid, content);
    commit(&dir, "one");
    let push = is_refused(&one, &id).await;
    let why = push["refused"].as_str().unwrap();
    assert!(why.contains("has no large files"), "{why}");
    end_turn(&one.world, 0, "Drawn.", "turn_end");
    let failed = comes_to(&one.world, &one.client, &id, "failed").await;
    assert_eq!(failed["error"]["kind"], "push_refused");
    let pulls = one.pulls().await;
    let text = pulls[0]["body"].as_str().unwrap();
    assert!(text.contains("has no large files"), "{text}");
}
