//! Journals and streams in gzip.

use std::io::{Read as _, Write as _};

use crate::common::keeper::text as said;
use crate::common::world::World;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::Method;
use http_body_util::BodyExt as _;

#[tokio::test]
async fn a_journal_is_the_same_in_gzip_and_shorter() {
    let world = World::new();
    let mut keeper = world.keeper();
    let frames: Vec<_> = (0..400)
        .map(|n| said(format!("a line like any other, {n}")))
        .collect();
    keeper.append(&frames);
    let server = world.serve();
    for path in [
        "transcript?limit=400",
        "transcript?before=300&limit=200",
        "chat",
    ] {
        let path = format!("/api/sessions/{}/{path}", keeper.id);
        let plain = server.client().get(&path).await;
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        let packed = server
            .client()
            .with_header("accept-encoding", "br, gzip;q=0.5")
            .get(&path)
            .await;
        assert_eq!(packed.headers["content-encoding"], "gzip", "{path}");
        assert_eq!(packed.headers["vary"], "accept-encoding", "{path}");
        let mut text = Vec::new();
        GzDecoder::new(&*packed.body)
            .read_to_end(&mut text)
            .unwrap();
        assert!(text == plain.body, "{path}");
        assert!(4 * packed.body.len() < plain.body.len(), "{path}");
        let refused = server.client().with_header("accept-encoding", "gzip;q=0");
        assert!(refused.get(&path).await.body == plain.body, "{path}");
    }
    // What may have a secret of the box's in it is never compressed.
    let body = serde_json::json!({"label": "x", "scopes": ["sessions:read"]});
    let minted = server.client().with_header("accept-encoding", "gzip");
    let minted = minted.post("/api/tokens", &body).await;
    assert!(!minted.headers.contains_key("content-encoding"));
    minted.created();
}

#[tokio::test]
async fn each_batch_of_a_stream_is_there_when_it_is_sent() {
    let world = World::new();
    let mut keeper = world.keeper();
    let server = world.serve();
    let path = format!("/api/sessions/{}/events", keeper.id);
    let client = server.client().with_header("accept-encoding", "gzip");
    let response = crate::common::soon(client.send(Method::GET, &path, Bytes::new()));
    let response = response.await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut body = response.into_body();
    let mut text = flate2::write::GzDecoder::new(Vec::new());
    for n in 1..=3 {
        let word = format!("the word of batch {n}");
        keeper.append(&[said(&word)]);
        let coming = async {
            while !String::from_utf8_lossy(text.get_ref()).contains(&word) {
                let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
                text.write_all(&piece).unwrap();
                text.flush().unwrap();
            }
        };
        crate::common::soon(coming).await;
    }
}

#[tokio::test]
async fn more_streams_than_are_compressed_at_once_are_served_as_they_are() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[said("hello")]);
    let server = world.serve();
    let path = format!("/api/sessions/{}/events", keeper.id);
    let mut codings = Vec::new();
    let mut held = Vec::new();
    for _ in 0..40 {
        let client = server.client().with_header("accept-encoding", "gzip");
        let response = crate::common::soon(client.send(Method::GET, &path, Bytes::new()));
        let response = response.await.unwrap();
        codings.push(response.headers().contains_key("content-encoding"));
        held.push(response.into_body());
    }
    assert!(
        codings.contains(&true) && codings.contains(&false),
        "{codings:?}"
    );
}
