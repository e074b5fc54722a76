//! Sign-ins: two halves that open nothing alone, and their end.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::os::unix::fs::PermissionsExt as _;

use crate::common::keeper::text;
use crate::common::page::{Page, account, cookie_of};
use crate::common::world::{MASTER, Server, World};
use cib_control::auth::digest::Verifier;
use cib_protocol::init::ControlAuth;
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error as SocketError;

/// Changes what control has written about sign-ins.
fn rewrite(world: &World, change: impl Fn(&mut Value)) {
    let path = world.data().join("control/sign-ins.json");
    let mut stored: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for one in stored["sign_ins"].as_array_mut().unwrap() {
        change(one);
    }
    std::fs::write(&path, stored.to_string()).unwrap();
}

fn origin(server: &Server) -> String {
    format!("http://{}", server.address)
}

#[tokio::test]
async fn a_cookie_and_its_proof_open_nothing_without_each_other() {
    let world = World::new();
    let server = world.serve();
    let (page, other) = (
        Page::by_token(&server, MASTER).await,
        Page::by_token(&server, MASTER).await,
    );
    let info = page.client(&server).get("/api/info").await.ok();
    assert_eq!(info["caller"]["name"], "master");
    assert_eq!(info["caller"]["signed_in"], true);
    let cookie = server.stranger().with_header("cookie", &page.cookie);
    cookie.get("/api/info").await.fault(401, "unauthorized");
    let proof = server.stranger().with_header("x-cib-proof", &page.proof);
    proof.get("/api/info").await.fault(401, "unauthorized");
    let mixed = Page {
        cookie: other.cookie,
        proof: page.proof.clone(),
    };
    let mixed = mixed.client(&server);
    mixed.get("/api/info").await.fault(401, "unauthorized");
    let value = page.cookie.split_once('=').unwrap().1;
    for half in [value, &page.proof] {
        let bearer = server.stranger().with_token(half);
        bearer.get("/api/info").await.fault(401, "unauthorized");
    }
}

#[tokio::test]
async fn a_cookie_is_for_the_browser_alone_and_says_whose_box_it_is_of() {
    let world = World::new();
    let server = world.serve();
    let body = json!({"token": MASTER});
    let answer = server.stranger().post("/api/auth/login", &body).await;
    let set = answer.headers["set-cookie"].to_str().unwrap();
    for wanted in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
        assert!(set.contains(wanted), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("Domain"), "{set}");
    let name = set.split_once('=').unwrap().0;
    let id = name.strip_prefix("cib-").unwrap();
    assert!(
        id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{name}"
    );
    let again = World::new();
    let other = Page::by_token(&again.serve(), MASTER).await;
    assert!(!other.cookie.starts_with(name), "two boxes of one host");
    let body = String::from_utf8_lossy(&answer.body);
    let value = set.split_once('=').unwrap().1.split(';').next().unwrap();
    assert!(!body.contains(value) && !body.contains(MASTER), "{body}");
}

#[tokio::test]
async fn over_tls_the_cookie_is_secure_and_no_other_host_can_set_it() {
    let world = World::new();
    let mut config = world.config();
    config.trusted.networks.push("127.0.0.0/8".parse().unwrap());
    config.trusted.secret = Some(Verifier::plain(b"between-proxy-and-box"));
    let server = world.serve_with(&config);
    let proxy = server
        .stranger()
        .with_header("x-cib-proxy-secret", "between-proxy-and-box")
        .with_header("x-forwarded-proto", "https");
    let body = json!({"token": MASTER});
    let answer = proxy.post("/api/auth/login", &body).await;
    let set = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        set.starts_with("__Host-cib-") && set.ends_with("; Secure"),
        "{set}"
    );
    let page = Page::of(&answer);
    page.dress(proxy.clone()).get("/api/info").await.ok();
    // The same value under the name that anybody on the way could have set.
    let plain = Page {
        cookie: page.cookie.replace("__Host-", ""),
        proof: page.proof,
    };
    let plain = plain.dress(proxy);
    plain.get("/api/info").await.fault(401, "unauthorized");
    // Whoever is no proxy says nothing about TLS.
    let liar = server.stranger().with_header("x-forwarded-proto", "https");
    let answer = liar.post("/api/auth/login", &body).await;
    assert!(cookie_of(&answer).unwrap().starts_with("cib-"));
}

#[tokio::test]
async fn a_page_of_another_port_of_the_host_cannot_use_the_cookie() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let page = Page::by_token(&server, MASTER).await;
    // It has the cookie, since cookies know no ports, and not the proof.
    let elsewhere = server
        .stranger()
        .with_header("cookie", &page.cookie)
        .with_header("origin", "http://127.0.0.1:9999")
        .with_header("sec-fetch-site", "same-site");
    elsewhere
        .get("/api/sessions")
        .await
        .fault(401, "unauthorized");
    let body = json!({"label": "mine", "scopes": ["*"]});
    elsewhere
        .post("/api/tokens", &body)
        .await
        .fault(401, "unauthorized");
    // With both halves it is still no page of this origin.
    let both = page.dress(elsewhere);
    both.post("/api/tokens", &body)
        .await
        .fault(403, "cross_origin");
    let path = format!("/ws/sessions/{}", keeper.id);
    for foreign in ["http://127.0.0.1:9999", "https://evil.example", "null"] {
        let socket = page.socket(&server, foreign).socket(&path).await;
        let Err(SocketError::Http(refused)) = socket.map(|_| ()) else {
            panic!("a page of {foreign} was let in");
        };
        assert_eq!(refused.status().as_u16(), 403, "{foreign}");
    }
    page.socket(&server, &origin(&server))
        .socket(&path)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_name_that_was_rebound_to_the_box_finds_nothing_to_use() {
    let world = World::new();
    let server = world.serve();
    let page = Page::by_token(&server, MASTER).await;
    // Its origin is its own and the box's at once. The cookie would not even be sent there.
    let rebound = server
        .stranger()
        .with_header("host", "rebound.example:8080")
        .with_header("origin", "http://rebound.example:8080")
        .with_header("sec-fetch-site", "same-origin");
    rebound.get("/api/info").await.fault(401, "unauthorized");
    let cookie = rebound.with_header("cookie", &page.cookie);
    cookie.get("/api/info").await.fault(401, "unauthorized");
}

#[tokio::test]
async fn a_socket_without_an_origin_is_no_pages() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let page = Page::by_token(&server, MASTER).await;
    let protocols = format!("json, proof.{}", page.proof);
    let silent = server
        .stranger()
        .with_header("cookie", &page.cookie)
        .with_header("sec-websocket-protocol", &protocols);
    let socket = silent.socket(&format!("/ws/sessions/{}", keeper.id)).await;
    let Err(SocketError::Http(refused)) = socket.map(|_| ()) else {
        panic!("it was let in");
    };
    assert_eq!(refused.status().as_u16(), 403);
}

#[tokio::test]
async fn a_page_elsewhere_can_sign_nobody_in() {
    let world = World::new();
    let server = world.serve();
    let elsewhere = server
        .stranger()
        .with_header("origin", "https://evil.example");
    let body = json!({"token": MASTER});
    let answer = elsewhere.post("/api/auth/login", &body).await;
    answer.fault(403, "cross_origin");
    assert!(cookie_of(&answer).is_none());
}

#[tokio::test]
async fn a_cookie_that_was_tossed_in_front_hides_nothing() {
    let world = World::new();
    let server = world.serve();
    let page = Page::by_token(&server, MASTER).await;
    let name = page.cookie.split_once('=').unwrap().0;
    let tossed = Page {
        cookie: format!("{name}=planted; other=1; {}", page.cookie),
        proof: page.proof,
    };
    tossed.client(&server).get("/api/info").await.ok();
}

#[tokio::test]
async fn signing_out_ends_the_sign_in_and_its_streams_and_no_other() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a")]);
    let server = world.serve();
    let (page, other) = (
        Page::by_token(&server, MASTER).await,
        Page::by_token(&server, MASTER).await,
    );
    let events = format!("/sse/sessions/{}", keeper.id);
    let mut stream = page.client(&server).events(&events).await;
    let mut left = other.client(&server).events(&events).await;
    let path = format!("/ws/sessions/{}", keeper.id);
    let mut socket = page
        .socket(&server, &origin(&server))
        .socket(&path)
        .await
        .unwrap();
    stream.seqs_to(1).await;
    left.seqs_to(1).await;
    socket.seqs_to(1).await;
    let client = page.client(&server);
    let out = client.request(Method::POST, "/api/auth/logout", "").await;
    assert_eq!(out.status.as_u16(), 204);
    let gone = out.headers["set-cookie"].to_str().unwrap();
    assert!(gone.contains("=;") && gone.contains("Max-Age=0"), "{gone}");
    assert_eq!(stream.rest().await[0].json()["reason"], "signed_out");
    let closed = socket.next().await.unwrap_err().unwrap();
    assert_eq!(closed, (4401, "signed_out".to_owned()));
    client.get("/api/info").await.fault(401, "unauthorized");
    keeper.append(&[text("b")]);
    left.seqs_to(2).await;
    other.client(&server).get("/api/info").await.ok();
}

#[tokio::test]
async fn everywhere_means_every_sign_in_of_the_same_account_and_nobody_elses() {
    let world = World::new();
    let server = world.serve();
    account(&server, "ann", "correct horse", &["sessions:read"]).await;
    let one = Page::by_password(&server, "ann", "correct horse").await;
    let two = Page::by_password(&server, "ann", "correct horse").await;
    let master = Page::by_token(&server, MASTER).await;
    let out = one
        .client(&server)
        .request(Method::POST, "/api/auth/logout?everywhere=true", "")
        .await;
    assert_eq!(out.status.as_u16(), 204);
    for page in [one, two] {
        let client = page.client(&server);
        client.get("/api/info").await.fault(401, "unauthorized");
    }
    master.client(&server).get("/api/info").await.ok();
    let bearer = server.client();
    let nothing = bearer.request(Method::POST, "/api/auth/logout", "").await;
    nothing.fault(404, "no_such_sign_in");
}

#[tokio::test]
async fn one_sees_and_ends_ones_own_sign_ins_and_an_administrator_everybodys() {
    let world = World::new();
    let server = world.serve();
    account(&server, "ann", "correct horse", &["sessions:read"]).await;
    let agent = server.stranger().with_header("user-agent", "Browser/1.0");
    let body = json!({"username": "ann", "password": "correct horse"});
    let ann = Page::of(&agent.post("/api/auth/login", &body).await);
    let second = Page::by_password(&server, "ann", "correct horse").await;
    let master = Page::by_token(&server, MASTER).await;
    let of = async |page: &Page| {
        let list = page.client(&server).get("/api/auth/sessions").await.ok();
        list["sessions"].as_array().unwrap().clone()
    };
    let own = of(&ann).await;
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|one| one["who"] == "account \"ann\""));
    let current = own.iter().find(|one| one["current"] == true).unwrap();
    assert_eq!(current["device"], "Browser/1.0");
    assert_eq!(current["address"], "the box itself");
    let all = of(&master).await;
    assert_eq!(all.len(), 3);
    let masters = all.iter().find(|one| one["who"] == "master").unwrap();
    let path = format!("/api/auth/sessions/{}", masters["id"].as_str().unwrap());
    let client = ann.client(&server);
    client.delete(&path).await.fault(404, "no_such_sign_in");
    assert_eq!(
        client.delete("/api/auth/sessions").await.status.as_u16(),
        204
    );
    let ended = second.client(&server);
    ended.get("/api/info").await.fault(401, "unauthorized");
    let path = format!("/api/auth/sessions/{}", current["id"].as_str().unwrap());
    let end = master.client(&server).delete(&path).await;
    assert_eq!(end.status.as_u16(), 204);
    client.get("/api/info").await.fault(401, "unauthorized");
    master.client(&server).get("/api/info").await.ok();
}

#[tokio::test]
async fn a_sign_in_with_a_device_token_may_what_that_may_and_dies_with_it() {
    let world = World::new();
    let keeper = world.keeper();
    let server = world.serve();
    let body = json!({"label": "tv", "scopes": ["sessions:read"], "ttl": 3600});
    let minted = server.client().post("/api/tokens", &body).await.created();
    let page = Page::by_token(&server, minted["plaintext"].as_str().unwrap()).await;
    let client = page.client(&server);
    client.get("/api/sessions").await.ok();
    client.get("/api/shells").await.fault(403, "scope_missing");
    let list = client.get("/api/auth/sessions").await.ok();
    assert_eq!(
        list["sessions"][0]["expires_at"],
        minted["token"]["expires_at"]
    );
    let mut stream = client.events(&format!("/sse/sessions/{}", keeper.id)).await;
    let id = minted["token"]["id"].as_str().unwrap();
    server.client().delete(&format!("/api/tokens/{id}")).await;
    assert_eq!(stream.rest().await[0].json()["reason"], "token_revoked");
    client.get("/api/sessions").await.fault(401, "unauthorized");
}

#[tokio::test]
async fn a_restart_of_control_signs_nobody_out_and_another_master_token_its_own() {
    let world = World::new();
    let server = world.serve();
    account(&server, "ann", "correct horse", &["*"]).await;
    let ann = Page::by_password(&server, "ann", "correct horse").await;
    let master = Page::by_token(&server, MASTER).await;
    drop(server);
    let server = world.serve();
    ann.client(&server).get("/api/info").await.ok();
    master.client(&server).get("/api/info").await.ok();
    drop(server);
    // What a new start of the box makes of another token, or of the same with another salt.
    world.write_auth(&ControlAuth {
        master_sha256: Some("ab".repeat(32)),
        ..ControlAuth::default()
    });
    let server = world.serve();
    ann.client(&server).get("/api/info").await.ok();
    let client = master.client(&server);
    client.get("/api/info").await.fault(401, "unauthorized");
}

#[tokio::test]
async fn a_sign_in_that_is_too_old_or_unused_for_too_long_opens_nothing() {
    let world = World::new();
    let old = json!("2020-01-01T00:00:00.000Z");
    for field in ["last_used_at", "expires_at"] {
        let page = Page::by_token(&world.serve(), MASTER).await;
        rewrite(&world, |one| one[field] = old.clone());
        let server = world.serve();
        let client = page.client(&server);
        client.get("/api/info").await.fault(401, "unauthorized");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_time_of_its_sign_in() {
    let world = World::new();
    let keeper = world.keeper();
    let page = Page::by_token(&world.serve(), MASTER).await;
    let soon = cib_protocol::time::Timestamp::now().as_millis() + 1500;
    let soon = cib_protocol::time::Timestamp::from_millis(soon);
    rewrite(&world, |one| one["expires_at"] = json!(soon));
    let server = world.serve();
    let client = page.client(&server);
    let mut stream = client.events(&format!("/sse/sessions/{}", keeper.id)).await;
    assert_eq!(stream.rest().await[0].json()["reason"], "sign_in_expired");
    client.get("/api/info").await.fault(401, "unauthorized");
}

#[tokio::test]
async fn a_cookie_is_replaced_once_it_is_a_day_old() {
    let world = World::new();
    let page = Page::by_token(&world.serve(), MASTER).await;
    rewrite(&world, |one| {
        one["rotated_at"] = json!("2020-01-01T00:00:00.000Z");
    });
    let server = world.serve();
    let client = page.client(&server);
    let first = client.get("/api/info").await;
    let fresh = Page {
        cookie: cookie_of(&first).expect("an old cookie is replaced"),
        proof: page.proof.clone(),
    };
    assert_ne!(fresh.cookie, page.cookie);
    // Both, until the new one was seen; and then no third.
    assert!(cookie_of(&client.get("/api/info").await).is_none());
    let answer = fresh.client(&server).get("/api/info").await;
    answer.ok();
    assert!(cookie_of(&answer).is_none());
    drop(server);
    let server = world.serve();
    fresh.client(&server).get("/api/info").await.ok();
}

#[tokio::test]
async fn a_disk_that_takes_nothing_keeps_nobody_from_signing_in() {
    let world = World::new();
    let server = world.serve();
    // In the place of what is written before it takes the other's.
    std::fs::create_dir(world.data().join("control/sign-ins.json.new")).unwrap();
    let page = Page::by_token(&server, MASTER).await;
    page.client(&server).get("/api/info").await.ok();
}

#[tokio::test]
async fn what_is_kept_of_sign_ins_and_accounts_signs_nobody_in_and_is_its_owners_alone() {
    let world = World::new();
    let server = world.serve();
    account(&server, "ann", "correct horse", &["*"]).await;
    let page = Page::by_password(&server, "ann", "correct horse").await;
    let value = page.cookie.split_once('=').unwrap().1;
    for name in ["accounts.json", "sign-ins.json"] {
        let path = world.data().join("control").join(name);
        let stored = std::fs::read_to_string(&path).unwrap();
        for secret in [value, &page.proof, "correct horse", MASTER] {
            assert!(!stored.contains(secret), "{name}");
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
