//! Connections: accepted, limited, and ended in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use cib_base::log::Seldom;
use http::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use super::Front;
use super::held::{Held, Hold};
use super::limits::{BUFFER, HEADERS, Limits};
use super::line::{self, Line};
use super::patient::Patient;
use super::places::{Entrance, Place, Places};
use super::reply;
use crate::app::{App, Shutdown};
use crate::auth::address::Peer;
use crate::metrics::Counted;

/// A peer that vanished is found out after about this long.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long to wait when the process has no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// What a crowd of strangers makes happen once for each of them.
static NOT_ACCEPTED: Seldom = Seldom::new();
static TURNED_AWAY: Seldom = Seldom::new();
static SENT_AWAY: Seldom = Seldom::new();

/// How those who connect speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http,
    /// Records of the sealed envelope.
    Records,
}

/// Accepts on a listener that may not be there.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Serves until the app is told to shut down, then ends what is open within the time for it.
/// On `records`, if there is one, devices speak without HTTP; both share the places for
/// connections. Returns whether everything ended by itself.
pub async fn serve(
    listener: TcpListener,
    records: Option<TcpListener>,
    app: Arc<App>,
    limits: Limits,
) -> bool {
    let front = Front::new(&app, limits);
    let places = Places::new(limits.connections);
    let mut shutdown = app.shutdown();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.begun() => break,
            accepted = listener.accept() => (accepted, Speaks::Http),
            accepted = accept(records.as_ref()) => (accepted, Speaks::Records),
        };
        let (accepted, speaks) = accepted;
        match accepted {
            Ok((stream, peer)) => {
                admit(stream, peer, speaks, &front, &app, &places, limits);
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
    drop((listener, records));
    tokio::time::timeout(limits.drain, places.emptied())
        .await
        .is_ok()
}

fn admit(
    stream: TcpStream,
    address: SocketAddr,
    speaks: Speaks,
    front: &Front,
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
        if speaks == Speaks::Http {
            let _ = stream.try_write(&reply::overloaded());
        }
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
    if speaks == Speaks::Records {
        let line = Line {
            stream,
            peer,
            arrival: app.gate.origin(peer, &HeaderMap::new()),
            place,
            app: Arc::clone(app),
            inner: front.inner.clone(),
            limits,
        };
        tokio::spawn(line::serve(line, app.metrics.connected()));
        return;
    }
    tokio::spawn(connection(
        stream,
        peer,
        place,
        Arc::new(app.metrics.connected()),
        front.clone(),
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
    front: Front,
    mut shutdown: Shutdown,
    limits: Limits,
) {
    let seat = place.clone();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let hold = Hold::new(&seat, Arc::clone(&gauge));
        let front = front.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(hold.clone());
        async move {
            let answer = front.answer(request).await;
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
