//! Forges that the box has an account at.
#![expect(
    clippy::unwrap_used,
    reason = "a test has to end where it cannot go on"
)]

use cib_protocol::forge::{ForgeAccount, ForgeAccounts, ForgeKind};
use cib_protocol::secret::Secret;
use cib_testkit::forge::{Fault, ForgeStandIn, NewRepository};
use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::world::World;

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

/// A box with an account at each.
fn world(accounts: &[(ForgeKind, &ForgeStandIn)]) -> World {
    let world = World::new();
    let forges = accounts.iter().map(|(kind, server)| ForgeAccount {
        kind: *kind,
        url: server.url(),
        token: Some(Secret::new(TOKEN)),
    });
    let accounts = ForgeAccounts {
        forges: forges.collect(),
    };
    let dir = world.runtime().join("control");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(
        dir.join("forges.json"),
        serde_json::to_vec(&accounts).unwrap(),
    )
    .unwrap();
    world
}

fn start() -> ForgeStandIn {
    let server = ForgeStandIn::start().unwrap();
    server.token(TOKEN, "me", Some(&["repo"]));
    server
}

fn host(server: &ForgeStandIn) -> String {
    server.addr().to_string()
}

#[tokio::test]
async fn each_forge_is_listed_with_its_login_and_one_that_fails_with_the_reason() {
    let (github, gitea) = (start(), start());
    gitea.fail(Fault {
        status: 401,
        message: format!("{TOKEN} is no token"),
        ..Fault::default()
    });
    let world = world(&[(ForgeKind::GitHub, &github), (ForgeKind::Gitea, &gitea)]);
    let server = world.serve();
    let client = server.client();
    let list = client.get("/api/forges").await.ok();
    let forges = &list["forges"];
    assert_eq!(forges[0]["host"], host(&github));
    assert_eq!(
        (&forges[0]["kind"], &forges[0]["login"]),
        (&json!("github"), &json!("me"))
    );
    assert_eq!(forges[0]["scopes"], json!(["repo"]));
    assert_eq!(forges[0]["rate"]["limit"], 5000);
    assert_eq!(forges[1]["error"]["kind"], "auth_expired");
    assert_eq!(forges[1]["login"], Value::Null);
    assert!(!list.to_string().contains(TOKEN), "{list}");
    // What is known is not asked again at once.
    let asked = github.events().len();
    client.get("/api/forges").await;
    assert_eq!(github.events().len(), asked);
}

#[tokio::test]
async fn repositories_of_a_forge_are_found_by_words_and_a_forge_that_fails_is_named() {
    let github = start();
    for slug in ["acme/api", "acme/web", "me/notes"] {
        github
            .repository(&NewRepository {
                slug: slug.to_owned(),
                description: format!("All of {slug}"),
                writers: vec!["me".to_owned()],
                files: [("README".to_owned(), "x".to_owned())].into(),
                ..NewRepository::default()
            })
            .unwrap();
    }
    let world = world(&[(ForgeKind::GitHub, &github)]);
    let server = world.serve();
    let client = server.client();
    let path = format!("/api/forges/{}/repositories", host(&github));
    let all = client.get(&path).await.ok();
    assert_eq!(all["repositories"].as_array().unwrap().len(), 3, "{all}");
    let found = client.get(&format!("{path}?q=web&page=1")).await.ok();
    let expected = json!({"repositories": [{
        "name": "acme/web", "url": format!("{}/acme/web.git", github.url()),
        "description": "All of acme/web", "default_branch": "main", "may_push": true,
        "archived": false, "private": false, "fork": false,
    }]});
    assert_eq!(found, expected);

    let nowhere = client.get("/api/forges/example.com/repositories").await;
    nowhere.fault(404, "no_such_forge");
    client
        .get(&format!("{path}?page=0"))
        .await
        .fault(400, "bad_value");
    let long = format!("{path}?q={}", "x".repeat(300));
    client.get(&long).await.fault(400, "bad_value");
    github.fail(Fault {
        status: 500,
        ..Fault::default()
    });
    let detail = client.get(&path).await.fault(502, "forge_failed");
    assert!(detail.contains("fails with 500"), "{detail}");

    let mint = json!({"label": "other", "scopes": ["fs:read"]});
    let token = client.post("/api/tokens", &mint).await.created();
    let other = Client::new(server.address).with_token(token["plaintext"].as_str().unwrap());
    for path in ["/api/forges", &path] {
        other.get(path).await.fault(403, "scope_missing");
    }
}

#[tokio::test]
async fn a_box_without_accounts_has_no_forges_and_a_file_that_is_none_ends_the_start() {
    let world = World::new();
    let server = world.serve();
    let list = server.client().get("/api/forges").await.ok();
    assert_eq!(list, json!({"forges": []}));
    let dir = world.runtime().join("control");
    std::fs::create_dir_all(&dir).unwrap();
    for bad in [
        "{",
        "{\"forges\":[{\"kind\":\"github\",\"url\":\"ssh://x\"}]}",
    ] {
        std::fs::write(dir.join("forges.json"), bad).unwrap();
        assert!(
            cib_control::run::assemble(&world.config()).is_err(),
            "{bad}"
        );
    }
}
