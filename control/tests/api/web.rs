//! The pages: what is served, under which rules, and what never is.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::common::client::{Answer, Client};
use crate::common::world::{Server, World};
use http::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
const DOCUMENT: &str =
    "<!doctype html><meta name=nonce content=\"__CIB_NONCE__\"><title>box</title>";

fn digest(bytes: &[u8]) -> String {
    let bytes = Sha256::digest(bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder as the build of the pages leaves it, with a stranger beside it.
fn pages(world: &World) -> PathBuf {
    let folder = world.path().join("web");
    fs::create_dir_all(folder.join("assets")).unwrap();
    fs::write(folder.join("index.html"), DOCUMENT).unwrap();
    fs::write(folder.join("secret.txt"), "not in the table").unwrap();
    fs::write(world.path().join("outside.txt"), "not in the folder").unwrap();
    let coded = |file: &str, bytes: &[u8]| {
        fs::write(folder.join(file), bytes).unwrap();
        json!({"file": file, "size": bytes.len(), "sha256": digest(bytes)})
    };
    let table = json!({"files": [
        {
            "path": "/assets/app-1.js", "media": "text/javascript; charset=utf-8", "immutable": true,
            "br": coded("assets/app-1.js.br", b"brotli bytes"),
            "gzip": coded("assets/app-1.js.gz", b"gzip bytes"),
        },
        {
            "path": "/favicon.svg", "media": "image/svg+xml", "immutable": false,
            "br": coded("favicon.svg.br", b"br svg"),
            "gzip": coded("favicon.svg.gz", b"gz svg"),
        },
        {
            "path": "/sw.js", "media": "text/javascript", "immutable": false,
            "br": coded("sw.js.br", b"br worker"),
            "gzip": coded("sw.js.gz", b"gz worker"),
        },
        {
            "path": "/climber.js", "media": "text/javascript", "immutable": false,
            "br": {"file": "../outside.txt", "size": 17, "sha256": "ab".repeat(32)},
            "gzip": {"file": "/etc/passwd", "size": 17, "sha256": "ab".repeat(32)},
        },
    ]});
    fs::write(folder.join("manifest.json"), table.to_string()).unwrap();
    folder
}

/// A box with pages, and somebody without a token.
fn served() -> (World, Server) {
    let mut world = World::new();
    world.options.web_dir = Some(pages(&world));
    let server = world.serve();
    (world, server)
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer
        .headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

fn nonce(answer: &Answer) -> String {
    let policy = header(answer, "content-security-policy");
    let (_, rest) = policy.split_once("'nonce-").unwrap();
    rest.split_once('\'').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_browser_without_a_token_gets_the_document_under_every_pages_path() {
    let (_world, server) = served();
    let browser = server.stranger().with_header("accept", HTML);
    for path in ["/", "/s/0b9d8c1e", "/settings/tokens", "/shells?x=1"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(&answer, "cache-control"), "no-store");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(text, DOCUMENT.replace("__CIB_NONCE__", &nonce(&answer)));
    }
    let (one, two) = (browser.get("/").await, browser.get("/").await);
    assert_ne!(nonce(&one), nonce(&two), "a nonce is for one answer");
    let head = browser.request(Method::HEAD, "/", "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn the_document_may_load_from_the_box_alone_and_make_markup_by_its_policies_alone() {
    let (_world, server) = served();
    let answer = server.stranger().with_header("accept", HTML).get("/").await;
    let expected = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{}'; \
         img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; \
         trusted-types svelte-trusted-html cib-markdown cib-code cib-worker dompurify",
        nonce(&answer)
    );
    assert_eq!(header(&answer, "content-security-policy"), expected);
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-dns-prefetch-control", "off"),
    ] {
        assert_eq!(header(&answer, name), value, "{name}");
    }
    assert!(header(&answer, "permissions-policy").starts_with("camera=(), "));
}

#[tokio::test]
async fn a_file_comes_in_the_coding_that_the_client_takes_and_is_kept_for_ever() {
    let (_world, server) = served();
    for (accepts, coding, bytes) in [
        ("gzip, deflate, br, zstd", "br", &b"brotli bytes"[..]),
        ("gzip, deflate", "gzip", b"gzip bytes"),
        ("br;q=0, gzip", "gzip", b"gzip bytes"),
        ("identity", "gzip", b"gzip bytes"),
    ] {
        let client = server.stranger().with_header("accept-encoding", accepts);
        let answer = client.get("/assets/app-1.js").await;
        assert_eq!(answer.status, 200);
        assert_eq!(header(&answer, "content-encoding"), coding, "{accepts}");
        assert_eq!(answer.body, bytes);
        assert_eq!(header(&answer, "etag"), format!("\"{}\"", digest(bytes)));
        assert_eq!(
            header(&answer, "content-type"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(
            header(&answer, "cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(header(&answer, "vary"), "accept-encoding");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert!(header(&answer, "content-security-policy").contains("sandbox"));
        assert!(answer.headers.get("last-modified").is_none());
    }
    let icon = server.stranger().get("/favicon.svg").await;
    assert_eq!(header(&icon, "cache-control"), "no-cache");
}

#[tokio::test]
async fn who_has_the_bytes_is_not_sent_them_again() {
    let (_world, server) = served();
    let tag = |bytes: &[u8]| format!("\"{}\"", digest(bytes));
    let ask = async |tag: &str| {
        let client = server.stranger().with_header("if-none-match", tag);
        client.get("/favicon.svg").await
    };
    let same = ask(&tag(b"gz svg")).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    assert_eq!(header(&same, "etag"), tag(b"gz svg"));
    assert_eq!(header(&same, "cache-control"), "no-cache");
    assert_eq!(
        ask(&format!("\"x\", W/{}", tag(b"gz svg"))).await.status,
        304
    );
    // The tag of another coding is that of other bytes.
    assert_eq!(ask(&tag(b"br svg")).await.status, 200);
}

#[tokio::test]
async fn nothing_but_what_the_table_names_is_ever_read() {
    let (world, server) = served();
    let browser = server.stranger().with_header("accept", HTML);
    for path in [
        "/secret.txt",
        "/manifest.json",
        "/index.html",
        "/assets/app-1.js.br",
        "/assets/../secret.txt",
        "/assets/%2e%2e/secret.txt",
        "/..%2foutside.txt",
        "/%2e%2e/outside.txt",
        "//etc/passwd.txt",
        "/assets/app-1.js%00",
        "/assets/app-1.js/",
    ] {
        let answer = browser.get(path).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("not in the"), "{path}: {text}");
        assert!(!text.contains("root:"), "{path}: {text}");
        assert!(!text.contains("bytes"), "{path}: {text}");
    }
    // Spellings that hyper refuses to make are sent as they are.
    for path in [
        "/../outside.txt",
        "/assets/../../outside.txt",
        "/..\\outside.txt",
    ] {
        let said = raw(
            server.address,
            &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"),
        )
        .await;
        assert!(!said.contains("not in the folder"), "{path}: {said}");
        assert!(!said.starts_with("HTTP/1.1 200"), "{path}: {said}");
    }
    // Not even the table itself leads out of the folder.
    for accepts in ["br", "gzip"] {
        let client = server.stranger().with_header("accept-encoding", accepts);
        client.get("/climber.js").await.fault(500, "internal");
    }
    // And no file is followed elsewhere, or sent when it is another than the table tells of.
    let file = world.path().join("web/assets/app-1.js.gz");
    fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(b"!")
        .unwrap();
    server
        .stranger()
        .get("/assets/app-1.js")
        .await
        .fault(500, "internal");
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(world.path().join("outside.txt"), &file).unwrap();
    server
        .stranger()
        .get("/assets/app-1.js")
        .await
        .fault(500, "internal");
}

async fn raw(address: SocketAddr, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    crate::common::soon(stream.read_to_end(&mut said))
        .await
        .unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_slip_in_an_address_of_the_api_is_answered_as_one() {
    let (_world, server) = served();
    let browser = server.stranger().with_header("accept", HTML);
    for path in [
        "/api/sesions",
        "/api",
        "/ws/x",
        "/sse/x",
        "/v1/message",
        "/openai/v1/chat",
        "/mcp/x",
        "/tasks/x",
        "/gone.js",
    ] {
        browser.get(path).await.fault(404, "no_such_route");
    }
    // A program that names no page is told what it is told without pages.
    for client in [
        server.stranger(),
        server.stranger().with_header("accept", "*/*"),
    ] {
        client.get("/").await.fault(404, "no_such_route");
    }
    browser
        .post("/", &json!({}))
        .await
        .fault(404, "no_such_route");
    browser
        .get("/api/sessions")
        .await
        .fault(401, "unauthorized");
    browser
        .post("/api/health", &json!({}))
        .await
        .fault(405, "method_not_allowed");
}

async fn has_no_pages(client: Client) {
    let browser = client.with_header("accept", HTML);
    for path in ["/", "/s/1", "/assets/app-1.js", "/favicon.svg"] {
        browser.get(path).await.fault(404, "no_such_route");
    }
}

#[tokio::test]
async fn a_headless_box_and_one_without_the_folder_have_no_page() {
    let mut world = World::new();
    world.options.web_dir = Some(pages(&world));
    world.options.mode = Some("headless".to_owned());
    has_no_pages(world.serve().stranger()).await;

    let mut world = World::new();
    world.options.web_dir = Some(world.path().join("none"));
    has_no_pages(world.serve().stranger()).await;
    // An image makes the folder before it has anything to put there.
    world.options.web_dir = Some(world.path().to_owned());
    has_no_pages(world.serve().stranger()).await;
}

#[tokio::test]
async fn pages_that_cannot_be_used_take_nothing_from_the_api() {
    let mut world = World::new();
    let folder = pages(&world);
    fs::write(folder.join("manifest.json"), "{").unwrap();
    world.options.web_dir = Some(folder);
    let server = world.serve();
    has_no_pages(server.stranger()).await;
    server.client().get("/api/sessions").await.ok();
}

#[tokio::test]
async fn the_service_worker_is_asked_for_anew_and_may_ask_the_box_alone() {
    let (_world, server) = served();
    let answer = server.stranger().get("/sw.js").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["cache-control"], "no-cache");
    assert_eq!(
        answer.headers["content-security-policy"],
        "default-src 'none'; connect-src 'self'; frame-ancestors 'none'"
    );
}
