//! Where a token stands in a request's headers, and what says that a browser page of another
//! origin made the request.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

/// What a subprotocol that carries a token begins with. Browsers cannot set `Authorization`
/// on a WebSocket.
pub const SUBPROTOCOL: &str = "bearer.";

/// The token of a request: `Authorization: Bearer`, else a subprotocol `bearer.<token>`.
#[must_use]
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim_matches(' '))
    });
    header.or_else(|| subprotocols(headers).find_map(|protocol| protocol.strip_prefix(SUBPROTOCOL)))
}

/// The subprotocols that a client offers, in its order.
pub fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether a page of another origin made the request, as browsers say it. It matters where no
/// token is asked for, because a browser adds everything else by itself.
#[must_use]
pub fn is_cross_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, authority)| authority);
    authority.is_none() || authority != text(HOST.as_str())
}

/// Whether the request was addressed to this machine by a name that only it can have. A name
/// that an attacker's DNS points at 127.0.0.1 is not one.
#[must_use]
pub fn is_for_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    value.parse().expect("the test's own header"),
                )
            })
            .collect()
    }

    #[test]
    fn a_token_is_found_in_either_place_and_the_header_wins() {
        assert_eq!(
            token(&headers(&[("authorization", "bearer abc")])),
            Some("abc")
        );
        assert_eq!(token(&headers(&[("authorization", "Basic abc")])), None);
        let offered = ("sec-websocket-protocol", "json, bearer.t0k");
        assert_eq!(token(&headers(&[offered])), Some("t0k"));
        assert_eq!(
            token(&headers(&[offered, ("authorization", "Bearer abc")])),
            Some("abc")
        );
        assert_eq!(token(&headers(&[])), None);
    }

    #[test]
    fn a_page_of_another_origin_is_recognised() {
        let host = ("host", "box.example:8080");
        assert!(!is_cross_origin(&headers(&[host])));
        assert!(!is_cross_origin(&headers(&[
            host,
            ("origin", "http://box.example:8080")
        ])));
        assert!(is_cross_origin(&headers(&[
            host,
            ("origin", "http://box.example")
        ])));
        assert!(is_cross_origin(&headers(&[
            host,
            ("origin", "https://evil.example")
        ])));
        assert!(is_cross_origin(&headers(&[host, ("origin", "null")])));
        assert!(is_cross_origin(&headers(&[
            host,
            ("sec-fetch-site", "cross-site")
        ])));
        assert!(!is_cross_origin(&headers(&[
            host,
            ("sec-fetch-site", "same-origin")
        ])));
    }

    #[test]
    fn only_loopback_names_are_for_loopback() {
        for good in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "127.1.2.3",
        ] {
            assert!(is_for_loopback(&headers(&[("host", good)])), "{good}");
        }
        for bad in [
            "rebound.example",
            "box:8080",
            "192.0.2.1",
            "localhost.evil.example",
            "",
        ] {
            assert!(!is_for_loopback(&headers(&[("host", bad)])), "{bad}");
        }
        assert!(!is_for_loopback(&headers(&[])));
    }
}
