//! git over HTTP: git's own program, behind the doors that GitHub has.

use std::io;
use std::process::Stdio;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::world::Repo;

/// The service that a request is about: `git-upload-pack` or `git-receive-pack`.
pub(super) fn service<'a>(rest: &'a str, query: &'a str) -> &'a str {
    match rest {
        "info/refs" => query.strip_prefix("service=").unwrap_or("git-upload-pack"),
        rest => rest,
    }
}

/// What is said to who has no token: git asks again with one.
pub(super) fn ask_for_token() -> Response<Body> {
    Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header("www-authenticate", "Basic realm=\"GitHub\"")
        .body(Body::from("No anonymous write access.\n"))
        .unwrap_or_default()
}

/// Runs `git http-backend` for one request.
pub(super) async fn run(
    repo: Repo,
    method: &str,
    rest: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
    login: Option<&str>,
) -> io::Result<Response<Body>> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_PROJECT_ROOT", &repo.dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{rest}"))
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(login) = login {
        command.env("REMOTE_USER", login);
    }
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // It may have read enough.
            let _ = stdin.write_all(&body).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output?.stdout;
    let gap = output.windows(4).position(|four| four == b"\r\n\r\n");
    let gap = gap.ok_or_else(|| io::Error::other("git http-backend gave no head"))?;
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..gap]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => {
                let code = status
                    .split(' ')
                    .next()
                    .and_then(|code| code.parse::<u16>().ok());
                response = response.status(code.unwrap_or(500));
            }
            Some((name, value)) => response = response.header(name, value),
            None => {}
        }
    }
    let body = Body::from(output[gap + 4..].to_vec());
    response.body(body).map_err(io::Error::other)
}
