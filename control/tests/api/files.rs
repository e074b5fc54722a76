//! Coder's files over the API.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::client::Client;
use crate::common::world::{Server, World};
use crate::common::{files, until};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

fn world() -> (World, Server) {
    let world = World::new();
    files::serve(&world);
    let server = world.serve();
    (world, server)
}

async fn write(client: &Client, path: &str, data: &str) -> Value {
    let body = json!({"path": path, "data": data});
    client.post("/api/fs/write", &body).await.ok()
}

/// A frame as `cib-files` sends it.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(bytes);
    frame
}

#[tokio::test]
async fn a_file_is_written_read_listed_renamed_and_removed() {
    let (world, server) = world();
    let client = server.client();
    let roots = client.get("/api/fs/roots").await.ok();
    assert_eq!(roots["roots"][0]["name"], "workspace");
    assert_eq!(roots["roots"][2]["writable"], false);
    let folder = json!({"path": "a/b", "parents": true});
    client.post("/api/fs/mkdir", &folder).await.ok();
    let entry = write(&client, "a/b/new", "text").await;
    assert_eq!((&entry["name"], &entry["size"]), (&json!("new"), &json!(4)));
    let read = client.get("/api/fs/read?path=a/b/new").await;
    let tag = format!("\"{}\"", entry["tag"].as_str().unwrap());
    assert_eq!(read.headers["etag"], tag);
    assert_eq!(read.ok()["data"], "text");
    let rename = json!({"path": "a/b/new", "to": "a/other"});
    client.post("/api/fs/rename", &rename).await.ok();
    let list = client.get("/api/fs/list?path=a").await.ok();
    let names: Vec<_> = list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["name"].as_str().unwrap(),
                entry["kind"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(names, [("b", "folder"), ("other", "file")]);
    let remove = client.post("/api/fs/delete", &json!({"path": "a"})).await;
    remove.fault(409, "folder_not_empty");
    let whole = json!({"path": "a", "recursive": true});
    let removed = client.post("/api/fs/delete", &whole).await;
    assert_eq!(removed.status, 204);
    assert!(!world.workspace().join("a").exists());
    client
        .get("/api/fs/read?path=a/other")
        .await
        .fault(404, "no_such_file");
}

#[tokio::test]
async fn an_edit_of_what_was_changed_meanwhile_is_refused() {
    let (world, server) = world();
    let client = server.client();
    let first = write(&client, "file", "one").await;
    let known = format!("\"{}\"", first["tag"].as_str().unwrap());
    let editor = client.clone().with_header("if-match", &known);
    write(&editor, "file", "two").await;
    let body = json!({"path": "file", "data": "three"});
    let late = editor.post("/api/fs/write", &body).await;
    late.fault(412, "file_changed");
    let maker = client.clone().with_header("if-none-match", "*");
    maker
        .post("/api/fs/write", &body)
        .await
        .fault(412, "file_changed");
    editor
        .post("/api/fs/delete", &json!({"path": "file"}))
        .await
        .fault(412, "file_changed");
    assert_eq!(
        fs::read_to_string(world.workspace().join("file")).unwrap(),
        "two"
    );
    let weak = client.with_header("if-match", "W/\"x\"");
    weak.post("/api/fs/write", &body)
        .await
        .fault(400, "bad_value");
}

#[tokio::test]
async fn a_download_is_to_be_saved_and_can_be_taken_in_parts() {
    let (world, server) = world();
    let page = "<script>alert(1)</script>";
    fs::write(world.workspace().join("p\u{fc}.html"), page).unwrap();
    let client = server.client();
    let path = "/api/fs/raw?path=p%C3%BC.html";
    let whole = client.get(path).await;
    assert_eq!(
        (whole.status.as_u16(), &whole.body[..]),
        (200, page.as_bytes())
    );
    let header = |name: &str| whole.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").contains("sandbox"));
    assert_eq!(
        header("content-disposition"),
        "attachment; filename*=UTF-8''p%C3%BC%2Ehtml"
    );
    let part = client
        .clone()
        .with_header("range", "bytes=1-6")
        .get(path)
        .await;
    assert_eq!(
        (part.status.as_u16(), &part.body[..]),
        (206, &b"script"[..])
    );
    assert_eq!(part.headers["content-range"], "bytes 1-6/25");
    let beyond = client
        .clone()
        .with_header("range", "bytes=25-")
        .get(path)
        .await;
    beyond.fault(416, "range_unsatisfiable");
    let known = header("etag");
    let again = client
        .clone()
        .with_header("if-none-match", &known)
        .get(path)
        .await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let other = client
        .with_header("range", "bytes=1-6")
        .with_header("if-range", "\"other\"");
    assert_eq!(other.get(path).await.body.len(), page.len());
}

#[tokio::test]
async fn an_upload_is_kept_whole_or_not_at_all() {
    let mut world = World::new();
    files::serve(&world);
    world.options.max_upload = Some(1_000_000);
    let server = world.serve();
    let client = server.client();
    let bytes: Vec<u8> = (0..900_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let put = async |path: &str, bytes: &[u8]| {
        let path = format!("/api/fs/raw?path={path}");
        client.request(Method::PUT, &path, bytes.to_vec()).await
    };
    assert_eq!(put("large", &bytes).await.ok()["size"], 900_000);
    assert_eq!(fs::read(world.workspace().join("large")).unwrap(), bytes);
    put("larger", &[0; 1_000_001]).await.fault(413, "too_large");
    put("none/x", b"x").await.fault(404, "no_such_file");
    // One that breaks off half way.
    let address = server.address;
    tokio::task::spawn_blocking(move || {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!(
            "PUT /api/fs/raw?path=broken HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-length: 500000\r\n\r\n",
            crate::common::world::MASTER
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&[0; 100_000]).unwrap();
    })
    .await
    .unwrap();
    until("nothing is left of it", async || {
        let names: Vec<_> = fs::read_dir(world.workspace())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names == ["large"]
    })
    .await;
}

#[tokio::test]
async fn what_the_agent_plants_is_shown_and_neither_followed_nor_waited_for() {
    let (world, server) = world();
    let at = |name: &str| world.workspace().join(name);
    symlink("/etc", at("etc")).unwrap();
    symlink("/etc/passwd", at("passwd")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let client = server.client();
    for (path, status, code) in [
        ("passwd", 409, "is_link"),
        ("etc/passwd", 409, "is_link"),
        ("pipe", 409, "not_a_file"),
        ("", 400, "bad_value"),
        ("../x", 400, "bad_value"),
        ("a%00b", 400, "bad_value"),
    ] {
        let raw = client.get(&format!("/api/fs/raw?path={path}")).await;
        raw.fault(status, code);
        let body = json!({"path": path.replace("%00", "\0"), "data": "x"});
        client
            .post("/api/fs/write", &body)
            .await
            .fault(status, code);
    }
    let list = client.get("/api/fs/list?path=etc").await;
    list.fault(409, "is_link");
    let list = client.get("/api/fs/list").await.ok();
    assert_eq!(list["entries"][0]["target"], "/etc");
    let elsewhere = json!({"root": "box", "path": "tmp/x", "data": "x"});
    client
        .post("/api/fs/write", &elsewhere)
        .await
        .fault(403, "file_forbidden");
    client
        .get("/api/fs/list?root=box&path=proc")
        .await
        .fault(409, "other_disk");
    client
        .get("/api/fs/list?root=elsewhere")
        .await
        .fault(400, "bad_value");
}

#[tokio::test]
async fn names_that_are_no_text_come_back_as_they_went() {
    use std::os::unix::ffi::OsStrExt as _;
    let (world, server) = world();
    let name = std::ffi::OsStr::from_bytes(b"\xff\\<img src=x>\x1b[2J");
    fs::write(world.workspace().join(name), "hostile").unwrap();
    let client = server.client();
    let list = client.get("/api/fs/list").await.ok();
    let told = list["entries"][0]["name"].as_str().unwrap();
    assert_eq!(told, "\\xff\\\\<img src=x>\u{1b}[2J");
    let encoded =
        percent_encoding::percent_encode(told.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
    let read = client.get(&format!("/api/fs/read?path={encoded}")).await;
    assert_eq!(read.ok()["data"], "hostile");
}

#[tokio::test]
async fn what_looks_at_files_is_believed_nothing_and_its_loss_costs_its_routes_alone() {
    let entry = json!({
        "name": "x", "kind": "file", "size": 3, "modified": "2026-01-01T00:00:00.000Z",
        "mode": 420, "tag": "\"\r\nset-cookie: a=b",
    });
    let content = |length: u64| {
        let head = json!({"content": {"entry": entry, "offset": 0, "length": length}});
        frame(head.to_string().as_bytes())
    };
    let whole = [content(3), frame(b"abc"), frame(b"")].concat();
    for (said, status) in [
        (Vec::new(), 503),
        (frame(b"no json"), 503),
        (frame(br#""removed""#), 503),
        (vec![0xff, 0xff, 0xff, 0xff, 1], 503),
        (
            frame(br#"{"refused": {"code": "absent", "detail": "\u001b[2J"}}"#),
            404,
        ),
        (whole, 200),
    ] {
        let world = World::new();
        files::lie(&world, said);
        let server = world.serve();
        let read = server.client().get("/api/fs/read?path=x").await;
        assert_eq!(read.status.as_u16(), status, "{read:?}");
        assert!(!read.headers.contains_key("set-cookie"));
        if status == 503 {
            read.fault(503, "files_unavailable");
        }
        server.client().get("/api/sessions").await.ok();
    }
    // More bytes than were announced, or fewer, are no file.
    for said in [
        [content(3), frame(b"abcd"), frame(b"")].concat(),
        [content(3), frame(b"ab"), frame(b"")].concat(),
        [content(3), frame(b"ab")].concat(),
    ] {
        let world = World::new();
        files::lie(&world, said);
        let server = world.serve();
        let read = server.client().get("/api/fs/read?path=x").await;
        read.fault(503, "files_unavailable");
        let client = server.client();
        let sent = client.send(Method::GET, "/api/fs/raw?path=x", Bytes::new());
        // It breaks before the first byte, or behind it.
        if let Ok(response) = sent.await {
            let collected = http_body_util::BodyExt::collect(response.into_body()).await;
            assert!(collected.is_err(), "{collected:?}");
        }
    }
    let world = World::new();
    let server = world.serve();
    let nobody = server.client().get("/api/fs/roots").await;
    nobody.fault(503, "files_unavailable");
}

#[tokio::test]
async fn reading_and_writing_need_their_scopes() {
    let (_world, server) = world();
    let request = json!({"label": "reader", "scopes": ["fs:read"]});
    let made = server
        .client()
        .post("/api/tokens", &request)
        .await
        .created();
    let reader = server
        .stranger()
        .with_token(made["plaintext"].as_str().unwrap());
    reader.get("/api/fs/list").await.ok();
    let body = json!({"path": "x", "data": "x"});
    reader
        .post("/api/fs/write", &body)
        .await
        .fault(403, "scope_missing");
    reader
        .request(Method::PUT, "/api/fs/raw?path=x", "x")
        .await
        .fault(403, "scope_missing");
    server
        .stranger()
        .get("/api/fs/list")
        .await
        .fault(401, "unauthorized");
}

#[tokio::test]
async fn a_working_tree_is_told_of() {
    let (world, server) = world();
    let git = |words: &[&str]| {
        let ran = std::process::Command::new("git")
            .args([
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@b",
                "-c",
                "commit.gpgSign=false",
            ])
            .args(words)
            .current_dir(world.workspace())
            .env("HOME", world.path())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    fs::write(world.workspace().join("a"), "1\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "first"]);
    fs::write(world.workspace().join("a"), "2\n").unwrap();
    let client = server.client();
    let at = world.workspace().display().to_string();
    let status = client
        .get(&format!("/api/git/status?workdir={at}"))
        .await
        .ok();
    assert_eq!(status["files"][0]["unstaged"], "modified");
    let log = client.get(&format!("/api/git/log?workdir={at}")).await.ok();
    assert_eq!(log["commits"][0]["subject"], "first");
    let diff = client
        .get(&format!("/api/git/diff?workdir={at}"))
        .await
        .ok();
    assert!(
        diff["files"][0]["patch"]
            .as_str()
            .unwrap()
            .ends_with("-1\n+2\n")
    );
    let id = log["commits"][0]["id"].as_str().unwrap();
    let of = client
        .get(&format!("/api/git/diff?workdir={at}&commit={id}"))
        .await
        .ok();
    assert!(of["files"][0]["patch"].as_str().unwrap().ends_with("+1\n"));
    let both = client
        .get(&format!("/api/git/diff?workdir={at}&commit={id}&base={id}"))
        .await;
    both.fault(400, "bad_value");
    client
        .get("/api/git/status?workdir=/etc")
        .await
        .fault(400, "bad_value");
    client.get("/api/git/status").await.fault(400, "bad_value");
    let option = client
        .get(&format!("/api/git/log?workdir={at}&from=--output%3Dx"))
        .await;
    option.fault(400, "bad_value");
}
