//! A request on its way in: who asks, may they, what do they say.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, RawPathParams, Request, WebSocketUpgrade};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::limits::{DISCARD, DISCARD_TIME, Limits};
use super::server::Hold;
use super::{reply, websocket};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::address::Peer;
use crate::fault::{Code, Fault};
use crate::routes::call::{Call, Query, Reply};
use crate::routes::{Access, Answer, Route, Verb};

/// The peer of a request that came by no connection: one that is trusted with nothing.
const NOBODY: Peer = Peer {
    ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    is_own: true,
};

/// Serves one request of one route.
pub(super) async fn serve(
    app: Arc<App>,
    route: &'static Route,
    limits: Limits,
    request: Request,
) -> Response {
    let metrics = Arc::clone(&app.metrics);
    let (mut parts, body) = request.into_parts();
    // A handler that panics is a fault of the box and no cut connection.
    let attended = AssertUnwindSafe(attend(app, route, limits, &mut parts, body)).catch_unwind();
    let response = match attended.await.unwrap_or_else(|panic| Err(broken(&*panic))) {
        Ok(response) => response,
        Err(fault) => {
            fault.log(route.name);
            reply::fault(&fault)
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
    parts: &mut Parts,
    body: Body,
) -> Result<Response, Fault> {
    let query = Query::parse(parts.uri.query().unwrap_or_default(), route.query);
    let caller = admit(&app, route, parts)?;
    let query = query?;
    let upgrade = match route.answer {
        Answer::Socket => Some(
            WebSocketUpgrade::from_request_parts(parts, &())
                .await
                .map_err(|_| reply::upgrade_required())?,
        ),
        _ => None,
    };
    let body = match &route.body {
        Some(expected) => read(body, parts, expected.limit, limits).await?,
        None => Bytes::new(),
    };
    let path = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|error| Fault::new(Code::BadValue, error.to_string()))?
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let hold = parts.extensions.get::<Hold>().cloned();
    let call = Call {
        app,
        caller,
        path,
        query,
        headers: std::mem::take(&mut parts.headers),
        body,
    };
    match ((route.handler)(call).await?, upgrade) {
        (Reply::Socket(conversation), Some(upgrade)) => {
            Ok(websocket::accept(upgrade, *conversation, hold))
        }
        (answer, _) => Ok(reply::reply(answer)),
    }
}

/// The fault of a handler that panicked. Its words are the log's.
fn broken(panic: &(dyn Any + Send)) -> Fault {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Fault::internal(format!("a panic: {}", text.unwrap_or("without words")))
}

/// Lets the caller in, if the route wants one.
fn admit(app: &App, route: &Route, parts: &Parts) -> Result<Option<Caller>, Fault> {
    let scope = match route.access {
        Access::Open => return Ok(None),
        Access::Caller => None,
        Access::Scope(scope) => Some(scope),
    };
    // Only a request without a connection has no peer.
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or(NOBODY);
    let caller = app.gate.admit(peer, &parts.headers)?;
    if let Some(hold) = parts.extensions.get::<Hold>() {
        hold.claim(&caller.who)?;
    }
    match scope {
        Some(scope) if !caller.scopes.allows(scope) => Err(Fault::scope_missing(scope)),
        _ => Ok(Some(caller)),
    }
}

async fn read(mut body: Body, parts: &Parts, limit: usize, limits: Limits) -> Result<Bytes, Fault> {
    let announced = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(refuse(body, limit).await);
    }
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(64 * 1024));
    let reading = async {
        while let Some(piece) = next(&mut body, limits.body_piece).await? {
            if whole.len() + piece.len() > limit {
                return Ok(false);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(true)
    };
    let fits = timeout(limits.body, reading)
        .await
        .map_err(|_| late(limits.body))??;
    if fits {
        Ok(whole.freeze())
    } else {
        Err(refuse(body, limit).await)
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

/// Refuses a body, after reading some more of it: a connection that is closed while the client
/// still sends is reset, and then the client never sees the answer.
async fn refuse(mut body: Body, limit: usize) -> Fault {
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
    Fault::new(
        Code::TooLarge,
        format!("the body has more than {limit} bytes"),
    )
}
