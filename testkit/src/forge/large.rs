//! Large files by the batch API of Git LFS, with the transfer that is called basic.

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::talk::{Answer, Asked};
use super::world::{Repo, World};

/// Answers below `info/lfs/objects/` of a repository.
pub(super) fn answer(
    world: &mut World,
    repo: &Repo,
    asked: &Asked,
    rest: &str,
    content: Bytes,
) -> Answer {
    if repo.no_large {
        return Answer::missing();
    }
    if !repo.may_push(asked.login.as_deref()) {
        return Answer::refused(403, "You must have push access");
    }
    match (asked.method.as_str(), rest) {
        ("POST", "batch") => batch(world, repo, asked),
        ("POST", "verify") => {
            let size = world.large.get(&asked.text("oid"));
            match size.map(Bytes::len) {
                Some(size) if asked.body["size"] == size => Answer::ok(json!({})),
                _ => Answer::missing(),
            }
        }
        ("PUT", oid) => {
            let found = cib_base::hex::encode(digest(&SHA256, &content).as_ref());
            if found != oid {
                return Answer::refused(422, "that is another file");
            }
            world.large.insert(found, content);
            Answer::ok(json!({}))
        }
        _ => Answer::missing(),
    }
}

fn batch(world: &World, repo: &Repo, asked: &Asked) -> Answer {
    if asked.text("operation") != "upload" {
        return Answer::refused(422, "only uploads here");
    }
    let place = format!("{}/{}.git/info/lfs/objects", asked.site, repo.slug());
    let objects = asked.body["objects"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let answered = objects.into_iter().map(|mut object| {
        let oid = object["oid"].as_str().unwrap_or_default().to_owned();
        if !world.large.contains_key(&oid) {
            object["actions"] = json!({
                "upload": {"href": format!("{place}/{oid}"), "header": {"X-Store": "one"}},
                "verify": {"href": format!("{place}/verify")},
            });
        }
        object
    });
    let objects: Vec<Value> = answered.collect();
    Answer::ok(json!({"transfer": "basic", "objects": objects, "hash_algo": "sha256"}))
}
