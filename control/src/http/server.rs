//! Connections: accepted, limited, and ended in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use cib_base::log::Seldom;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use super::held::Held;
use super::limits::{BUFFER, HEADERS, Limits};
use super::patient::Patient;
use super::places::{Busy, Entrance, Place, Places};
use super::reply;
use crate::app::{App, Shutdown};
use crate::auth::Who;
use crate::auth::address::Peer;
use crate::fault::Fault;
use crate::metrics::Counted;

/// A peer that vanished is found out after about this long.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long to wait when the process has no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// What a crowd of strangers makes happen once for each of them.
static NOT_ACCEPTED: Seldom = Seldom::new();
static TURNED_AWAY: Seldom = Seldom::new();
static SENT_AWAY: Seldom = Seldom::new();

/// What a connection holds while a request on it is under way, as an extension of the request:
/// an answer is sent after its handler returned, and a WebSocket outlives the HTTP connection
/// that it began as.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Holding>);

#[derive(Debug)]
struct Holding {
    _busy: Busy,
    _gauge: Arc<Counted>,
    place: Place,
}

impl Hold {
    /// Makes the connection one of a caller's.
    ///
    /// # Errors
    /// If the caller has as many as it may have.
    pub(super) fn claim(&self, who: &Who) -> Result<(), Fault> {
        self.0.place.claim(who)
    }
}

/// Serves until the app is told to shut down, then ends what is open within the time for it.
/// Returns whether everything ended by itself.
pub async fn serve(listener: TcpListener, app: Arc<App>, limits: Limits) -> bool {
    let router = super::router(&app, limits);
    let places = Places::new(limits.connections);
    let mut shutdown = app.shutdown();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.begun() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                admit(stream, peer, &router, &app, &places, limits);
                // What it has sent already is read before the next one wants room.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                if let Some(times) = NOT_ACCEPTED.happened() {
                    tracing::warn!(%error, times, "connections were not accepted");
                }
                // One that was reset while it waited is no reason to wait; having no
                // descriptors left is.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
    drop(listener);
    tokio::time::timeout(limits.drain, places.emptied())
        .await
        .is_ok()
}

fn admit(
    stream: TcpStream,
    address: SocketAddr,
    router: &Router,
    app: &Arc<App>,
    places: &Places,
    limits: Limits,
) {
    let peer = Peer::from(address);
    let Some(Entrance { place, sent_away }) = places.enter(peer.into()) else {
        app.metrics.turned_away();
        if let Some(times) = TURNED_AWAY.happened() {
            tracing::warn!(peer = %address, times, "too many connections: some were turned away");
        }
        // Best effort: a client that does not get to read it sees the connection close.
        let _ = stream.try_write(&reply::overloaded());
        return;
    };
    if sent_away {
        app.metrics.turned_away();
        if let Some(times) = SENT_AWAY.happened() {
            tracing::warn!(peer = %address, times, "idle connections had to go for new ones");
        }
    }
    if let Err(error) = tune(&stream, limits) {
        tracing::debug!(peer = %address, %error, "a connection cannot be tuned");
    }
    tokio::spawn(connection(
        stream,
        peer,
        place,
        Arc::new(app.metrics.connected()),
        router.clone(),
        app.shutdown(),
        limits,
    ));
}

fn tune(stream: &TcpStream, limits: Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 6);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    // Bytes that the kernel has taken wait for their reader no longer than ours do.
    socket.set_tcp_user_timeout(Some(limits.write.max(KEEPALIVE)))
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    place: Place,
    gauge: Arc<Counted>,
    router: Router,
    mut shutdown: Shutdown,
    limits: Limits,
) {
    let seat = place.clone();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let hold = Hold(Arc::new(Holding {
            _busy: seat.begin(),
            _gauge: Arc::clone(&gauge),
            place: seat.clone(),
        }));
        let router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(hold.clone());
        async move {
            let answer: Result<Response, Infallible> = router.oneshot(request).await;
            answer.map(|answer| answer.map(|body| Held::new(body, hold)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.write)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = place.wanted() => return,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %peer.ip, %error, "a connection broke");
    }
}
