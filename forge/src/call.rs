//! One call to a forge's API.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use cib_https::{Body, Client};
use cib_protocol::forge::ForgeKind;
use cib_protocol::secret::Secret;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::error::ForgeError;
use crate::json;
use crate::words::Rate;

/// What the box calls itself; GitHub answers nobody without a name.
const AGENT: &str = concat!("claude-in-box/", env!("CARGO_PKG_VERSION"));

/// How often a call is led elsewhere, at most.
const REDIRECTS: usize = 3;

/// How long is waited where a forge does not say how long.
const PAUSE: u64 = 60;

/// The longest that is believed.
const LONGEST: u64 = 24 * 60 * 60;

/// A forge's API, and what is known of its limits.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) kind: ForgeKind,
    pub(crate) host: String,
    /// Scheme and authority of the API.
    pub(crate) origin: String,
    /// What stands in front of every path of REST.
    pub(crate) base: &'static str,
    pub(crate) token: Option<Secret>,
    https: Arc<Client>,
    /// Whoever changes something holds this: forges want one at a time.
    one: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// No call is taken before; seconds since 1970.
    until: u64,
    rate: Option<Rate>,
}

/// An answer that is a success.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) bytes: Bytes,
}

impl Line {
    pub(crate) fn new(
        kind: ForgeKind,
        host: String,
        origin: String,
        base: &'static str,
        token: Option<Secret>,
        https: Arc<Client>,
    ) -> Self {
        Self {
            kind,
            host,
            origin,
            base,
            token,
            https,
            one: tokio::sync::Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// What the last answer said of limits.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.known().rate
    }

    /// Asks for something below the base. `what` names it in the error if there is none.
    pub(crate) async fn get(&self, path: &str, what: &str) -> Result<Reply, ForgeError> {
        let url = format!("{}{}{path}", self.origin, self.base);
        self.call(&Method::GET, url, None, what).await
    }

    /// Changes something below the base.
    pub(crate) async fn change(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<Reply, ForgeError> {
        let url = format!("{}{}{path}", self.origin, self.base);
        let _alone = self.one.lock().await;
        self.call(method, url, Some(body), what).await
    }

    /// Changes something by a path of the origin.
    pub(crate) async fn post_at(&self, path: &str, body: &Value) -> Result<Reply, ForgeError> {
        let url = format!("{}{path}", self.origin);
        let _alone = self.one.lock().await;
        self.call(&Method::POST, url, Some(body), "such a call")
            .await
    }

    /// User and token, as git sends them.
    pub(crate) fn login(&self, user: &str) -> Option<HeaderValue> {
        use base64::Engine as _;
        let pair = format!("{user}:{}", self.token.as_ref()?.expose());
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        Some(sensitive(&format!("Basic {pair}")))
    }

    /// A request that is no call of the API.
    pub(crate) fn plain(&self, method: &Method, url: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(url)
            .header(USER_AGENT, AGENT)
    }

    /// How long a call may take.
    pub(crate) fn patience(&self) -> Duration {
        self.https.patience()
    }

    /// Sends such a request.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        length: u64,
        patience: Duration,
    ) -> Result<Response<Bytes>, ForgeError> {
        let answer = self.https.send_long(request, length, patience).await;
        answer.map_err(|source| ForgeError::Unreachable {
            host: self.host.clone(),
            source,
        })
    }

    /// Whether git could fetch from an address of the forge now.
    pub(crate) async fn is_fetchable(&self, url: &str, user: &str) -> bool {
        let url = format!("{url}/info/refs?service=git-upload-pack");
        let mut request = self.plain(&Method::GET, &url);
        if let Some(login) = self.login(user) {
            request = request.header(AUTHORIZATION, login);
        }
        let Ok(request) = request.body(Bytes::new()) else {
            return false;
        };
        let answer = self.https.send(request).await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    async fn call(
        &self,
        method: &Method,
        mut url: String,
        body: Option<&Value>,
        what: &str,
    ) -> Result<Reply, ForgeError> {
        let bytes = body.map(|body| Bytes::from(body.to_string()));
        for _ in 0..=REDIRECTS {
            let until = self.known().until;
            if until > now() {
                return Err(self.limited(until));
            }
            let request = self.request(method, &url, bytes.clone())?;
            let answer = self.https.send(request).await;
            let answer = answer.map_err(|source| ForgeError::Unreachable {
                host: self.host.clone(),
                source,
            })?;
            match self.elsewhere(method, &url, &answer) {
                Some(next) => url = next,
                None => return self.judge(answer, what),
            }
        }
        Err(ForgeError::Answer {
            host: self.host.clone(),
            field: "location",
        })
    }

    fn request(
        &self,
        method: &Method,
        url: &str,
        body: Option<Bytes>,
    ) -> Result<Request<Bytes>, ForgeError> {
        let mut request = self.plain(method, url);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request = match self.kind {
            ForgeKind::GitHub => request
                .header(ACCEPT, "application/vnd.github+json")
                .header("x-github-api-version", "2022-11-28"),
            _ => request.header(ACCEPT, "application/json"),
        };
        if let Some(token) = &self.token {
            let word = if self.kind == ForgeKind::Gitea {
                "token"
            } else {
                "Bearer"
            };
            let value = sensitive(&format!("{word} {}", token.expose()));
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(body.unwrap_or_default());
        request.map_err(|_| ForgeError::Answer {
            host: self.host.clone(),
            field: "address",
        })
    }

    /// Where a call is led, if it may go there with the token: to the same server alone.
    fn elsewhere(&self, method: &Method, url: &str, answer: &Response<Bytes>) -> Option<String> {
        let follows = match answer.status().as_u16() {
            301 | 302 => method == Method::GET,
            307 | 308 => true,
            _ => false,
        };
        let location = answer.headers().get(LOCATION)?.to_str().ok()?;
        let rest = location.strip_prefix(&self.origin).unwrap_or(location);
        let next = format!("{}{rest}", self.origin);
        (follows && rest.starts_with('/') && !rest.starts_with("//") && next != url).then_some(next)
    }

    /// What an answer says: its body, or why it is no success.
    pub(crate) fn judge(&self, answer: Response<Bytes>, what: &str) -> Result<Reply, ForgeError> {
        let (head, bytes) = answer.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        self.remember(&headers);
        let body = cib_foreign::json::parse(&cib_foreign::json::text(&bytes));
        let body = body.unwrap_or(Value::Null);
        if head.status.is_success() {
            return Ok(Reply {
                headers,
                body,
                bytes,
            });
        }
        let words = self.words(&body);
        let host = self.host.clone();
        let left = || count(&headers, &["x-ratelimit-remaining", "ratelimit-remaining"]);
        let is_limit = || {
            headers.contains_key("retry-after")
                || left() == Some(0)
                || words.to_ascii_lowercase().contains("rate limit")
        };
        Err(match status {
            401 => ForgeError::Auth { host, words },
            429 => self.limit(&headers),
            403 if is_limit() => self.limit(&headers),
            403 | 451 => ForgeError::NoRight { host, words },
            404 | 410 => ForgeError::NotFound {
                host,
                what: what.to_owned(),
            },
            500.. => ForgeError::Down {
                host,
                status,
                words,
            },
            _ => ForgeError::Refused {
                host,
                status,
                words,
            },
        })
    }

    /// What a forge says went wrong, without the token, should it repeat that.
    fn words(&self, body: &Value) -> String {
        let mut said = vec![message(body)];
        said.extend(json::items(body, &["errors"]).iter().map(message));
        said.retain(|one| !one.is_empty());
        said.dedup();
        self.without_token(&said.join("; "))
    }

    pub(crate) fn without_token(&self, said: &str) -> String {
        let said = match &self.token {
            Some(token) if !token.expose().is_empty() => said.replace(token.expose(), "***"),
            _ => said.to_owned(),
        };
        json::words(&said)
    }

    fn remember(&self, headers: &HeaderMap) {
        let of = |names: [&str; 2]| count(headers, &names);
        let limit = of(["x-ratelimit-limit", "ratelimit-limit"]);
        let remaining = of(["x-ratelimit-remaining", "ratelimit-remaining"]);
        let reset = of(["x-ratelimit-reset", "ratelimit-reset"]);
        if let (Some(limit), Some(remaining), Some(reset)) = (limit, remaining, reset) {
            self.known().rate = Some(Rate {
                limit,
                remaining,
                reset,
            });
        }
    }

    fn limit(&self, headers: &HeaderMap) -> ForgeError {
        let now = now();
        let after = count(headers, &["retry-after"]).map(|after| now.saturating_add(after));
        let reset = || count(headers, &["x-ratelimit-reset", "ratelimit-reset"]);
        let until = after.or_else(reset).unwrap_or(now + PAUSE);
        // A second later than it says, for clocks that differ.
        let until = until.saturating_add(1).clamp(now + 1, now + LONGEST);
        self.known().until = until;
        self.limited(until)
    }

    fn limited(&self, until: u64) -> ForgeError {
        ForgeError::Limited {
            host: self.host.clone(),
            until,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message, in the places where forges put it.
fn message(body: &Value) -> String {
    if let Some(text) = body.as_str() {
        return text.to_owned();
    }
    match &body["message"] {
        Value::String(text) => text.clone(),
        // GitLab: a list, or lists by field.
        Value::Null => json::text(body, &["error"]).to_owned(),
        other => other.to_string(),
    }
}

fn count(headers: &HeaderMap, names: &[&str]) -> Option<u64> {
    let found = names.iter().find_map(|name| headers.get(*name))?;
    found.to_str().ok()?.trim().parse().ok()
}

/// A header that no log shows.
fn sensitive(text: &str) -> HeaderValue {
    let value = HeaderValue::from_str(text);
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("none"));
    value.set_sensitive(true);
    value
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.as_ref().map_or(0, Duration::as_secs)
}
