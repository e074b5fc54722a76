//! Those outside of the box who are told something: servers of HTTP that remember what they were sent,
//! a browser's end of Web Push, a chat, a mail server.

pub mod browser;
pub mod chat;
pub mod mail;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use crate::serve::{Running, listen};

/// Bytes of a request's body.
const MOST: usize = 1 << 20;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Heard {
    /// A header as text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Memory {
    heard: Vec<Heard>,
    /// What the next requests are answered with.
    script: VecDeque<Answer>,
    usual: Answer,
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Default for Answer {
    fn default() -> Self {
        Self::status(200)
    }
}

impl Answer {
    /// Nothing but a status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }
}

/// A server of HTTP running in this process until dropped, which remembers what it was sent.
#[derive(Debug)]
pub struct Receiver {
    running: Running,
    memory: Arc<Mutex<Memory>>,
}

impl Receiver {
    /// Starts on a free port of the loopback.
    ///
    /// # Errors
    /// No port can be bound.
    pub fn start() -> io::Result<Self> {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts at an address.
    ///
    /// # Errors
    /// It cannot be bound.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let state = Arc::clone(&memory);
        let running = Running::start(move || {
            let listener = listen(address)?;
            let address = listener.local_addr()?;
            let service = Router::new().fallback(hear).with_state(state);
            Ok((
                address,
                Box::pin(async move { axum::serve(listener, service).await }),
            ))
        })?;
        Ok(Self { running, memory })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running.addr()
    }

    /// An address of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr())
    }

    /// Answers the next requests with these, one after the other.
    pub fn answer(&self, script: impl IntoIterator<Item = Answer>) {
        self.memory().script.extend(script);
    }

    /// Answers all other requests with this from now on.
    pub fn answer_always(&self, usual: Answer) {
        self.memory().usual = usual;
    }

    /// What came so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.memory().heard.clone()
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hear(State(memory): State<Arc<Mutex<Memory>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MOST).await.unwrap_or_default();
    let answer = {
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.heard.push(Heard {
            path: head.uri.to_string(),
            headers: head.headers,
            body,
        });
        let next = memory.script.pop_front();
        next.unwrap_or_else(|| memory.usual.clone())
    };
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::IM_A_TEAPOT);
    for (name, value) in answer.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
