//! A stand-in for the Anthropic Messages API, scripted by the prompt it is sent.
//!
//! It answers `POST /v1/messages` (as a stream or whole), `POST /v1/messages/count_tokens`,
//! `GET /v1/models`, `GET /api/hello` and `HEAD /`, and everything else with the API's 404. The model is played
//! by [`script`]; the rest (events, errors, checks of keys and of tool results) behaves as the
//! API does, so that the real CLI cannot tell.

pub mod conversation;
mod respond;
pub mod script;
mod todo;
pub mod wire;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;

use crate::log::{ApiRequest, Entry, Log, Request, now_ms};
use crate::serve::{Running, Work, listen};

/// Bodies above this are refused with 413, as the API does (32 MB).
const BODY_LIMIT: usize = 32 << 20;

/// The stand-in, running in this process until dropped.
#[derive(Debug)]
pub struct StandIn {
    running: Running,
    log: Log,
}

impl StandIn {
    /// Starts on a free port of the loopback.
    ///
    /// # Errors
    /// No port can be bound.
    pub fn start() -> io::Result<Self> {
        Self::start_server(None)
    }

    /// Starts, and appends each request's body to a file as a line.
    ///
    /// # Errors
    /// No port can be bound, or the file cannot be opened.
    pub fn start_keeping(bodies: &Path) -> io::Result<Self> {
        Self::start_server(Some(Server::bodies_to(bodies)?))
    }

    fn start_server(bodies: Option<File>) -> io::Result<Self> {
        let log = Log::memory();
        let server = Server::new(log.clone(), bodies);
        let running = Running::start(move || server.bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        Ok(Self { running, log })
    }

    /// What to give a client as `ANTHROPIC_BASE_URL`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.running.addr())
    }

    /// The requests so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<(Entry, ApiRequest)> {
        let api = |entry: Entry| match entry.request.clone() {
            Request::Api(request) => Some((entry, request)),
            Request::Httpd { .. } | Request::Dns { .. } => None,
        };
        self.log.entries().into_iter().filter_map(api).collect()
    }
}

/// The server's state, before and while it listens.
#[derive(Debug)]
pub struct Server {
    log: Log,
    bodies: Option<Mutex<File>>,
    /// Makes ids differ between two runs of the server in one conversation.
    run: u64,
    counter: AtomicU64,
    /// How often a faulty step has failed, by its place in its conversation.
    failed: Mutex<HashMap<String, u32>>,
}

impl Server {
    /// A server that logs to `log` and, where `bodies` is given, appends each request's body
    /// to it as a line.
    #[must_use]
    pub fn new(log: Log, bodies: Option<File>) -> Self {
        Self {
            log,
            bodies: bodies.map(Mutex::new),
            run: now_ms(),
            counter: AtomicU64::new(0),
            failed: Mutex::new(HashMap::new()),
        }
    }

    /// Opens a file for request bodies.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn bodies_to(path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(path)
    }

    /// Binds `addr`; the work returned serves until dropped. Must be called inside a runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(self, addr: SocketAddr) -> io::Result<(SocketAddr, Work)> {
        let listener = listen(addr)?;
        let addr = listener.local_addr()?;
        let router = Router::new()
            .fallback(respond::any)
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(Arc::new(self));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        Ok((
            addr,
            Box::pin(async move { axum::serve(listener, service).await }),
        ))
    }

    fn id(&self, prefix: &str) -> String {
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}_{:x}{n:04}", self.run)
    }

    /// Whether the fault at `place` still has to happen; counts it if so.
    fn fails_again(&self, place: String, times: u32) -> bool {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failed.entry(place).or_default();
        *count += 1;
        *count <= times
    }

    fn keep_body(&self, body: &[u8]) -> io::Result<()> {
        let Some(file) = &self.bodies else {
            return Ok(());
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(body)?;
        file.write_all(b"\n")
    }
}
