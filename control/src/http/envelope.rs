//! A sealed request, put to the routes, and its answer sealed.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use cib_envelope::MEDIA;
use futures_util::TryStreamExt;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tower::ServiceExt as _;

use super::held::Hold;
use super::reply;
use super::request::Vouched;
use crate::app::App;
use crate::auth::address::Peer;
use crate::auth::gate::Arrival;
use crate::envelope::{Asked, Sealed, answer};
use crate::fault::{Code, Fault};
use crate::routes::call::Reply;

/// Bytes of an answer that is sealed in one piece; a longer one is sealed as it comes.
const WHOLE: u64 = 64 * 1024;

/// Answers a request that came sealed.
pub(super) async fn answer(
    app: &Arc<App>,
    mut sealed: Sealed,
    inner: Router,
    arrival: Arrival,
    peer: Peer,
    hold: Option<Hold>,
) -> Response {
    let asked = std::mem::replace(&mut sealed.asked, Err(Fault::internal("it is answered")));
    let response = match asked.and_then(|asked| request(asked, arrival, peer, hold)) {
        Ok(request) => match inner.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(fault) => reply::fault(&fault),
    };
    seal(app, &sealed, response).await
}

/// The request as one that came in the clear, with who makes it.
pub(super) fn request(
    asked: Asked,
    arrival: Arrival,
    peer: Peer,
    hold: Option<Hold>,
) -> Result<Request<Body>, Fault> {
    let request = Request::builder()
        .method(asked.method.as_str())
        .uri(asked.target)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(asked.body));
    let mut request = request
        .map_err(|error| Fault::new(Code::BadRecord, "its target is none").because(error))?;
    let extensions = request.extensions_mut();
    extensions.insert(Vouched(asked.caller));
    extensions.insert(arrival);
    extensions.insert(peer);
    if let Some(hold) = hold {
        extensions.insert(hold);
    }
    Ok(request)
}

async fn seal(app: &Arc<App>, sealed: &Sealed, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let status = parts.status.as_u16();
    let media = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_stream = media == Some(b"text/event-stream") && parts.status == StatusCode::OK;
    if !is_stream && body.size_hint().exact().is_some_and(|size| size <= WHOLE) {
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let whole = body
            .map_err(Fault::internal)
            .and_then(|body| answer::whole(sealed, status, &body).map_err(Fault::internal));
        return match whole {
            Ok(bytes) => reply::reply(Reply::Bytes {
                status: StatusCode::OK,
                media: MEDIA,
                bytes,
            }),
            Err(fault) => reply::fault(&fault),
        };
    }
    let pieces = Box::pin(TryStreamExt::map_err(body.into_data_stream(), Into::into));
    if is_stream {
        reply::pieces(
            MEDIA,
            Body::from_stream(answer::events(sealed, app, pieces)),
        )
    } else {
        reply::pieces(
            MEDIA,
            Body::from_stream(answer::body(sealed, status, pieces)),
        )
    }
}
