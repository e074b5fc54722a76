//! Ports, the way out and preferences over the API.

use crate::common::files;
use crate::common::world::World;
use http::Method;
use serde_json::json;

#[tokio::test]
async fn what_is_the_boxs_own_is_not_among_the_ports() {
    let world = World::new();
    files::serve(&world);
    let server = world.serve();
    let own = u64::from(server.address.port());
    let list = server.client().get("/api/ports").await.ok();
    let ports = list["ports"].as_array().unwrap();
    assert!(ports.iter().all(|port| port["port"] != own), "{list}");
}

#[tokio::test]
async fn the_way_out_is_told_to_whoever_may_ask() {
    let world = World::new();
    let server = world.serve();
    let status = server.client().get("/api/proxy/status").await.ok();
    assert_eq!(status["mode"], "redirect");
    assert_eq!(status["upstream"], "192.0.2.7:1080");
    assert_eq!(status["dropped"], 15);
    let request = json!({"label": "x", "scopes": ["prefs:read"]});
    let made = server
        .client()
        .post("/api/tokens", &request)
        .await
        .created();
    let reader = server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap());
    reader
        .get("/api/proxy/status")
        .await
        .fault(403, "scope_missing");
    let alone = World::without_init();
    let server = alone.serve();
    server
        .client()
        .get("/api/proxy/status")
        .await
        .fault(503, "init_unreachable");
}

#[tokio::test]
async fn preferences_are_kept_over_a_restart_of_control() {
    let world = World::new();
    let server = world.serve();
    let patch = async |server: &crate::common::world::Server, body: serde_json::Value| {
        let client = server.client();
        client
            .request(Method::PATCH, "/api/prefs", body.to_string())
            .await
    };
    patch(&server, json!({"theme": "dark", "letters": false}))
        .await
        .ok();
    patch(&server, json!({"letters": "-"})).await.ok();
    patch(&server, json!({"a b": 1}))
        .await
        .fault(400, "bad_value");
    drop(server);
    let server = world.serve();
    let kept = server.client().get("/api/prefs").await.ok();
    assert_eq!(kept, json!({"theme": "dark"}));
}
