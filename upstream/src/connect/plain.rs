//! Requests that are not tunnelled: `GET http://host/path`, as apt and curl send them to an
//! `http_proxy`.

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::uri::{PathAndQuery, Scheme as UriScheme};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;

use super::bridge::{Body, Bridge, Fault};
use crate::client::{DialError, Target, basic_credentials};
use crate::url::Scheme;

/// Headers that are meant for the next hop alone (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    UPGRADE,
];

/// Carries one request and its answer. The far connection is used once.
pub(super) async fn forward(
    bridge: &Bridge,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Fault> {
    let target = target(request.uri())?;
    bridge.check(&target)?;
    strip(request.headers_mut());
    let upstream = bridge.dialer.upstream();
    let is_http = upstream.scheme() == Scheme::Http;
    let stream = if is_http {
        // An HTTP proxy takes the request as it is, and many refuse CONNECT to port 80.
        if let Some(credentials) = upstream.credentials()
            && let Ok(mut value) = HeaderValue::from_str(&basic_credentials(credentials))
        {
            value.set_sensitive(true);
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        bridge.dialer.reach().await
    } else {
        to_origin_form(&mut request);
        bridge.dialer.connect(&target).await
    };
    let stream = TokioIo::new(stream.map_err(Fault::Dial)?);
    request
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) = http1::handshake(stream).await.map_err(Fault::Broken)?;
    tokio::spawn(connection);
    let mut response = sender.send_request(request).await.map_err(Fault::Broken)?;
    if is_http && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        let upstream_at = upstream.endpoint().clone();
        return Err(Fault::Dial(match upstream.credentials() {
            Some(_) => DialError::AuthRefused {
                upstream: upstream_at,
            },
            None => DialError::AuthRequired {
                upstream: upstream_at,
            },
        }));
    }
    strip(response.headers_mut());
    Ok(response.map(Either::Right))
}

fn target(uri: &Uri) -> Result<Target, Fault> {
    match uri.scheme() {
        Some(scheme) if *scheme == UriScheme::HTTP => {}
        Some(_) => return Err(Fault::Malformed("a scheme that needs CONNECT")),
        None => return Err(Fault::Malformed("no host")),
    }
    let host = uri.host().ok_or(Fault::Malformed("no host"))?;
    Target::new(host, uri.port_u16().unwrap_or(80))
        .map_err(|_| Fault::Malformed("a host that is neither a name nor an address"))
}

/// `GET http://host/path` becomes `GET /path` with a Host header that says the same
/// (RFC 9112, section 3.2.2).
fn to_origin_form(request: &mut Request<Incoming>) {
    let uri = request.uri();
    let authority = uri.authority().map(|authority| {
        let text = authority.as_str();
        text.rsplit_once('@')
            .map_or(text, |(_, host)| host)
            .to_owned()
    });
    if let Some(host) = authority.and_then(|host| HeaderValue::from_str(&host).ok()) {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
        .into();
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named) {
        // hyper reads and writes the one that frames the body.
        if name != TRANSFER_ENCODING {
            headers.remove(name);
        }
    }
}
