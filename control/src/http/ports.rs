//! What listens in the box, brought to a browser: requests and WebSockets to an opened port.
//!
//! Nothing of it is read here but heads, and each of them is made anew ([`head`]). A request has
//! a connection of its own to what listens there, found by the kernel's word at that moment.
//!
//! [`head`]: crate::ports::head

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, HeaderValue, LOCATION, UPGRADE};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::held::Hold;
use super::limits::{HEADERS, Limits};
use super::request::pieces;
use super::{limits, reply};
use crate::app::{App, Shutdown};
use crate::auth::address::Peer;
use crate::fault::{Code, Fault};
use crate::ports;
use crate::ports::grants::Visit;
use crate::ports::head::{self, Door};

/// How long what listens has to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long it has to begin its answer.
const HEAD: Duration = Duration::from_secs(60);

/// How long an answer or a socket may be silent.
const SILENCE: Duration = Duration::from_secs(600);

/// What is held of each direction of a socket.
const PIECE: usize = 16 * 1024;

/// Serves a request to an opened port. Nothing if nothing is open there.
pub(super) async fn serve(
    app: &Arc<App>,
    limits: Limits,
    door: &Door,
    request: &mut Request,
) -> Option<Result<Response, Fault>> {
    let visit = match app.grants.visit(&door.capability) {
        Ok(visit) => visit?,
        Err(fault) => return Some(Err(fault)),
    };
    if door.port.is_some_and(|port| port != visit.port) {
        return None;
    }
    Some(pass(app, limits, door, visit, request).await)
}

async fn pass(
    app: &App,
    limits: Limits,
    door: &Door,
    mut visit: Visit,
    request: &mut Request,
) -> Result<Response, Fault> {
    door.check(request.method(), request.headers())?;
    if let Some(head) = door.preflight(request.method(), request.headers()) {
        return Ok(respond(StatusCode::NO_CONTENT, head, Body::empty()));
    }
    let Some(target) = &door.target else {
        return Ok(beginning(door));
    };
    let hold = request.extensions().get::<Hold>().cloned();
    if let Some(hold) = &hold {
        hold.claim_for_port(&visit.caller.who)?;
    }
    let peer = request.extensions().get::<Peer>().copied();
    let is_secure = peer.is_some_and(|peer| app.gate.origin(peer, request.headers()).is_secure);
    let port = visit.port;
    let ours = head::is_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut *request));
    let headers = door.request(port, request.headers(), is_secure);
    let body = std::mem::take(request.body_mut());
    let mut passed = hyper::Request::builder()
        .method(request.method())
        .uri(target)
        .body(sent(body, limits))
        .map_err(|error| {
            Fault::new(Code::BadValue, "the path cannot be passed on").because(error)
        })?;
    *passed.headers_mut() = headers;
    let mut shutdown = app.shutdown();
    let mut answer = tokio::select! {
        answer = asked(port, passed) => answer?,
        _ = visit.caller.lapse() => return Err(over()),
        () = shutdown.begun() => return Err(Fault::new(Code::NotNow, "the box is ending")),
    };
    let head = door.answer(port, answer.headers());
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(ours) = ours else {
            return Err(failed("it changes to another protocol unasked"));
        };
        let theirs = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            let _hold = hold;
            join(ours, theirs, visit, shutdown).await;
        });
        return Ok(switched(head));
    }
    let (status, body) = (answer.status(), answer.into_body());
    let body = if body.is_end_stream() || *request.method() == Method::HEAD {
        Body::empty()
    } else {
        answered(body, visit, shutdown)
    };
    Ok(respond(status, head, body))
}

/// Asks what listens on a port, on a connection of the request's own.
async fn asked(
    port: u16,
    request: hyper::Request<Body>,
) -> Result<hyper::Response<Incoming>, Fault> {
    let stream = connected(ports::reached_at(port).await?).await?;
    // Best effort: without it small pieces may come later.
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(HEADERS)
        .max_buf_size(limits::BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed("it takes no request").because(error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(port, %error, "a connection to a port broke");
        }
    });
    match timeout(HEAD, sender.send_request(request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed("it does not answer as a server of HTTP does").because(error)),
        Err(_) => Err(failed("it does not begin its answer in time")),
    }
}

async fn connected(addresses: Vec<SocketAddr>) -> Result<TcpStream, Fault> {
    let mut fault = failed("it takes no connection");
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => fault = failed("it takes no connection").because(error),
            Err(_) => {}
        }
    }
    Err(fault)
}

/// A request's body as it goes on. One that is empty stays so, instead of a stream of nothing.
fn sent(body: Body, limits: Limits) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::from_stream(pieces(body, limits.body_piece))
}

/// What comes of an answer's body, for as long as somebody may have it.
struct Coming {
    body: Incoming,
    visit: Visit,
    shutdown: Shutdown,
}

fn answered(body: Incoming, visit: Visit, shutdown: Shutdown) -> Body {
    let coming = Coming {
        body,
        visit,
        shutdown,
    };
    Body::from_stream(stream::unfold(Some(coming), |coming| async move {
        let mut coming = coming?;
        match coming.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(coming))),
            Ok(None) => None,
            // The connection is cut, so that nobody takes a part for the whole.
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Coming {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let frame = tokio::select! {
                frame = timeout(SILENCE, self.body.frame()) => frame?,
                _ = self.visit.caller.lapse() => return Err(cut()),
                () = self.shutdown.begun() => return Err(cut()),
            };
            match frame.transpose().map_err(io::Error::other)? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

fn cut() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionAborted)
}

/// Joins both sides of a WebSocket until one of them ends it, or it may not be any longer.
async fn join(ours: OnUpgrade, theirs: OnUpgrade, mut visit: Visit, mut shutdown: Shutdown) {
    let both = timeout(HEAD, async { tokio::try_join!(ours, theirs) }).await;
    let Ok(Ok((ours, theirs))) = both else {
        return;
    };
    let heard = Mutex::new(Instant::now());
    tokio::select! {
        () = relay(ours, theirs, &heard) => {}
        () = silence(&heard) => {}
        _ = visit.caller.lapse() => {}
        () = shutdown.begun() => {}
    }
}

async fn relay(ours: Upgraded, theirs: Upgraded, heard: &Mutex<Instant>) {
    let (from_us, to_us) = tokio::io::split(TokioIo::new(ours));
    let (from_them, to_them) = tokio::io::split(TokioIo::new(theirs));
    // How an end came about is its peer's to tell.
    let _ = tokio::join!(copy(from_us, to_them, heard), copy(from_them, to_us, heard));
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    heard: &Mutex<Instant>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await.unwrap_or_default();
        if length == 0 {
            return to.shutdown().await;
        }
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        to.write_all(&piece[..length]).await?;
    }
}

/// Waits until nothing has been heard for too long.
async fn silence(heard: &Mutex<Instant>) {
    loop {
        let since = heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed();
        match SILENCE.checked_sub(since) {
            None | Some(Duration::ZERO) => return,
            Some(left) => tokio::time::sleep(left).await,
        }
    }
}

fn respond(status: StatusCode, head: axum::http::HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = head;
    response
}

fn switched(mut head: axum::http::HeaderMap) -> Response {
    head.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.insert(UPGRADE, HeaderValue::from_static("websocket"));
    respond(StatusCode::SWITCHING_PROTOCOLS, head, Body::empty())
}

/// Leads from a path without its slash to the one with it, so that what is relative stays below.
fn beginning(door: &Door) -> Response {
    let mut head = axum::http::HeaderMap::new();
    door.rule(&mut head);
    if let Ok(location) = HeaderValue::try_from(door.beginning()) {
        head.insert(LOCATION, location);
    }
    respond(StatusCode::PERMANENT_REDIRECT, head, Body::empty())
}

/// The answer to who asks for a port that is not open.
pub(super) fn closed() -> Response {
    reply::fault(&over())
}

fn over() -> Fault {
    let detail = "no port is open at this address, or no longer; open it again from the box's page";
    Fault::new(Code::NoSuchPort, detail)
}

fn failed(what: &str) -> Fault {
    Fault::new(
        Code::PortFailed,
        format!("what listens on the port fails: {what}"),
    )
}
