//! The answer for whoever watches over the box: whether requests are served.
//!
//! It is given on a socket that init made and lends, so it can be asked only by those who may
//! and answered only here. It takes the way of every request: the router, the threads for
//! disks, a look at the sessions.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use serde::Serialize;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::limits::Limits;
use crate::app::App;

/// Who asks gets its answer within this.
const PATIENCE: Duration = Duration::from_millis(900);

/// How long to wait when the process has no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// Answers under way at once; nobody needs more than one.
const AT_ONCE: usize = 8;

/// What is answered, on one line.
#[derive(Debug, Serialize)]
struct Answer {
    ok: bool,
    detail: String,
}

/// Answers until it is dropped. `server` is another descriptor of the socket that the API is
/// served on.
pub async fn answer(listener: UnixListener, server: OwnedFd, app: Arc<App>, limits: Limits) {
    let router = super::inner(&app, limits);
    let server = Arc::new(server);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // One place a time: who comes when all are taken waits in the kernel's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (router, server, app) = (router.clone(), Arc::clone(&server), Arc::clone(&app));
                tokio::spawn(async move {
                    // Who does not take the answer does without.
                    let _ = timeout(PATIENCE, say(stream, router, &server, &app)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "nobody can ask for the server's health");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn say(
    mut stream: UnixStream,
    router: Router,
    server: &OwnedFd,
    app: &App,
) -> io::Result<()> {
    let answer = look(router, server, app).await;
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}

async fn look(router: Router, server: &OwnedFd, app: &App) -> Answer {
    let ill = |detail: String| Answer { ok: false, detail };
    if !SockRef::from(server).is_listener().unwrap_or(false) {
        return ill("nobody listens on the API's port".to_owned());
    }
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/api/health");
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if !response.status().is_success() {
        return ill(format!("/api/health answers {}", response.status()));
    }
    match app.wellness().await {
        Ok(()) => Answer {
            ok: true,
            detail: "requests are served".to_owned(),
        },
        Err(why) => ill(why),
    }
}
