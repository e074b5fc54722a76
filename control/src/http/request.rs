//! A request on its way in: who asks, may they, what do they say.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, RawPathParams, Request, WebSocketUpgrade};
use axum::http::Extensions;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use cib_protocol::time::Timestamp;
use futures_util::{FutureExt as _, Stream, stream};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::held::Hold;
use super::limits::{DISCARD, DISCARD_TIME, Limits};
use super::line::Line;
use super::{carried, compress, envelope, reply, websocket};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::address::Peer;
use crate::auth::credential;
use crate::auth::gate::Arrival;
use crate::fault::{Code, Fault};
use crate::routes::call::{Call, Query, Reply, Upload};
use crate::routes::manner::Manner;
use crate::routes::{Access, Answer, Route, Shape, Verb, sign_ins};

/// The peer of a request that came by no connection: one that is trusted with nothing.
pub(super) const NOBODY: Peer = Peer {
    ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    is_own: true,
};

/// Who makes a request that came sealed, as an extension of it: nothing from outside has one.
#[derive(Clone, Debug)]
pub(super) struct Vouched(pub(super) Caller);

/// Serves one request of one route. `inner` is what requests inside of it are put to.
pub(super) async fn serve(
    app: Arc<App>,
    route: &'static Route,
    limits: Limits,
    inner: Option<Router>,
    request: Request,
) -> Response {
    let metrics = Arc::clone(&app.metrics);
    let (mut parts, body) = request.into_parts();
    // A handler that panics is a fault of the box and no cut connection.
    let attended =
        AssertUnwindSafe(attend(app, route, limits, inner, &mut parts, body)).catch_unwind();
    let response = match attended.await.unwrap_or_else(|panic| Err(broken(&*panic))) {
        Ok(response) => response,
        Err(fault) => {
            fault.log(route.name);
            let manner = Manner::of(route);
            match manner.words(&fault) {
                Some(words) => reply::words(&fault, manner.media(), words),
                None => reply::fault(&fault),
            }
        }
    };
    let status = response.status().as_u16();
    if route.verb == Verb::Get {
        tracing::trace!(route = route.name, status, "answered");
    } else {
        tracing::debug!(route = route.name, status, "answered");
    }
    metrics.answered(route.name, status);
    response
}

async fn attend(
    app: Arc<App>,
    route: &'static Route,
    limits: Limits,
    inner: Option<Router>,
    parts: &mut Parts,
    body: Body,
) -> Result<Response, Fault> {
    let query = Query::parse(parts.uri.query().unwrap_or_default(), route.query);
    let caller = admit(&app, route, parts)?;
    let query = query?;
    let upgrade = match route.answer {
        Answer::Socket | Answer::FeedSocket | Answer::SealedSocket => Some(
            WebSocketUpgrade::from_request_parts(parts, &())
                .await
                .map_err(|_| reply::upgrade_required())?,
        ),
        _ => None,
    };
    let (body, upload) = match &route.body {
        Some(expected) if expected.shape == Shape::File => {
            let upload = pass_on(body, parts, app.files.most(), limits).await?;
            (Bytes::new(), Some(upload))
        }
        Some(expected) if expected.shape == Shape::Envelope => {
            let most = expected.limit as u64;
            (
                Bytes::new(),
                Some(pass_on(body, parts, most, limits).await?),
            )
        }
        Some(expected) => (read(body, parts, expected.limit, limits).await?, None),
        None => (Bytes::new(), None),
    };
    let path = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|error| Fault::new(Code::BadValue, error.to_string()))?
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let hold = parts.extensions.get::<Hold>().cloned();
    let compressed = compress::wanted(route, &parts.method, &parts.headers);
    let arrival = parts.extensions.get::<Arrival>().copied();
    let arrival =
        arrival.unwrap_or_else(|| app.gate.origin(peer(&parts.extensions), &parts.headers));
    let signed_in = caller.as_ref().and_then(|caller| caller.sign_in.clone());
    let control = Arc::clone(&app);
    let call = Call {
        app,
        caller,
        arrival,
        path,
        query,
        headers: std::mem::take(&mut parts.headers),
        body,
        upload,
    };
    match ((route.handler)(call).await?, upgrade) {
        (Reply::Socket(conversation), Some(upgrade)) => {
            Ok(websocket::accept(upgrade, *conversation, hold))
        }
        (Reply::Feed(broadcast), Some(upgrade)) => {
            Ok(websocket::accept_feed(upgrade, *broadcast, hold))
        }
        (Reply::SealedSocket, Some(upgrade)) => {
            let inner = inner.ok_or_else(|| Fault::internal("nothing is sealed here"))?;
            // Only a request without a connection holds none.
            let hold = hold.ok_or_else(reply::upgrade_required)?;
            let (place, peer) = (hold.place(), peer(&parts.extensions));
            Ok(carried::accept(upgrade, hold, move |stream| Line {
                stream,
                peer,
                arrival,
                place,
                app: control,
                inner,
                limits,
            }))
        }
        (Reply::Sealed(sealed), _) => {
            let inner = inner.ok_or_else(|| Fault::internal("nothing is sealed here"))?;
            Ok(envelope::answer(
                &control,
                *sealed,
                inner,
                arrival,
                peer(&parts.extensions),
                hold,
            )
            .await)
        }
        (answer, _) => {
            let mut answer = reply::reply(answer);
            if let Some(id) = signed_in
                && let Some(cookie) = fresh_cookie(&control, &id, arrival.is_secure).await
            {
                reply::set_cookie(&mut answer, &cookie);
            }
            Ok(match compressed {
                Some(manner) => compress::gzip(answer, manner),
                None => answer,
            })
        }
    }
}

/// A successor for a sign-in's cookie, when it is old. Without one the old one goes on.
async fn fresh_cookie(app: &App, id: &str, is_secure: bool) -> Option<String> {
    match app.gate.sign_ins().rotate(id, Timestamp::now()).await {
        Ok(fresh) => {
            let (value, until) = fresh?;
            Some(sign_ins::cookie(&app.gate, is_secure, &value, until))
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "a cookie could not be replaced");
            None
        }
    }
}

/// Only a request without a connection has no peer.
pub(super) fn peer(extensions: &Extensions) -> Peer {
    extensions.get::<Peer>().copied().unwrap_or(NOBODY)
}

/// The fault of a handler that panicked. Its words are the log's.
pub(super) fn broken(panic: &(dyn Any + Send)) -> Fault {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Fault::internal(format!("a panic: {}", text.unwrap_or("without words")))
}

/// Lets the caller in, if the route wants one.
fn admit(app: &App, route: &Route, parts: &mut Parts) -> Result<Option<Caller>, Fault> {
    let scope = match route.access {
        Access::Open => return Ok(None),
        Access::Caller | Access::Administrator => None,
        Access::Scope(scope) => Some(scope),
    };
    let caller = match parts.extensions.get::<Vouched>() {
        Some(Vouched(caller)) => caller.clone(),
        None => {
            match Manner::of(route) {
                Manner::Anthropic => credential::move_key(&mut parts.headers),
                Manner::Ttyd => credential::move_password(&mut parts.headers),
                _ => {}
            }
            app.gate.admit(peer(&parts.extensions), &parts.headers)?
        }
    };
    if let Some(hold) = parts.extensions.get::<Hold>() {
        hold.claim(&caller.who)?;
    }
    match scope {
        Some(scope) if !caller.scopes.allows(scope) => Err(Fault::scope_missing(scope)),
        None if route.access == Access::Administrator && !caller.is_administrator() => {
            Err(Fault::everything_missing())
        }
        _ => Ok(Some(caller)),
    }
}

/// How many bytes a body is said to have.
fn announced(parts: &Parts) -> Option<usize> {
    let value = parts.headers.get(CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// A body that is passed on as it comes, so that none has to be held.
async fn pass_on(body: Body, parts: &Parts, most: u64, limits: Limits) -> Result<Upload, Fault> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if announced(parts).is_some_and(|length| length > most) {
        return Err(refuse(body, most).await);
    }
    Ok(Upload::new(pieces(body, limits.body_piece)))
}

/// The pieces of a body as they come, each within a time.
pub(super) fn pieces(
    body: Body,
    within: Duration,
) -> impl Stream<Item = Result<Bytes, Fault>> + Send + 'static {
    stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match next(&mut body, within).await {
            Ok(Some(piece)) => Some((Ok(piece), Some(body))),
            Ok(None) => None,
            Err(fault) => Some((Err(fault), None)),
        }
    })
}

pub(super) async fn read(
    body: Body,
    parts: &Parts,
    limit: usize,
    limits: Limits,
) -> Result<Bytes, Fault> {
    let mut coming = Coming::begin(body, parts, limit, limits).await?;
    coming.read_to(usize::MAX).await?;
    Ok(coming.whole.freeze())
}

/// A body on its way, which has a limit and a time.
pub(super) struct Coming {
    body: Body,
    /// What has come of it.
    pub(super) whole: BytesMut,
    limit: usize,
    limits: Limits,
    until: Instant,
}

impl Coming {
    /// Refuses a body that is said to be too long, and reads nothing of another.
    pub(super) async fn begin(
        body: Body,
        parts: &Parts,
        limit: usize,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let announced = announced(parts);
        if announced.is_some_and(|length| length > limit) {
            return Err(refuse(body, limit).await);
        }
        Ok(Self {
            body,
            whole: BytesMut::with_capacity(announced.unwrap_or(0).min(64 * 1024)),
            limit,
            limits,
            until: Instant::now() + limits.body,
        })
    }

    /// Reads until more than so many bytes are there. Returns whether the body ended before.
    pub(super) async fn read_to(&mut self, enough: usize) -> Result<bool, Fault> {
        let reading = async {
            while self.whole.len() <= enough {
                let Some(piece) = next(&mut self.body, self.limits.body_piece).await? else {
                    return Ok(Some(true));
                };
                if self.whole.len() + piece.len() > self.limit {
                    return Ok(None);
                }
                self.whole.extend_from_slice(&piece);
            }
            Ok(Some(false))
        };
        let read = timeout_at(self.until, reading).await;
        match read.map_err(|_| late(self.limits.body))?? {
            Some(is_over) => Ok(is_over),
            None => Err(refuse(std::mem::take(&mut self.body), self.limit).await),
        }
    }

    /// Reads some more of what is not wanted, so that the client gets to read why.
    pub(super) async fn discard(self) {
        discard(self.body).await;
    }
}

async fn next(body: &mut Body, within: Duration) -> Result<Option<Bytes>, Fault> {
    loop {
        match timeout(within, body.frame()).await {
            Err(_) => return Err(late(within)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => {
                return Err(Fault::new(Code::RequestTimeout, "the body broke off").because(error));
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn late(within: Duration) -> Fault {
    Fault::new(
        Code::RequestTimeout,
        format!(
            "the body did not arrive within {} seconds",
            within.as_secs()
        ),
    )
}

/// Refuses a body.
async fn refuse(body: Body, limit: usize) -> Fault {
    discard(body).await;
    Fault::new(
        Code::TooLarge,
        format!("the body has more than {limit} bytes"),
    )
}

/// Reads some more of a body that is refused: a connection that is closed while the client still
/// sends is reset, and then the client never sees the answer.
async fn discard(mut body: Body) {
    let discarding = async {
        let mut left = DISCARD;
        while let Ok(Some(piece)) = next(&mut body, DISCARD_TIME).await {
            let Some(rest) = left.checked_sub(piece.len()) else {
                break;
            };
            left = rest;
        }
    };
    // What does not end in time is reset.
    let _ = timeout(DISCARD_TIME, discarding).await;
}
