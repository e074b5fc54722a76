//! Accounts: who makes them, what they open, and how hard they are to guess.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use crate::common::client::{Answer, Client};
use crate::common::page::{Page, account, sign_in};
use crate::common::process::{Process, free_address};
use crate::common::world::{MASTER, Server, World};
use cib_control::auth::digest::Verifier;
use cib_control::auth::limiter::BURST;
use cib_control::config::Config;
use cib_control::console;
use cib_protocol::init::{ControlAuth, FirstAccount};
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

const PASSWORD: &str = "correct horse";

fn first() -> Value {
    json!({"username": "ann", "password": PASSWORD})
}

async fn patch(client: &Client, name: &str, body: &Value) -> Answer {
    let path = format!("/api/auth/accounts/{name}");
    client.request(Method::PATCH, &path, body.to_string()).await
}

#[tokio::test]
async fn the_first_account_is_made_with_the_master_token_once_and_by_nobody_else() {
    let world = World::new();
    let server = world.serve();
    let stranger = server.stranger();
    let refused = stranger.post("/api/auth/setup", &first()).await;
    refused.fault(401, "unauthorized");
    let body = json!({"label": "tv", "scopes": ["*"]});
    let minted = server.client().post("/api/tokens", &body).await.created();
    let device = stranger.with_token(minted["plaintext"].as_str().unwrap());
    let refused = device.post("/api/auth/setup", &first()).await;
    refused.fault(403, "master_needed");
    // As the page does it: the token is exchanged before.
    let master = Page::by_token(&server, MASTER).await;
    let client = master.client(&server);
    let info = client.get("/api/info").await.ok();
    assert_eq!(info["caller"]["may_set_up"], true);
    let answer = client.post("/api/auth/setup", &first()).await;
    let caller = answer.ok()["caller"].clone();
    assert_eq!(
        (&caller["account"], &caller["scopes"]),
        (&json!("ann"), &json!(["*"]))
    );
    let ann = Page::of(&answer).client(&server);
    ann.get("/api/auth/accounts").await.ok();
    // What the token was exchanged for has ended with that.
    client.get("/api/info").await.fault(401, "unauthorized");
    let again = server.client().post("/api/auth/setup", &first()).await;
    again.fault(409, "already_set_up");
    let info = server.client().get("/api/info").await.ok();
    assert_eq!(info["caller"]["may_set_up"], false);
}

#[tokio::test]
async fn two_that_set_up_at_once_do_not_both_become_the_first() {
    let world = World::new();
    let server = world.serve();
    let make = async |name: &str| {
        let body = json!({"username": name, "password": PASSWORD});
        server.client().post("/api/auth/setup", &body).await.status
    };
    let (one, two) = tokio::join!(make("ann"), make("bob"));
    let mut both = [one.as_u16(), two.as_u16()];
    both.sort_unstable();
    assert_eq!(both, [200, 409]);
}

#[tokio::test]
async fn names_and_passwords_that_cannot_be_one_are_refused() {
    let world = World::new();
    let server = world.serve();
    for (name, password) in [
        ("", PASSWORD),
        ("a b", PASSWORD),
        ("ann", "short"),
        ("ann", &"x".repeat(1025)),
    ] {
        let body = json!({"username": name, "password": password});
        let refused = server.client().post("/api/auth/setup", &body).await;
        refused.fault(400, "bad_value");
    }
    for body in [
        json!({}),
        json!({"username": "ann"}),
        json!({"username": "ann", "password": PASSWORD, "token": MASTER}),
    ] {
        let refused = server.stranger().post("/api/auth/login", &body).await;
        refused.fault(400, "bad_value");
    }
    let large = json!({"token": "x".repeat(9000)});
    let refused = server.stranger().post("/api/auth/login", &large).await;
    refused.fault(413, "too_large");
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_are_answered_alike() {
    let world = World::new();
    let server = world.serve();
    account(&server, "ann", PASSWORD, &["*"]).await;
    let wrong = sign_in(&server, "ann", "wrong horse").await;
    let nobody = sign_in(&server, "bob", PASSWORD).await;
    assert_eq!(
        wrong.fault(401, "unauthorized"),
        nobody.fault(401, "unauthorized")
    );
    // Names are written in any case.
    sign_in(&server, "ANN", PASSWORD).await.ok();
}

#[tokio::test]
async fn guessed_passwords_are_held_up_and_a_token_or_a_sign_in_is_not() {
    let world = World::new();
    let server = world.serve_with(&behind_a_proxy(&world));
    account(&server, "ann", PASSWORD, &["*"]).await;
    let page = Page::by_password(&server, "ann", PASSWORD).await;
    let from = |address: &str| proxy(&server).with_header("x-forwarded-for", address);
    let guess = async |client: &Client, password: &str| {
        let body = json!({"username": "ann", "password": password});
        client.post("/api/auth/login", &body).await
    };
    let attacker = from("203.0.113.9");
    // At once, so that none of them knows what became of another.
    let guesses = (0..BURST * 3).map(|n| {
        let (attacker, password) = (attacker.clone(), format!("wrong horse {n}"));
        async move {
            let body = json!({"username": "ann", "password": password});
            attacker
                .post("/api/auth/login", &body)
                .await
                .status
                .as_u16()
        }
    });
    let statuses = futures_util::future::join_all(guesses).await;
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    let most = usize::try_from(BURST).unwrap();
    // One more for every two seconds that it took.
    assert!((most..most * 2).contains(&looked_at), "{looked_at}");
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)));
    // Not even the right one is looked at then: it would tell that it is right.
    let held_up = async {
        loop {
            let answer = guess(&attacker, "wrong horse").await;
            if answer.status.as_u16() == 429 {
                return guess(&attacker, PASSWORD).await;
            }
        }
    };
    let held_up = crate::common::soon(held_up).await;
    held_up.fault(429, "too_many_attempts");
    assert!(held_up.headers.contains_key("retry-after"));
    guess(&from("203.0.113.10"), PASSWORD).await.ok();
    let body = json!({"token": MASTER});
    attacker.post("/api/auth/login", &body).await.ok();
    page.dress(attacker).get("/api/info").await.ok();
}

#[tokio::test]
async fn right_passwords_are_never_too_many() {
    let world = World::new();
    let server = world.serve();
    account(&server, "ann", PASSWORD, &["*"]).await;
    for _ in 0..BURST + 2 {
        sign_in(&server, "ann", PASSWORD).await.ok();
    }
}

#[tokio::test]
async fn an_account_may_what_its_scopes_say_and_nothing_about_others() {
    let world = World::new();
    let server = world.serve();
    account(&server, "ann", PASSWORD, &["*"]).await;
    account(&server, "bob", PASSWORD, &["sessions:read", "tokens:write"]).await;
    let bob = Page::by_password(&server, "bob", PASSWORD).await;
    let bob = bob.client(&server);
    bob.get("/api/sessions").await.ok();
    bob.get("/api/shells").await.fault(403, "scope_missing");
    bob.get("/api/auth/accounts")
        .await
        .fault(403, "scope_missing");
    let body = json!({"name": "eve", "password": PASSWORD, "scopes": ["*"]});
    let refused = bob.post("/api/auth/accounts", &body).await;
    refused.fault(403, "scope_missing");
    let more = json!({"scopes": ["*"]});
    patch(&bob, "bob", &more).await.fault(403, "scope_missing");
    let other = json!({"password": "another horse"});
    patch(&bob, "ann", &other).await.fault(403, "scope_missing");
    let removed = bob.delete("/api/auth/accounts/ann").await;
    removed.fault(403, "scope_missing");
    let token = json!({"label": "mine", "scopes": ["*"]});
    bob.post("/api/tokens", &token)
        .await
        .fault(403, "scope_missing");
    let body = json!({"name": "BOB", "password": PASSWORD, "scopes": ["*"]});
    let twice = server.client().post("/api/auth/accounts", &body).await;
    twice.fault(409, "account_exists");
}

#[tokio::test]
async fn ones_own_password_is_changed_with_the_current_one_and_ends_the_other_sign_ins() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    account(&server, "ann", PASSWORD, &["*"]).await;
    let page = Page::by_password(&server, "ann", PASSWORD).await;
    let other = Page::by_password(&server, "ann", PASSWORD).await;
    let (client, elsewhere) = (page.client(&server), other.client(&server));
    let mut stream = elsewhere
        .events(&format!("/sse/sessions/{}", keeper.id))
        .await;
    let body = json!({"password": "another horse"});
    patch(&client, "ann", &body).await.fault(400, "bad_value");
    let body = json!({"password": "another horse", "current_password": "wrong horse"});
    patch(&client, "ann", &body)
        .await
        .fault(403, "wrong_password");
    elsewhere.get("/api/info").await.ok();
    let body = json!({"password": "another horse", "current_password": PASSWORD});
    patch(&client, "ann", &body).await.ok();
    assert_eq!(stream.rest().await[0].json()["reason"], "signed_out");
    elsewhere.get("/api/info").await.fault(401, "unauthorized");
    client.get("/api/info").await.ok();
    sign_in(&server, "ann", PASSWORD)
        .await
        .fault(401, "unauthorized");
    sign_in(&server, "ann", "another horse").await.ok();
}

#[tokio::test]
async fn an_administrator_resets_narrows_and_removes_and_it_takes_effect_at_once() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let master = server.client();
    account(&server, "bob", PASSWORD, &["*"]).await;
    let path = format!("/sse/sessions/{}", keeper.id);
    let bob = Page::by_password(&server, "bob", PASSWORD)
        .await
        .client(&server);
    let mut stream = bob.events(&path).await;
    let fewer = json!({"scopes": ["sessions:read"]});
    patch(&master, "bob", &fewer).await.ok();
    assert_eq!(stream.rest().await[0].json()["reason"], "signed_out");
    bob.get("/api/sessions").await.ok();
    bob.get("/api/shells").await.fault(403, "scope_missing");
    let body = json!({"password": "another horse"});
    patch(&master, "bob", &body).await.ok();
    bob.get("/api/sessions").await.fault(401, "unauthorized");
    let bob = Page::by_password(&server, "bob", "another horse").await;
    let bob = bob.client(&server);
    let mut stream = bob.events(&path).await;
    let removed = master.delete("/api/auth/accounts/bob").await;
    assert_eq!(removed.status.as_u16(), 204);
    assert_eq!(stream.rest().await[0].json()["reason"], "signed_out");
    bob.get("/api/sessions").await.fault(401, "unauthorized");
    let again = master.delete("/api/auth/accounts/bob").await;
    again.fault(404, "no_such_account");
    patch(&master, "bob", &body)
        .await
        .fault(404, "no_such_account");
}

/// A proxy's secret, and a configuration that asks for it from everybody on loopback.
const SECRET: &str = "between-proxy-and-box";

fn behind_a_proxy(world: &World) -> Config {
    let mut config = world.config();
    config.trusted.networks.push("127.0.0.0/8".parse().unwrap());
    config.trusted.secret = Some(Verifier::plain(SECRET.as_bytes()));
    config
}

fn proxy(server: &Server) -> Client {
    server.stranger().with_header("x-cib-proxy-secret", SECRET)
}

#[tokio::test]
async fn a_proxys_user_with_an_account_may_what_that_may() {
    let world = World::new();
    let server = world.serve_with(&behind_a_proxy(&world));
    account(&server, "bob", PASSWORD, &["sessions:read"]).await;
    // A proxy may write a name in another case; that makes nobody else of it.
    for name in ["bob", "Bob", " bob "] {
        let bob = proxy(&server).with_header("x-forwarded-user", name);
        let info = bob.get("/api/info").await.ok();
        assert_eq!(info["caller"]["account"], "bob", "{name}");
        bob.get("/api/shells").await.fault(403, "scope_missing");
    }
    let ann = proxy(&server).with_header("x-forwarded-user", "ann");
    let info = ann.get("/api/info").await.ok();
    assert_eq!(info["caller"]["name"], "user \"ann\"");
    assert_eq!(info["caller"]["account"], Value::Null);
    // Whoever only says so is nobody.
    let spoofed = server.stranger().with_header("x-forwarded-user", "bob");
    spoofed
        .get("/api/sessions")
        .await
        .fault(401, "unauthorized");
    let odd = proxy(&server)
        .with_header("x-forwarded-user", "bob")
        .with_header("x_forwarded_user", "ann");
    odd.get("/api/sessions").await.fault(400, "bad_value");
}

#[tokio::test]
async fn whom_a_proxy_signed_in_is_told_where_signing_out_leads_and_nobody_else_is() {
    let world = World::new();
    let mut config = behind_a_proxy(&world);
    config.logout_url = Some("/oauth2/sign_out".to_owned());
    let server = world.serve_with(&config);
    account(&server, "bob", PASSWORD, &["sessions:read"]).await;
    let told = async |client: Client| {
        let info = client.get("/api/info").await.ok();
        info["caller"]["logout_url"].clone()
    };
    for name in ["ann", "bob"] {
        let user = proxy(&server).with_header("x-forwarded-user", name);
        assert_eq!(told(user).await, "/oauth2/sign_out", "{name}");
    }
    let page = Page::by_password(&server, "bob", PASSWORD).await;
    for client in [server.client(), page.client(&server)] {
        assert_eq!(told(client).await, Value::Null);
    }
}

#[tokio::test]
async fn the_account_of_the_environment_is_made_once_and_changed_by_nobody_but_people() {
    let world = World::new();
    let admin = |password: &str| {
        let master_sha256 = sha2_of(MASTER);
        world.write_auth(&ControlAuth {
            master_sha256: Some(master_sha256),
            admin: Some(FirstAccount {
                name: "root".to_owned(),
                password: cib_base::password::hash(password).unwrap(),
            }),
            ..ControlAuth::default()
        });
    };
    admin(PASSWORD);
    let config = world.config();
    let server = world.serve_with(&config);
    let first = config.first_account.as_ref().unwrap();
    assert!(server.app.gate.accounts().begin(first).await.unwrap());
    let page = Page::by_password(&server, "root", PASSWORD).await;
    let info = page.client(&server).get("/api/info").await.ok();
    assert_eq!(info["caller"]["scopes"], json!(["*"]));
    drop(server);
    admin("another horse");
    let config = world.config();
    let server = world.serve_with(&config);
    let first = config.first_account.as_ref().unwrap();
    assert!(!server.app.gate.accounts().begin(first).await.unwrap());
    sign_in(&server, "root", PASSWORD).await.ok();
    sign_in(&server, "root", "another horse")
        .await
        .fault(401, "unauthorized");
}

fn sha2_of(text: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_box_that_asks_nobody_has_nobody_to_sign_in() {
    let world = World::new();
    world.write_auth(&ControlAuth {
        disabled: true,
        ..ControlAuth::default()
    });
    let server = world.serve();
    // The agent reaches such a box too, and must not leave itself an account for later.
    let stranger = server.stranger();
    let body = json!({"name": "eve", "password": PASSWORD, "scopes": ["*"]});
    for (path, body) in [
        ("/api/auth/setup", first()),
        ("/api/auth/login", first()),
        ("/api/auth/login", json!({"token": MASTER})),
        ("/api/auth/accounts", body),
    ] {
        stranger.post(path, &body).await.fault(409, "auth_disabled");
    }
}

/// Asks the socket that only root reaches in a box.
async fn ask_root(world: &World, line: &Value) -> Value {
    let mut stream = UnixStream::connect(world.path().join("accounts.sock"))
        .await
        .unwrap();
    stream
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await.unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[tokio::test]
async fn root_resets_a_password_while_the_box_runs_and_ends_the_sign_ins() {
    let world = World::new();
    let server = world.serve();
    let listener = UnixListener::bind(world.path().join("accounts.sock")).unwrap();
    let answering = tokio::spawn(console::answer(listener, server.app.clone()));
    let passwd = |name: Option<&str>, password: &str| json!({"op": "passwd", "name": name, "password": password});
    let none = ask_root(&world, &passwd(None, "another horse")).await;
    assert!(
        none["refused"]["detail"]
            .as_str()
            .unwrap()
            .contains("no account"),
        "{none}"
    );
    account(&server, "ann", PASSWORD, &["*"]).await;
    let page = Page::by_password(&server, "ann", PASSWORD)
        .await
        .client(&server);
    let short = ask_root(&world, &passwd(None, "short")).await;
    assert!(short["refused"].is_object(), "{short}");
    let done = ask_root(&world, &passwd(None, "another horse")).await;
    assert_eq!(done, json!({"done": {"name": "ann"}}));
    page.get("/api/info").await.fault(401, "unauthorized");
    sign_in(&server, "ann", PASSWORD)
        .await
        .fault(401, "unauthorized");
    sign_in(&server, "ann", "another horse").await.ok();
    account(&server, "bob", PASSWORD, &["*"]).await;
    let which = ask_root(&world, &passwd(None, "a third horse")).await;
    assert!(
        which["refused"]["detail"]
            .as_str()
            .unwrap()
            .contains("ann, bob"),
        "{which}"
    );
    let unknown = ask_root(&world, &passwd(Some("eve"), "a third horse")).await;
    assert!(unknown["refused"].is_object(), "{unknown}");
    let done = ask_root(&world, &passwd(Some("BOB"), "a third horse")).await;
    assert_eq!(done, json!({"done": {"name": "bob"}}));
    let nonsense = ask_root(&world, &json!({"op": "remove", "name": "ann"})).await;
    assert!(nonsense["refused"].is_object(), "{nonsense}");
    answering.abort();
}

/// KiB of a process that are its own.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

#[tokio::test]
async fn what_a_password_takes_is_given_back() {
    let world = World::new();
    let process = Process::start(&world, free_address());
    let client = process.client();
    client.post("/api/auth/setup", &first()).await.ok();
    let before = memory(process.pid());
    for _ in 0..8 {
        client.post("/api/auth/login", &first()).await.ok();
    }
    let after = memory(process.pid());
    assert!(
        after < before + 8 * 1024,
        "{before} KiB before, {after} KiB now"
    );
}

#[tokio::test]
async fn a_password_hashed_with_less_is_hashed_anew_when_it_is_next_used() {
    let world = World::new();
    account(&world.serve(), "ann", PASSWORD, &["*"]).await;
    let path = world.data().join("control/accounts.json");
    let mut stored: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    // "correct horse" with 64 KiB and one pass.
    let weak = weak_hash();
    stored["accounts"][0]["password"] = json!(weak);
    std::fs::write(&path, stored.to_string()).unwrap();
    let server = world.serve();
    sign_in(&server, "ann", "wrong horse")
        .await
        .fault(401, "unauthorized");
    sign_in(&server, "ann", PASSWORD).await.ok();
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(
        !stored.contains(&weak) && stored.contains("$m=19456,t=2,p=1$"),
        "{stored}"
    );
    sign_in(&server, "ann", PASSWORD).await.ok();
}

fn weak_hash() -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let params = Params::new(64, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(PASSWORD.as_bytes(), b"somesalt12345678")
        .unwrap()
        .to_string()
}
