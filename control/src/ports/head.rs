//! What passes of a request's and an answer's head between a browser and what listens on a port.
//!
//! Both sides are spelt out by what passes, and not by what is kept: a proxy in front of the box
//! says who somebody is in headers of its own, and a browser obeys more headers each year. What
//! listens there learns of a browser what it needs to answer it, and can tell it how to show the
//! answer and nothing about the box.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
    CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ETAG, HOST,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, LOCATION, ORIGIN, PRAGMA, RANGE, REFERRER_POLICY,
    RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Uri};

use crate::auth::credential;
use crate::fault::{Code, Fault};

/// What a path begins with below which opened ports are.
const BELOW: &str = "/ports/";

/// What the label of a name begins with that is an opened port's.
const LABEL: &str = "p-";

/// Digits of a capability.
const DIGITS: usize = 32;

/// What passes of a request.
static ASKED: [HeaderName; 24] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    PRAGMA,
    RANGE,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    USER_AGENT,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("x-requested-with"),
];

/// What passes of an answer.
static ANSWERED: [HeaderName; 17] = [
    ACCEPT_RANGES,
    ALLOW,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    LAST_MODIFIED,
    RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL,
    VARY,
    HeaderName::from_static("sourcemap"),
    HeaderName::from_static("x-sourcemap"),
];

/// What a page from a port may do: run its scripts, and load from where it came. A page of an
/// origin of its own may have storage besides.
macro_rules! policy {
    ($more:literal) => {
        HeaderValue::from_static(concat!(
            "sandbox allow-scripts allow-forms allow-modals",
            $more,
            "; default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'self'; \
             base-uri 'self'; frame-ancestors 'none'"
        ))
    };
}
const NOBODYS: HeaderValue = policy!("");
const ITS_OWN: HeaderValue = policy!(" allow-same-origin");

/// The path of an opened port.
#[must_use]
pub fn path(port: u16, capability: &str) -> String {
    format!("{BELOW}{port}/{capability}/")
}

/// The label of its name.
#[must_use]
pub fn label(capability: &str) -> String {
    format!("{LABEL}{capability}")
}

/// What of an opened port a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// What opens it.
    pub capability: String,
    /// The port that the path names; a name names none.
    pub port: Option<u16>,
    /// The path and the query as what listens there sees them; nothing where the path ends
    /// before its slash.
    pub target: Option<String>,
    /// What its paths have in front of them for the browser.
    prefix: String,
    /// The name under which the browser asked.
    host: Option<HeaderValue>,
}

impl Door {
    /// What a request is for, if it is for an opened port: by its name, which is then no name of
    /// the box, or by its path.
    #[must_use]
    pub fn find(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let host = headers.get(HOST);
        let name = host.and_then(|host| host.to_str().ok());
        let name = name.or_else(|| uri.host()).unwrap_or_default();
        let query = uri
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        if let Some(capability) = by_name(name) {
            return Some(Self {
                capability,
                port: None,
                target: Some(format!("{}{query}", uri.path())),
                prefix: String::new(),
                host: host.cloned(),
            });
        }
        let (port, rest) = uri.path().strip_prefix(BELOW)?.split_once('/')?;
        let port = port.parse().ok()?;
        let (capability, rest) = match rest.split_once('/') {
            Some((capability, rest)) => (capability, Some(format!("/{rest}{query}"))),
            None => (rest, None),
        };
        is_capability(capability).then(|| Self {
            capability: capability.to_owned(),
            port: Some(port),
            target: rest,
            prefix: format!("{BELOW}{port}/{capability}"),
            host: host.cloned(),
        })
    }

    /// Whether the request came by a name of the port's own.
    #[must_use]
    pub fn is_by_name(&self) -> bool {
        self.port.is_none()
    }

    /// Where the path begins that ends before its slash.
    #[must_use]
    pub fn beginning(&self) -> String {
        format!("{}/", self.prefix)
    }

    /// Refuses what no page from the port itself, and no person who opens it, would ask.
    ///
    /// # Errors
    /// [`Code::MethodNotAllowed`], [`Code::BadValue`] or [`Code::CrossOrigin`].
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Fault> {
        if matches!(*method, Method::CONNECT | Method::TRACE) {
            return Err(Fault::new(
                Code::MethodNotAllowed,
                format!("{method} is not for ports"),
            ));
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if headers.contains_key("service-worker") || text("sec-fetch-dest") == Some("serviceworker")
        {
            let detail = "a service worker would outlive what it belongs to";
            return Err(Fault::new(Code::BadValue, detail));
        }
        let is_foreign = if self.is_by_name() {
            // The first look comes from a page of the box, which has another name.
            let navigates = text("sec-fetch-mode") == Some("navigate") && *method == Method::GET;
            !navigates && credential::is_cross_origin(headers)
        } else {
            // What has an origin that is nobody's says so. And no page of the box itself has a
            // reason to load what the agent serves, least of all as a script.
            headers.get(ORIGIN).is_some_and(|origin| origin != "null") || is_of_the_box(headers)
        };
        if is_foreign {
            let detail = "a page of another origin asked for what listens on a port";
            return Err(Fault::new(Code::CrossOrigin, detail));
        }
        Ok(())
    }

    /// The answer to a browser that asks whether a page of nobody's origin may ask something: it
    /// may, of its own port. Nothing for any other request.
    #[must_use]
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<HeaderMap> {
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if *method != Method::OPTIONS || self.is_by_name() {
            return None;
        }
        let mut answer = HeaderMap::new();
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
        if let Some(names) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        self.rule(&mut answer);
        Some(answer)
    }

    /// The head of a request as what listens on the port gets it.
    #[must_use]
    pub fn request(&self, port: u16, asked: &HeaderMap, is_secure: bool) -> HeaderMap {
        let mut head = passing(asked, &ASKED);
        // Servers for developing look whether they are asked as themselves.
        let own = format!("localhost:{port}");
        put(&mut head, HOST, &own);
        if asked.contains_key(ORIGIN) {
            put(&mut head, ORIGIN, &format!("http://{own}"));
        }
        let forwarded = HeaderName::from_static;
        if let Some(host) = &self.host {
            head.insert(forwarded("x-forwarded-host"), host.clone());
        }
        let scheme = if is_secure { "https" } else { "http" };
        put(&mut head, forwarded("x-forwarded-proto"), scheme);
        if !self.prefix.is_empty() {
            put(&mut head, forwarded("x-forwarded-prefix"), &self.prefix);
        }
        let protocols: Vec<_> = credential::subprotocols(asked)
            .filter(|word| {
                !word.starts_with(credential::SUBPROTOCOL)
                    && !word.starts_with(credential::PROOF_SUBPROTOCOL)
            })
            .collect();
        if !protocols.is_empty() {
            put(&mut head, SEC_WEBSOCKET_PROTOCOL, &protocols.join(", "));
        }
        if is_upgrade(asked) {
            head.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            head.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        head
    }

    /// The head of an answer as the browser gets it.
    #[must_use]
    pub fn answer(&self, port: u16, said: &HeaderMap) -> HeaderMap {
        let mut head = passing(said, &ANSWERED);
        let location = said.get(LOCATION).and_then(|value| value.to_str().ok());
        if let Some(location) = location {
            put(&mut head, LOCATION, &self.location(port, location));
        }
        self.rule(&mut head);
        head
    }

    /// Where an answer leads, as the browser has to ask for it.
    fn location(&self, port: u16, said: &str) -> String {
        let own = ["localhost", "127.0.0.1", "[::1]"];
        let absolute = own.iter().find_map(|name| {
            let rest = said.strip_prefix(&format!("http://{name}:{port}"))?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        });
        match absolute {
            Some("") => self.beginning(),
            Some(rest) => format!("{}{rest}", self.prefix),
            None if said.starts_with('/') && !said.starts_with("//") => {
                format!("{}{said}", self.prefix)
            }
            None => said.to_owned(),
        }
    }

    /// The rules under which a browser takes an answer, whatever it is.
    pub fn rule(&self, head: &mut HeaderMap) {
        let named = HeaderName::from_static;
        let fixed = HeaderValue::from_static;
        head.insert(CACHE_CONTROL, fixed("no-store"));
        head.insert(X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
        head.insert(REFERRER_POLICY, fixed("same-origin"));
        head.insert(named("x-dns-prefetch-control"), fixed("off"));
        head.insert(
            named("permissions-policy"),
            fixed(
                "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), \
                 usb=(), serial=(), hid=(), clipboard-read=(), publickey-credentials-get=()",
            ),
        );
        let by_name = self.is_by_name();
        head.insert(
            CONTENT_SECURITY_POLICY,
            if by_name { ITS_OWN } else { NOBODYS },
        );
        let resources = if by_name {
            "same-origin"
        } else {
            "cross-origin"
        };
        head.insert(named("cross-origin-resource-policy"), fixed(resources));
        if !by_name {
            head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, fixed("null"));
            head.insert(ACCESS_CONTROL_EXPOSE_HEADERS, fixed("*"));
        }
    }
}

/// Whether a page of the box itself loads something, other than by leading to it. Browsers say so; on
/// an address without TLS they do not, but send the box's cookie along, which they send for no page
/// of another origin.
fn is_of_the_box(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some("same-origin" | "same-site") => text("sec-fetch-mode") != Some("navigate"),
        Some(_) => false,
        None => {
            let leads = text("accept").is_some_and(|accept| accept.contains("text/html"));
            !leads && has_cookie(headers)
        }
    }
}

/// Whether there is a cookie that is a box's by its name.
fn has_cookie(headers: &HeaderMap) -> bool {
    let all = headers.get_all(COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .any(|pair| pair.starts_with("cib-") || pair.starts_with("__Host-cib-"))
}

/// Whether a request wants a WebSocket.
#[must_use]
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

fn by_name(host: &str) -> Option<String> {
    let (label, _) = host.split_once('.')?;
    let label = label.to_ascii_lowercase();
    let capability = label.strip_prefix(LABEL)?;
    is_capability(capability).then(|| capability.to_owned())
}

fn is_capability(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == DIGITS && text.bytes().all(is_digit)
}

fn passing(all: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut head = HeaderMap::new();
    for name in names {
        for value in all.get_all(name) {
            head.append(name.clone(), value.clone());
        }
    }
    head
}

/// Sets what can be set; a text that no header can hold is left out.
fn put(head: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        head.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
