//! Serves the clients of the bridge.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::bridge::{Body, Bridge, Fault};
use super::plain;
use crate::client::Target;

/// How long a client may take to send the head of its first request and of each next one.
const HEAD: Duration = Duration::from_secs(30);
/// How long to wait when this process may open no more files.
const PAUSE: Duration = Duration::from_millis(100);
/// When to ask a silent peer whether it is still there, in seconds. A tunnel has no other limit: a
/// session of Claude's may be silent for minutes.
const KEEPALIVE_SECONDS: u32 = 60;

/// Takes clients for ever.
pub(super) async fn serve(listener: TcpListener, bridge: Arc<Bridge>, clients: usize) {
    let places = Arc::new(Semaphore::new(clients.max(1)));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        tokio::spawn(client(stream, Arc::clone(&bridge), Arc::new(place)));
    }
}

async fn client(stream: TcpStream, bridge: Arc<Bridge>, place: Arc<OwnedSemaphorePermit>) {
    keep_alive(&stream);
    let service = service_fn(move |request| {
        let (bridge, place) = (Arc::clone(&bridge), Arc::clone(&place));
        async move { Ok::<_, Infallible>(answer(&bridge, request, place).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A client that closes early or does not speak HTTP needs no answer.
    let _ = connection.await;
}

/// A failure is ignored: a connection without it works as well.
fn keep_alive(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_SECONDS);
}

async fn answer(
    bridge: &Bridge,
    request: Request<Incoming>,
    place: Arc<OwnedSemaphorePermit>,
) -> Response<Body> {
    let answered = if request.method() == Method::CONNECT {
        tunnel(bridge, request, place).await
    } else {
        plain::forward(bridge, request).await
    };
    answered.unwrap_or_else(|fault| fault.response())
}

async fn tunnel(
    bridge: &Bridge,
    request: Request<Incoming>,
    place: Arc<OwnedSemaphorePermit>,
) -> Result<Response<Body>, Fault> {
    let authority = request
        .uri()
        .authority()
        .ok_or(Fault::Malformed("no host and port"))?;
    let target: Target = authority
        .as_str()
        .parse()
        .map_err(|_| Fault::Malformed("no host and port"))?;
    bridge.check(&target)?;
    let mut far = bridge.dialer.connect(&target).await.map_err(Fault::Dial)?;
    keep_alive(&far);
    tokio::spawn(async move {
        if let Ok(near) = hyper::upgrade::on(request).await {
            // Either side may close at any time; the other one then sees its stream close.
            let _ = copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
        }
        drop(place);
    });
    Ok(Response::new(Either::Left(Full::default())))
}
