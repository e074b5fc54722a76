//! The ways by which somebody is told, each a small translation behind one trait.

pub(super) mod mail;
pub(super) mod ntfy;
pub(super) mod slack;
pub(super) mod telegram;

use bytes::Bytes;
use cib_protocol::api::{Notice, NoticeEvent};
use cib_protocol::time::Timestamp;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue, InvalidHeaderValue, USER_AGENT};
use http::{Method, Request};

use super::outside::{Outside, Refusal};

/// What is sent, whichever way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// The delivery's id.
    pub(super) delivery: &'a str,
    /// What happened.
    pub(super) notice: &'a Notice,
    /// When it is sent.
    pub(super) now: Timestamp,
    /// The code that answers the question, if it may be answered so.
    pub(super) code: Option<&'a str>,
    /// The address of the page that takes the code, if the box knows its own.
    pub(super) link: Option<&'a str>,
    /// The address of the session or the task, if the box knows its own.
    pub(super) page: Option<&'a str>,
}

impl Message<'_> {
    /// A sign for what happened, which every language reads.
    pub(super) fn sign(&self) -> &'static str {
        match self.notice.event {
            NoticeEvent::Waiting => "❓",
            NoticeEvent::Finished => "✅",
            NoticeEvent::Failed => "❌",
            NoticeEvent::Limit => "⏳",
        }
    }
}

/// What came of telling.
pub(super) type Telling<'a> = BoxFuture<'a, Result<(), Refusal>>;

/// Somebody who can be told.
pub(super) trait Notifier: Send + Sync {
    /// Tells them.
    fn tell<'a>(&'a self, outside: &'a Outside, message: &'a Message<'a>) -> Telling<'a>;
}

/// Why a request could not even be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unmade(pub(super) String);

impl From<InvalidHeaderValue> for Unmade {
    fn from(error: InvalidHeaderValue) -> Self {
        Self(error.to_string())
    }
}

impl From<http::Error> for Unmade {
    fn from(error: http::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Unmade> for Refusal {
    fn from(unmade: Unmade) -> Self {
        Self::Never(unmade.0)
    }
}

/// A request with a JSON body.
pub(super) fn post(url: &str, json: String) -> Result<Request<Bytes>, Unmade> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .body(Bytes::from(json))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let agent = concat!("claude-in-box/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    Ok(request)
}

/// A message that the tests of the bridges send.
#[cfg(test)]
pub(super) fn example() -> Notice {
    use cib_protocol::session::SessionId;
    Notice {
        id: "0011223344556677".to_owned(),
        event: NoticeEvent::Waiting,
        at: Timestamp::from_millis(1_700_000_000_000),
        task: None,
        session: Some(SessionId::from_u128(7)),
        title: "api <b>tests</b>".to_owned(),
        text: "Which colour?".to_owned(),
        until: None,
        question: Some("toolu_1".to_owned()),
        options: vec!["Red".to_owned(), "Blue".to_owned()],
    }
}
