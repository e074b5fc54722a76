//! Requests and answers, and what is alike at every forge.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response};
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::world::{Fault, World};

/// Whose API a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forge {
    GitHub,
    GraphQl,
    GitLab,
    Gitea,
    None,
}

/// A request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// As it came.
    pub(super) path: String,
    pub(super) query: String,
    /// The path's parts behind the API's own, decoded.
    pub(super) parts: Vec<String>,
    pub(super) forge: Forge,
    pub(super) body: Value,
    pub(super) login: Option<String>,
    /// Scheme and authority of the pages.
    pub(super) site: String,
}

impl Asked {
    pub(super) fn new(head: &Parts, body: &[u8]) -> Self {
        let path = head.uri.path().to_owned();
        let host = head.headers.get("host").and_then(|host| host.to_str().ok());
        let host = head
            .uri
            .authority()
            .map(|authority| authority.as_str())
            .or(host)
            .unwrap_or("");
        let (forge, rest) = if path == "/api/graphql" || path == "/graphql" {
            (Forge::GraphQl, "")
        } else if let Some(rest) = path.strip_prefix("/api/v3") {
            (Forge::GitHub, rest)
        } else if let Some(rest) = path.strip_prefix("/api/v4") {
            (Forge::GitLab, rest)
        } else if let Some(rest) = path.strip_prefix("/api/v1") {
            (Forge::Gitea, rest)
        } else if host.starts_with("api.") {
            (Forge::GitHub, &*path)
        } else {
            (Forge::None, "")
        };
        let parts = rest.split('/').filter(|part| !part.is_empty());
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        Self {
            method: head.method.clone(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            parts: parts.map(decode).collect(),
            forge,
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
            login: None,
            site: format!("http://{}", host.strip_prefix("api.").unwrap_or(host)),
            path,
        }
    }

    pub(super) fn whole(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// A value of the query.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let found = pairs
            .into_iter()
            .find(|(key, _)| *key == name)?
            .1
            .replace('+', " ");
        Some(percent_decode_str(&found).decode_utf8_lossy().into_owned())
    }

    pub(super) fn page(&self) -> (usize, usize) {
        let number = |name: &str| {
            self.value(name)
                .and_then(|value| value.parse::<usize>().ok())
        };
        let size = number("per_page").or_else(|| number("limit")).unwrap_or(30);
        (number("page").unwrap_or(1).max(1), size.clamp(1, 100))
    }

    /// One page of items, with what says whether there are more.
    pub(super) fn paged(&self, all: Vec<Value>) -> (Vec<Value>, Vec<(&'static str, String)>) {
        let (page, size) = self.page();
        let more = all.len() > page * size;
        let items = all.into_iter().skip((page - 1) * size).take(size).collect();
        let mut headers = Vec::new();
        if more {
            let rest = self
                .query
                .split('&')
                .filter(|pair| !pair.starts_with("page=") && !pair.is_empty());
            let query: Vec<_> = rest
                .map(str::to_owned)
                .chain([format!("page={}", page + 1)])
                .collect();
            let next = format!("{}{}?{}", self.site, self.path, query.join("&"));
            headers.push((
                "link",
                format!("<{next}>; rel=\"next\", <{next}>; rel=\"last\""),
            ));
            headers.push(("x-next-page", (page + 1).to_string()));
        }
        (items, headers)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_default().to_owned()
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    pub(super) fn refused(status: u16, message: &str) -> Self {
        Self::new(
            status,
            json!({"message": message, "documentation_url": "https://docs.example/rest"}),
        )
    }

    pub(super) fn missing() -> Self {
        Self::refused(404, "Not Found")
    }

    pub(super) fn moved(to: &str) -> Self {
        Self::refused(301, "Moved Permanently").with("location", to)
    }

    pub(super) fn fault(fault: &Fault) -> Self {
        let answer = Self::refused(fault.status, &fault.message);
        fault
            .headers
            .iter()
            .fold(answer, |answer, (name, value)| answer.with(name, value))
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl From<Answer> for Response<Body> {
    fn from(answer: Answer) -> Self {
        let mut response = Response::builder().status(answer.status);
        for (name, value) in &answer.headers {
            response = response.header(name, value);
        }
        let body = match answer.body {
            Value::Null => Body::empty(),
            // What is no JSON is a file.
            Value::String(text) => Body::from(text),
            body => {
                response = response.header("content-type", "application/json; charset=utf-8");
                Body::from(body.to_string())
            }
        };
        response.body(body).unwrap_or_default()
    }
}

/// Whose token a request has; a token that nobody has is nobody's.
pub(super) fn login(world: &World, headers: &HeaderMap) -> Option<String> {
    let token = token(headers)?;
    let known = world.tokens.iter().find(|known| known.token == token)?;
    Some(known.login.clone())
}

pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    let private = headers
        .get("private-token")
        .and_then(|value| value.to_str().ok());
    if let Some(token) = private {
        return Some(token.to_owned());
    }
    let (word, rest) = headers
        .get("authorization")?
        .to_str()
        .ok()?
        .split_once(' ')?;
    if !word.eq_ignore_ascii_case("basic") {
        return Some(rest.to_owned());
    }
    let pair = base64::engine::general_purpose::STANDARD
        .decode(rest)
        .ok()?;
    let pair = String::from_utf8(pair).ok()?;
    pair.split_once(':').map(|(_, token)| token.to_owned())
}

impl World {
    /// The fault that a request meets.
    pub(super) fn fault(&mut self, asked: &Asked) -> Option<Fault> {
        let whole = asked.whole();
        let meets = |fault: &&mut Fault| {
            let method = fault.method.is_empty() || asked.method.as_str() == fault.method;
            fault.times > 0 && method && whole.contains(&fault.path)
        };
        let fault = self.faults.iter_mut().find(meets)?;
        fault.times -= 1;
        Some(fault.clone())
    }
}
