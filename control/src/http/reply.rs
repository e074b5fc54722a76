//! Answers as HTTP responses.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER,
    SET_COOKIE, UPGRADE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use cib_protocol::api::ErrorBody;

use super::places::too_many;
use crate::fault::{Code, Fault};
use crate::routes::call::Reply;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What nginx calls the header that keeps it from collecting a stream before passing it on.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A handler's answer. WebSockets are answered elsewhere.
pub(super) fn reply(reply: Reply) -> Response {
    match reply {
        Reply::Json(json) => json_response(StatusCode::OK, json),
        Reply::Partial(json) => json_response(StatusCode::REQUEST_TIMEOUT, json),
        Reply::Created { location, json } => {
            let mut response = json_response(StatusCode::CREATED, json);
            if let Ok(location) = HeaderValue::try_from(location) {
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }
        Reply::Nothing => respond(StatusCode::NO_CONTENT, None, Body::empty()),
        Reply::Text { media, text } => respond(
            StatusCode::OK,
            Some(HeaderValue::from_static(media)),
            text.into(),
        ),
        Reply::Page { status, html } => {
            let media = HeaderValue::from_static("text/html; charset=utf-8");
            respond(status, Some(media), html.into())
        }
        Reply::Chunks { media, chunks } => pieces(media, Body::from_stream(chunks)),
        Reply::Socket(_) | Reply::Feed(_) | Reply::SealedSocket => fault(&upgrade_required()),
        Reply::Cookie {
            reply: inner,
            cookie,
        } => {
            let mut response = self::reply(*inner);
            set_cookie(&mut response, &cookie);
            response
        }
        Reply::File {
            status,
            length,
            pieces,
        } => {
            // Whatever it is: to a browser it is bytes.
            let media = HeaderValue::from_static("application/octet-stream");
            let mut response = respond(status, Some(media), Body::from_stream(pieces));
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
            response
        }
        Reply::Bytes {
            status,
            media,
            bytes,
        } => respond(status, Some(HeaderValue::from_static(media)), bytes.into()),
        Reply::Sealed(_) => fault(&Fault::internal("a sealed request inside of another")),
        Reply::Unchanged => respond(StatusCode::NOT_MODIFIED, None, Body::empty()),
        Reply::With(inner, more) => {
            let mut response = self::reply(*inner);
            response.headers_mut().extend(more);
            response
        }
    }
}

/// 200 with a body that comes piece by piece, through whatever stands in between.
pub(super) fn pieces(media: &'static str, body: Body) -> Response {
    let mut response = respond(StatusCode::OK, Some(HeaderValue::from_static(media)), body);
    let unbuffered = HeaderValue::from_static("no");
    response.headers_mut().insert(UNBUFFERED, unbuffered);
    response
}

/// Adds a cookie to an answer.
pub(super) fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// A fault's answer.
pub(super) fn fault(fault: &Fault) -> Response {
    let body = ErrorBody {
        error: fault.code().as_str().to_owned(),
        detail: fault.detail().to_owned(),
    };
    refusal(fault, serde_json::to_vec(&body).unwrap_or_default())
}

/// A fault's answer in the words of another's protocol.
pub(super) fn words(fault: &Fault, media: &'static str, words: Vec<u8>) -> Response {
    let mut response = refusal(fault, words);
    let media = HeaderValue::from_static(media);
    response.headers_mut().insert(CONTENT_TYPE, media);
    response
}

fn refusal(fault: &Fault, json: Vec<u8>) -> Response {
    let mut response = json_response(fault.code().status(), json);
    let headers = response.headers_mut();
    match fault.code() {
        Code::Unauthorized => {
            let bearer = HeaderValue::from_static("Bearer realm=\"claude-in-box\"");
            headers.insert(WWW_AUTHENTICATE, bearer);
        }
        Code::UpgradeRequired => {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        // The place is wanted, or the peer guesses: it has to come anew.
        Code::TooManyConnections | Code::TooManyAttempts => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    if let Some(seconds) = fault.retry_after_seconds() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The fault of a request that does not ask for the WebSocket that it could have.
pub(super) fn upgrade_required() -> Fault {
    Fault::new(
        Code::UpgradeRequired,
        "this route speaks WebSocket, version 13, only",
    )
}

/// A whole response for a connection that is not served.
pub(super) fn overloaded() -> Vec<u8> {
    let fault = too_many();
    let body = ErrorBody {
        error: fault.code().as_str().to_owned(),
        detail: fault.detail().to_owned(),
    };
    let json = serde_json::to_string(&body).unwrap_or_default();
    let status = fault.code().status();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{json}",
        json.len()
    )
    .into_bytes()
}

fn json_response(status: StatusCode, json: Vec<u8>) -> Response {
    respond(status, Some(JSON), json.into())
}

/// Nothing that the API says may be kept by a cache or guessed at by a browser.
fn respond(status: StatusCode, media: Option<HeaderValue>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(media) = media {
        headers.insert(CONTENT_TYPE, media);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    response
}
