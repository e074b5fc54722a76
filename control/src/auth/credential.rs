//! Where a token or a proof stands in a request's headers, and what says that a browser page of another
//! origin made the request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE};

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

/// The header in which clients of Anthropic's API send their key.
const KEY: &str = "x-api-key";

/// Takes the key of a client of Anthropic's API for the token that it is, if there is no other.
pub fn move_key(headers: &mut HeaderMap) {
    if headers.contains_key(AUTHORIZATION) {
        return;
    }
    let Some(key) = headers.remove(KEY) else {
        return;
    };
    let bearer = [b"Bearer ", key.as_bytes()].concat();
    if let Ok(mut bearer) = http::HeaderValue::from_bytes(&bearer) {
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
}

/// Takes the password of a client of ttyd's for the token that it is, whatever the name with it. A
/// page of another origin has a browser send one by itself.
pub fn move_password(headers: &mut HeaderMap) {
    if is_cross_origin(headers) {
        return;
    }
    let Some(token) = password(headers) else {
        return;
    };
    if let Ok(mut bearer) = http::HeaderValue::try_from(format!("Bearer {token}")) {
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
}

fn password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, pair) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(pair.trim_matches(' ')).ok()?).ok()?;
    let (_, password) = pair.split_once(':')?;
    Some(password.to_owned())
}

/// What a subprotocol that carries the proof of a sign-in begins with.
pub const PROOF_SUBPROTOCOL: &str = "proof.";

/// The header in which a page sends the proof of a sign-in.
pub const PROOF: &str = "x-cib-proof";

/// The proof of a request: `X-CIB-Proof`, else a subprotocol `proof.<proof>`.
#[must_use]
pub fn proof(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(PROOF).and_then(|value| value.to_str().ok());
    header.or_else(|| {
        subprotocols(headers).find_map(|protocol| protocol.strip_prefix(PROOF_SUBPROTOCOL))
    })
}

/// The values of the cookies with a name. There may be several: what listens on another port of
/// the host can set some, for paths of its own.
pub fn cookies<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(move |pair| {
            let (found, value) = pair.trim().split_once('=')?;
            (found == name).then_some(value)
        })
}

/// Whether a request of a page with a cookie comes from a page of this origin, as browsers say
/// it. A WebSocket is opened without asking this server first, so its handshake has to say so.
#[must_use]
pub fn is_of_this_origin(headers: &HeaderMap) -> bool {
    let says = !headers.contains_key(UPGRADE) || headers.contains_key(ORIGIN);
    says && !is_cross_origin(headers)
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
    fn a_key_is_a_token_where_there_is_no_other() {
        let moved = |pairs| {
            let mut sent = headers(pairs);
            move_key(&mut sent);
            token(&sent).map(str::to_owned)
        };
        assert_eq!(moved(&[(KEY, "abc")]).as_deref(), Some("abc"));
        let both = [(KEY, "abc"), ("authorization", "Bearer def")];
        assert_eq!(moved(&both).as_deref(), Some("def"));
        assert_eq!(moved(&[]), None);
    }

    #[test]
    fn a_password_is_a_token_unless_a_page_of_another_origin_sends_it() {
        let moved = |pairs: &[(&'static str, &str)]| {
            let mut sent = headers(pairs);
            move_password(&mut sent);
            token(&sent).map(str::to_owned)
        };
        let pair = format!("Basic {}", STANDARD.encode("me:to:ken"));
        let basic = ("authorization", &*pair);
        assert_eq!(moved(&[basic]).as_deref(), Some("to:ken"));
        let evil = [basic, ("host", "box"), ("origin", "https://evil.example")];
        assert_eq!(moved(&evil), None);
        let line = format!("Basic {}", STANDARD.encode("me:a\nb"));
        assert_eq!(moved(&[("authorization", &line)]), None);
        assert_eq!(moved(&[("authorization", "Basic ??")]), None);
        assert_eq!(
            moved(&[("authorization", "Bearer x")]).as_deref(),
            Some("x")
        );
    }

    #[test]
    fn every_cookie_of_a_name_is_found_and_no_other() {
        let sent = headers(&[(
            "cookie",
            "a=1; cib-0a=x;cib-0a=y ; xcib-0a=z; cib-0A=q; cib-0a",
        )]);
        assert_eq!(cookies(&sent, "cib-0a").collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn a_socket_has_to_say_where_its_page_is_from() {
        let upgrade = ("upgrade", "websocket");
        let host = ("host", "box.example:8080");
        assert!(is_of_this_origin(&headers(&[host])));
        assert!(!is_of_this_origin(&headers(&[host, upgrade])));
        let origin = |text| headers(&[host, upgrade, ("origin", text)]);
        assert!(is_of_this_origin(&origin("http://box.example:8080")));
        assert!(!is_of_this_origin(&origin("http://box.example:8081")));
        assert!(!is_of_this_origin(&origin("null")));
    }

    #[test]
    fn a_proof_is_taken_from_its_header_before_a_subprotocol() {
        let offered = ("sec-websocket-protocol", "json, proof.abc");
        assert_eq!(proof(&headers(&[offered])), Some("abc"));
        assert_eq!(proof(&headers(&[offered, (PROOF, "def")])), Some("def"));
        assert_eq!(proof(&headers(&[])), None);
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
