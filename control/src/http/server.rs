//! Connections: accepted, limited, and ended in order.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

use super::limits::{BUFFER, HEADERS, Limits};
use super::reply;
use crate::app::{App, Shutdown};
use crate::fault::{Code, Fault};
use crate::metrics::ConnectionGauge;

/// A peer that vanished is found out after about this long.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long to wait when the process has no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// The other end of a connection, as an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What a connection holds while it lives, as an extension of its requests: a WebSocket
/// outlives the HTTP connection that it began as.
#[derive(Clone, Debug)]
pub struct Hold {
    _held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    _permit: OwnedSemaphorePermit,
    _gauge: ConnectionGauge,
}

/// Serves until the app is told to shut down, then ends what is open within the time for it.
/// Returns whether everything ended by itself.
pub async fn serve(listener: TcpListener, app: Arc<App>, limits: Limits) -> bool {
    let router = super::router(&app, limits);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut shutdown = app.shutdown();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.begun() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &router, &app, &permits, limits),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                // One that was reset while it waited is no reason to wait; having no
                // descriptors left is.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    tokio::time::timeout(limits.drain, permits.acquire_many(all))
        .await
        .is_ok()
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    router: &Router,
    app: &Arc<App>,
    permits: &Arc<Semaphore>,
    limits: Limits,
) {
    let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
        app.metrics.turned_away();
        tracing::warn!(%peer, "too many connections");
        // Best effort: a client that does not get to read it sees the connection close.
        let _ = stream.try_write(&reply::overloaded());
        return;
    };
    let hold = Hold {
        _held: Arc::new(Held {
            _permit: permit,
            _gauge: app.metrics.connected(),
        }),
    };
    if let Err(error) = tune(&stream) {
        tracing::debug!(%peer, %error, "a connection cannot be tuned");
    }
    tokio::spawn(connection(
        stream,
        Peer(peer.ip()),
        hold,
        router.clone(),
        app.shutdown(),
        limits,
    ));
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 6);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    hold: Hold,
    router: Router,
    mut shutdown: Shutdown,
    limits: Limits,
) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(hold.clone());
        router.oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %peer.0, %error, "a connection broke");
    }
}

/// The fault of a connection beyond the limit.
pub(super) fn too_many() -> Fault {
    Fault::new(
        Code::TooManyConnections,
        "as many connections are open as may be; try again later",
    )
}
